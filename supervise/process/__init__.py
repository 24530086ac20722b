"""Processes: the guardian and its channel, the command and its tree, the signals, and how all of it is stopped."""
