"""supervise: run a command under limits, and say why it ended."""
