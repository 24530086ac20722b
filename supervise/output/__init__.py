"""Carries the bytes of the command's output to stdout and stderr, the record, the log, and the search for signs."""
