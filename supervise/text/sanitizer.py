r"""Making text of others harmless for a terminal: the one place where that is done.

A process chooses its name, its arguments and its status freely, and a file its name: an escape sequence there could
rewrite the screen, a line break could forge a message, and a bidi override could turn the reading order around
(Unicode TR 36, 2.2).  Whatever does not print is shown as an escape: `\n`, `\x1b`, `\u202e`, and `\xff` for a byte that
is not UTF-8.  Built-in types only: the guardian and the fast way in load this too.
"""

BLANK = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""Letters and marks that Unicode calls printable though nothing is to be seen of them."""
VARIATIONS = range(0xE0100, 0xE01F0)
"""The variation selectors supplement: marks by which text can be hidden within text."""


def clean(text: str) -> str:
    """Return the text on one line, with an escape for each character that does not print.

    A space prints; a tab, a no-break space and every format character (Unicode category Cf) do not.
    """
    if text.isprintable() and text.isascii():
        return text
    return "".join(map(_shown, text))


def clean_lines(text: str) -> str:
    """Return the text cleaned line by line: line feeds and tabs stay; a line end of two characters is a line feed."""
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
    """Cleans a stream of bytes that comes in pieces: a character that is cut between two pieces is not torn apart."""

    def __init__(self) -> None:
        self._kept = b""
        """The beginning of a character or of a line end, whose rest is to come."""

    def clean(self, data: bytes) -> bytes:
        """Return what can be shown by now."""
        data = self._kept + data
        cut = len(data) - _unfinished(data)
        data, self._kept = data[:cut], data[cut:]
        return cleaned(data)

    def finish(self) -> bytes:
        """Return what was kept back: no more comes."""
        data, self._kept = self._kept, b""
        return cleaned(data)


def cleaned(data: bytes) -> bytes:
    """Return whole lines of bytes cleaned as text of UTF-8."""
    return clean_lines(data.decode("utf-8", "surrogateescape")).encode()


def _unfinished(data: bytes) -> int:
    """Return how many bytes at the end may be the beginning of something (RFC 3629, 3)."""
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
