"""The words for an error of the system, and that one module alone writes what begins with `supervise: `."""

import ast
import errno
import os
from pathlib import Path

import pytest

import supervise
from supervise.text.stderr import PREFIX, line, reason_of

PACKAGE = Path(supervise.__file__).parent
BARE = {"__main__.py", "launch/early_exit.py"}
"""What has to say that nothing can be loaded any more."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "no space left on device"),
        (OSError(errno.ERFKILL, "Operation not possible due to RF-kill"), "operation not possible due to RF-kill"),
        (OSError(errno.EACCES, "Permission denied", "/a: b"), "permission denied"),
        (OSError(errno.EIO, ""), "input/output error"),
        (OSError("Its reader does not read"), "its reader does not read"),
        (ValueError("embedded null byte"), "embedded null byte"),
    ],
)
def test_the_words_for_an_error(error, words):
    assert reason_of(error) == words


def test_the_path_of_an_error_is_told_where_there_is_one():
    assert reason_of(OSError(errno.EACCES, "Permission denied", "/A"), with_path=True) == "permission denied: /A"
    assert reason_of(OSError(errno.EACCES, "Permission denied"), with_path=True) == "permission denied"
    assert reason_of(RuntimeError("No more"), with_path=True) == "no more"


def test_a_line_is_prefixed_cleaned_and_redacted():
    assert line("say \x1b[2J --password=hunter22") == b"supervise: say \\x1b[2J --password=***\n"


def texts(path):
    """The texts of a module, its docstrings and comments left out."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            yield node.value if isinstance(node.value, str) else node.value.decode("latin-1")


def test_no_other_module_writes_the_prefix():
    writers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(text.lstrip("\n").startswith(PREFIX) and "\n\n" not in text for text in texts(path))
    }
    # The docstring of the package begins so, too.
    assert writers - {"__init__.py"} == {"text/stderr.py"} | BARE


def test_no_other_module_words_an_error():
    """`strerror` in lower case is what `reason_of` is for; os.strerror words a bare number."""
    worders = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "lower"
        and "error.strerror" in ast.unparse(node.func.value)
    }
    # The guardian makes the record, and may have no descriptor left to load a module with.
    assert worders == {"launch/run_record.py"}
