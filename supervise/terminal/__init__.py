"""Terminals: the caller's, the command's own (--pty), and the live line over the caller's."""
