"""The keys of a program that draws the whole screen."""

import pytest

from supervise.terminal.full_screen import keys_of


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"q", ["q"]),
        (b"\x1b[A\x1bOB5", ["up", "down", "5"]),
        (b"\x1b", ["escape"]),
        (b"\x1b[24~x", ["x"]),
        (b"\x1b[1;5Cx\x1b[", ["x"]),
        ("ä\r\x7f\t".encode(), ["ä", "enter", "backspace"]),
        (b"a\x1b", ["a", "escape"]),
        (b"\xff\xfe", []),
    ],
)
def test_keys_are_read(data: bytes, keys: list[str]) -> None:
    assert keys_of(data) == keys
