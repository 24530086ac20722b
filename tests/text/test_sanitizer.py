"""Text of others made harmless for a terminal."""

import pytest

from supervise.text.sanitizer import Cleaner, clean, clean_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain text, ünïcode ✓ 漢字 😀", "plain text, ünïcode ✓ 漢字 😀"),
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("a\nsupervise: forged\r", "a\\nsupervise: forged\\r"),
        ("\x9b31m\x7f\x00", "\\x9b31m\\x7f\\x00"),
        ("\udcff\udc9b", "\\xff\\x9b"),
        ("\ud800", "\\ud800"),
        ("safe\u202egnp.exe", "safe\\u202egnp.exe"),
        ("\u2066\u2069\u200f\u061c", "\\u2066\\u2069\\u200f\\u061c"),
        ("\u200b\u200d\ufeff\u00ad", "\\u200b\\u200d\\ufeff\\xad"),
        ("\u2028\u2029\u00a0\t", "\\u2028\\u2029\\xa0\\t"),
        ("\u3164\u115f\u2800\u034f", "\\u3164\\u115f\\u2800\\u034f"),
        ("\U000e0041\U000e0101", "\\U000e0041\\U000e0101"),
        ("\ue000\U0010ffff", "\\ue000\\U0010ffff"),
    ],
)
def test_a_character_that_does_not_print_is_an_escape(text: str, shown: str) -> None:
    assert clean(text) == shown
    assert clean(shown) == shown


def test_line_feeds_stay() -> None:
    assert clean_lines("a\tb\r\n\x1b[2J\n10%\r20%\n") == "a\tb\n\\x1b[2J\n10%\\r20%\n"


@pytest.mark.parametrize("size", [1, 2, 3, 5, 7])
def test_a_character_in_two_pieces_stays_whole(size: int) -> None:
    data = "ü✓😀\r\n\u202ex\n".encode() + b"\xff\xe2\x82 \xf0\x9f\r"
    cleaner = Cleaner()
    pieces = [cleaner.clean(data[at : at + size]) for at in range(0, len(data), size)]
    shown = b"".join([*pieces, cleaner.finish()]).decode()
    assert shown == "ü✓😀\n\\u202ex\n\\xff\\xe2\\x82 \\xf0\\x9f\\r"
