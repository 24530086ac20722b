"""Marks on lines of output: pieces of any size give the same marks, and no other byte changes."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervise.output import line_marks
from supervise.output.line_marks import LineMarker, Style

MARK = b"<mark>"
PIECES = st.lists(st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"a", b"\xc3\xa9"]), min_size=1).map(b"".join))


def marked(pieces: list[bytes], style: Style) -> bytes:
    marker = LineMarker(style)
    return b"".join(marker.add_marks(piece, 1e9) for piece in pieces)


@given(PIECES)
def test_each_line_has_one_mark_however_its_bytes_come(pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    lines = re.findall(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+", whole)
    expected = b"".join(MARK + line for line in lines)
    assert marked(pieces, Style(None, MARK.decode(), 0)) == expected


@given(PIECES)
def test_an_empty_mark_changes_nothing(pieces: list[bytes]) -> None:
    assert marked(pieces, Style(None, "", 0)) == b"".join(pieces)


def test_the_time_is_iso_elapsed_or_a_format_of_strftime() -> None:
    assert re.fullmatch(rb"2001-09-09T\d\d:\d\d:40\.250[+-]\d\d:\d\d ", Style("iso", "", 0).mark(1e9 + 0.25))
    assert Style("%S%%", "", 0).mark(1e9) == b"40% "


def test_a_step_of_the_wall_clock_does_not_change_the_elapsed_time(monkeypatch: pytest.MonkeyPatch) -> None:
    style = Style("elapsed", "x", 100.0)
    monkeypatch.setattr(line_marks, "monotonic", lambda: 102.5)
    monkeypatch.setattr(line_marks, "time", lambda: 5e8)
    assert style.mark(5e8) == b"2.500 x"
    assert style.mark(5e8 - 0.5) == b"2.000 x", "the bytes have waited for half a second"
    assert style.mark(1e9) == b"2.500 x", "the clock was set back after the bytes came"
