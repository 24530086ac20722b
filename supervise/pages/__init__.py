"""Generates the man page and the shell completions from the tables of options and subcommands and from templates.

`python -m supervise.pages` writes them, at the top of the checkout. They are checked in, so that a package can be
built and the pages can be read without running anything; a test compares them with the tables.
"""
