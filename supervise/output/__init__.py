"""The way of the bytes from the command to the readers of its output."""
