"""supervise: run a command under limits, and say why it ended."""

__version__ = "0.1.0"

EXIT_TRY_AGAIN, EXIT_ERROR, EXIT_SIGNALED = 75, 125, 128
"""Three of `core.exit_codes.ExitCode`, for what runs before the command is born; to the last a signal is added."""
