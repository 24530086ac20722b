"""supervise: run a command under limits, and say why it ended."""

__version__ = "0.1.0"
