"""The lines that supervise writes to stderr beside the messages of a run, and the words for a system error.

The top of this module imports only `os`, so a caller that may run out of descriptors can import it beforehand. Code
that runs before the command is born (`launch`, `__main__`, the guardian) imports this module only when there is
something to write, and has a fixed line for the case that no import succeeds any more.
"""

import os

PREFIX = "supervise: "
READER_SECONDS = 2.0
"""Seconds that the reader of stderr has, once, to make room for the lines of a program that is about to end."""
_held: "list[bytes] | None" = None
"""The lines that wait for the end of the run (`--quiet-unless-failed`); None where each is written at once."""
_has_no_reader = False
"""The reader of stderr has had its time, and has taken nothing."""


def hold() -> None:
    """Keep the lines of `say_without_waiting` until the next line of `say` or a call of `take_held`."""
    global _held
    _held = []


def take_held() -> "list[bytes]":
    """Return the lines that were kept, and keep no more."""
    global _held
    held, _held = _held or [], None
    return held


def message(text: str) -> str:
    """Return the text as a message of supervise: with the prefix, and harmless for terminals and CI runners."""
    from supervise.text.ci_commands import disarmed
    from supervise.text.sanitizer import clean

    return PREFIX + disarmed(clean(text))


def line(text: str, end: str = "\n") -> bytes:
    """Return the text as the line of a message, with passwords masked."""
    from supervise.text.redaction import Redaction

    return (message(Redaction().text(text)) + end).encode()


def say(*texts: str, end: str = "\n") -> None:
    """Write each text to stderr on a line of its own. A stderr that cannot be written to is no error.

    Raises OSError or ImportError if no descriptor is left to import the redaction with.
    """
    write(b"".join([*take_held(), *(line(text, end) for text in texts)]))


def write(lines: bytes) -> None:
    """Write the lines to stderr, unless its reader takes nothing for READER_SECONDS, or has taken nothing before."""
    global _has_no_reader
    from supervise.text.writer import is_writable, write_all

    try:
        if is_writable(2, 0 if _has_no_reader else READER_SECONDS):
            write_all(2, lines)
        else:
            _has_no_reader = True
    except OSError:
        pass


def say_without_waiting(text: str) -> None:
    """Write the text to stderr unless stderr is full: the command must not wait for its reader. `hold` keeps it."""
    from supervise.text.writer import is_writable

    said = line(text)
    if _held is not None:
        _held.append(said)
        return
    try:
        if is_writable(2):
            os.write(2, said)
    except OSError:
        pass


def reason_of(error: Exception, *, with_path: bool = False) -> str:
    """Return the reason of an error, to stand within a line: `no space left on device`. With its path if that is known.

    The words of the C library begin with a capital letter (strerror(3)) and may have more of them: `RF-kill`.
    """
    text = str(error)
    if isinstance(error, OSError):
        text = error.strerror or (os.strerror(error.errno) if error.errno else text)
    path = f": {error.filename}" if with_path and isinstance(error, OSError) and error.filename else ""
    return text[:1].lower() + text[1:] + path
