"""The lines that supervise says on stderr outside of a run's own messages, and the words for an error of the system.

At its top this module loads nothing, so that what may fail for want of descriptors can import it beforehand.  Code that
runs before the command is born (`launch`, `__main__`, the guardian) loads it only once there is something to say, and
has a bare line for the case that nothing can be loaded any more.
"""

import os

PREFIX = "supervise: "


def line(text: str, end: str = "\n") -> bytes:
    """Return the line as it is written: prefixed, harmless for a terminal, and without what looks like a password."""
    from supervise.text.redaction import Redaction
    from supervise.text.sanitizer import clean

    return (PREFIX + clean(Redaction().text(text)) + end).encode()


def say(*texts: str, end: str = "\n") -> None:
    """Say each text on a line of its own; a stderr that cannot be written to is no error.

    Raises OSError, ImportError where no descriptor is left to load the rest with.
    """
    from supervise.text.writer import write_all

    lines = b"".join(line(text, end) for text in texts)
    try:
        write_all(2, lines)
    except OSError:
        pass


def say_without_waiting(text: str) -> None:
    """Say the text, unless stderr is full: the command must not wait for a reader of supervise's."""
    import select

    said = line(text)
    poll = select.poll()
    poll.register(2, select.POLLOUT)
    try:
        if poll.poll(0):
            os.write(2, said)
    except OSError:
        pass


def reason_of(error: Exception, *, with_path: bool = False) -> str:
    """Return what is the matter, to stand within a line: `no space left on device`; with its path where that is known.

    The words of the C library begin with a capital (strerror(3)), and may have more of them: `RF-kill`.
    """
    text = str(error)
    if isinstance(error, OSError):
        text = error.strerror or (os.strerror(error.errno) if error.errno else text)
    path = f": {error.filename}" if with_path and isinstance(error, OSError) and error.filename else ""
    return text[:1].lower() + text[1:] + path
