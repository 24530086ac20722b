r"""Text of others made harmless for a terminal. No other module does this.

A process chooses its name, its arguments and its status freely, and a user the names of files. An escape sequence in
them could rewrite the screen, a line break could forge a message, and a bidi override could reverse the reading order
(Unicode TR 36, 2.2). So a character that does not print is shown as an escape: `\n`, `\x1b`, `\u202e`, and `\xff` for a
byte that is not UTF-8. The guardian and the fast path load this module, so it uses built-in types only.
"""

BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""Letters and marks that Unicode calls printable although they show nothing."""
VARIATIONS = range(0xE0100, 0xE01F0)
"""The variation selectors supplement: marks that can hide text within text."""


def clean(text: str) -> str:
    """Return the text on one line, with an escape for each character that does not print.

    A space prints. A tab, a no-break space and every format character (Unicode category Cf) do not.
    """
    if text.isprintable() and text.isascii():
        return text
    return "".join(map(_shown, text))


def clean_lines(text: str) -> str:
    """Return the text cleaned line by line. Line feeds and tabs stay; CR LF becomes a line feed."""
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join("\t".join(map(clean, line.split("\t"))) for line in lines)


def is_plain(letter: str) -> bool:
    """Return whether the character is shown as it is."""
    return letter.isprintable() and letter not in BLANK and ord(letter) not in VARIATIONS


def _shown(letter: str) -> str:
    if is_plain(letter):
        return letter
    if "\udc80" <= letter <= "\udcff":
        # os.fsdecode stores the byte 0xff, which is not UTF-8, as U+DCFF (PEP 383).
        return f"\\x{ord(letter) - 0xDC00:02x}"
    return letter.encode("unicode_escape").decode("ascii")


class Cleaner:
    """Cleans a stream of bytes that comes in pieces, without tearing a character that is cut between two pieces."""

    def __init__(self) -> None:
        self._kept = b""
        """The beginning of a character or a line end whose rest is still to come."""

    def clean(self, data: bytes) -> bytes:
        """Return the cleaned bytes that are complete so far."""
        data = self._kept + data
        cut = len(data) - _unfinished(data)
        data, self._kept = data[:cut], data[cut:]
        return cleaned(data)

    def finish(self) -> bytes:
        """Return the cleaned rest: no more bytes come."""
        data, self._kept = self._kept, b""
        return cleaned(data)


def cleaned(data: bytes) -> bytes:
    """Return the bytes of whole lines, cleaned as UTF-8 text."""
    return clean_lines(data.decode("utf-8", "surrogateescape")).encode()


def _unfinished(data: bytes) -> int:
    """Return how many bytes at the end may be the beginning of a character or a line end (RFC 3629, 3)."""
    if data.endswith(b"\r"):
        return 1
    for back in range(1, min(4, len(data) + 1)):
        byte = data[-back]
        if byte >= 0xC0:
            length = 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
            return back if back < length else 0
        if byte < 0x80:
            break
    return 0
