"""Print the page."""

import sys

from slacktide_cli.manual.page import render_page

sys.stdout.write(render_page())
