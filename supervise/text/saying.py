"""The lines that supervise says on stderr outside of a run's own messages: errors, refusals, hints."""

import os

from supervise.text.cleaning import clean
from supervise.text.redaction import Redaction
from supervise.text.writing import write_all

PREFIX = "supervise: "


def line(text: str, end: str = "\n") -> bytes:
    """Return the line as it is written: prefixed, harmless for a terminal, and without what looks like a password."""
    return (PREFIX + clean(Redaction().text(text)) + end).encode()


def say(*texts: str, end: str = "\n") -> None:
    """Say each text on a line of its own; a stderr that cannot be written to is no error."""
    try:
        write_all(2, b"".join(line(text, end) for text in texts))
    except OSError:
        pass


def say_without_waiting(text: str) -> None:
    """Say the text, unless stderr is full: the command must not wait for a reader of supervise's."""
    import select

    poll = select.poll()
    poll.register(2, select.POLLOUT)
    try:
        if poll.poll(0):
            os.write(2, line(text))
    except OSError:
        pass
