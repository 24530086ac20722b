"""Text that is safe to show: characters that a terminal would obey, secrets, lines for stderr."""
