"""The subcommands other than `run`: one file for each, the table that names them, and the reader by click.

`invocation` reads their words by the table, as `options.argv` does for a run, so that most of them need neither click
nor trio.
"""
