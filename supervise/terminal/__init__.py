"""Terminals: the one that the caller has, and the command's own (--pty)."""
