"""supervise: run a command under limits, and say why it ended."""

__version__ = "0.2.0"

EXIT_TRY_AGAIN, EXIT_GOES_ON, EXIT_ERROR, EXIT_SIGNALED = 75, 121, 125, 128
"""Four members of `core.exit_codes.ExitCode`, for code that runs before the command starts. The number of a signal is
added to the last one."""
NEEDED_BYTES = 4 << 20
"""Bytes of memory without which no library can be loaded."""


def is_short_of_memory() -> bool:
    """Return whether NEEDED_BYTES cannot be allocated."""
    try:
        bytearray(NEEDED_BYTES)
    except MemoryError:
        return True
    return False
