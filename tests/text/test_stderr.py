"""The words for a system error; and only one module writes lines that begin with `supervise: `."""

import ast
import errno
import os
from pathlib import Path

import pytest

import supervise
from supervise.text.stderr import PREFIX, line, reason_of

PACKAGE = Path(supervise.__file__).parent
BARE = {"__main__.py", "launch/early_exit.py"}
"""Modules with a fixed line for the case that nothing can be imported any more."""


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


def test_the_words_for_an_error_can_include_its_path():
    assert reason_of(OSError(errno.EACCES, "Permission denied", "/A"), with_path=True) == "permission denied: /A"
    assert reason_of(OSError(errno.EACCES, "Permission denied"), with_path=True) == "permission denied"
    assert reason_of(RuntimeError("No more"), with_path=True) == "no more"


def test_a_line_is_prefixed_cleaned_and_redacted():
    assert line("say \x1b[2J --password=hunter22") == b"supervise: say \\x1b[2J --password=***\n"


def texts(path):
    """Return the texts of a module without its docstrings."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str | bytes):
            yield node.value if isinstance(node.value, str) else node.value.decode("latin-1")


def test_no_other_module_writes_the_prefix():
    writers = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if any(text.lstrip("\n").startswith(PREFIX) and "\n\n" not in text for text in texts(path))
    }
    # The docstring of the package begins with the prefix, too.
    assert writers - {"__init__.py"} == {"text/stderr.py"} | BARE


def test_no_other_module_words_an_error():
    """Only `reason_of` writes strerror in lower case; os.strerror gives the words of a bare number."""
    worders = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "lower"
        and "error.strerror" in ast.unparse(node.func.value)
    }
    # The guardian makes the record, and may have no descriptor left to import a module with.
    assert worders == {"launch/run_record.py"}
