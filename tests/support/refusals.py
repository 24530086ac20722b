"""Calls that supervise refuses: their exit code and messages."""

import contextlib
import io
import os
import tempfile

import pytest

from supervise.commands import app
from tests.support.harness import Ended


def is_refused(ended: Ended, *needles: str) -> None:
    """Check that the call was refused with 125 and one to four lines, the first of which has these texts."""
    assert ended.code == 125
    assert ended.out == b""
    lines = ended.err.decode().splitlines()
    assert 1 <= len(lines) <= 4
    assert all(line.startswith("supervise: ") for line in lines)
    assert "Traceback" not in ended.err.decode()
    assert all(ord(letter) >= 32 for line in lines for letter in line)
    for needle in needles:
        assert needle in lines[0]


@contextlib.contextmanager
def messages():
    """Yield a function that returns, after the block, what the block wrote to descriptor 2; stdout is dropped."""
    text = []
    with tempfile.TemporaryFile() as file, contextlib.redirect_stdout(io.StringIO()):
        kept = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lambda: text[0]
        finally:
            os.dup2(kept, 2)
            os.close(kept)
            file.seek(0)
            text.append(file.read().decode())


def refusal(words, environ):
    """Return the exit code and the message with which the reader by click refuses these words."""
    with messages() as text, pytest.raises(SystemExit) as stop:
        app.main(words, environ)
    return stop.value.code, text()
