"""docs/cli.md, made of the command line itself: `python -m slacktide_cli.manual`."""
