"""Contract tests of `template.yaml`: what only AWS enforces is read off the template's text."""
