"""The man page and the shell completions, made from the table of options and from fixed prose.

`python -m supervise.pages`, at the top of the checkout, writes them anew.  They are checked in, so that a package can
be built, and the words read, without running anything; a test holds them equal to the table.
"""
