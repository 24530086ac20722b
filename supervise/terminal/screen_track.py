"""What the bytes of the output tell about the terminal: whether the live line can be drawn where the cursor is.

The line needs an empty row below or at the cursor, and a terminal in its usual modes.  Bytes that print text keep both.
Sequences that set colours, erase to the end of a row or set a title keep them, too.  After any other sequence the place
of the cursor is unknown, until as many rows were printed as the window has, or all below the cursor was erased.
The sequences are those of ECMA-48 and of xterm (ctlseqs).
"""

import re

ESCAPE, SHIFTS = b"\x1b", (b"\x0e", b"\x0f")
UNFINISHED_BYTES = 1 << 12
"""Bytes of a sequence that has not ended, at most; a longer one counts as a sequence of an unknown effect."""
ATTRIBUTE_SEARCH_BYTES = 1 << 12
"""Bytes at the end of a write that are searched for SGR."""
_STRING = rb"[\]PX^_][^\x07\x1b]*"
"""The beginning of OSC, DCS, SOS, PM and APC, which carry a string up to BEL or ST."""
_HARMLESS = rb"\[[\d;:]*[mK]|\[3J|\][^\x07\x1b]*(?:\x07|\x1b\\)|\\"
"""What follows ESC in SGR, EL, ED of the lines that have scrolled away, OSC and ST."""
_CLEARING = rb"\x1b\[[02]?J|(?<=\x1b\[2J)\x1b\[(?:1;1|;)?H|\x1bc"
"""ED from the cursor on or of the whole screen, CUP to the first row after that, and RIS."""
OTHER = re.compile(rb"\x1b(?!%b)" % _HARMLESS)
"""A sequence that is not harmless.  The search is fast because the pattern begins with one certain byte."""
LAST_OTHER = re.compile(rb".*(?:(%b)|[\x0e\x0f]|\x1b(?!%b))" % (_CLEARING, _HARMLESS), re.DOTALL)
"""The last sequence that is not harmless; the first group is one that clears."""
UNFINISHED = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|[ -/]*|%b)" % _STRING)
MODES = re.compile(
    rb"\x1b\[(\??)([\d;]*)([hl])"  # SM and RM
    rb"|\x1b\[([\d;]*)r"  # DECSTBM
    rb"|\x1b\(([ -~])"  # the character set G0
    rb"|([\x0e\x0f])"
    rb"|(\x1bc|\x1b\[!p)"  # RIS and DECSTR
)
ON_AT_FIRST = {b"?7", b"?8", b"?25"}
"""Modes that are set in a fresh terminal: it wraps, keys repeat, the cursor is shown."""
WITHOUT_EFFECT = {b"?12", b"34"}
"""The blinking of the cursor, and its shape."""
SGR = re.compile(rb"\x1b\[([\d;:]*)m")
"""Sets or resets attributes."""
RESET_CODE = rb"(0*|10|2[2-9]|[34]9|5[459])"
RESETS_ALONE = re.compile(rb"%b(;%b)*" % (RESET_CODE, RESET_CODE))
"""Parameters of an SGR that only resets attributes; 00 counts as 0, as in 39;49;00 (Pygments)."""
RESETS_ALL = re.compile(rb"0*")


class ScreenTrack:
    """Follows the bytes of one stream to the terminal."""

    def __init__(self) -> None:
        self.is_plain = True
        """No attribute is set, as far as the last SGR tells."""
        self.is_fresh = True
        """No attribute can be set: the last SGR was one that resets all, or there was none."""
        self._rest = b""
        """The beginning of a sequence whose end has not come yet."""
        self._modes: set[bytes] = set()
        """What differs from a fresh terminal."""
        self._rows: int | None = None
        """The rows that were printed since the place of the cursor is unknown; None where it is known."""

    def note(self, data: bytes) -> None:
        """Take note of bytes that are written to the terminal now."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        if ESCAPE in data or any(shift in data for shift in SHIFTS):
            data = self._note_sequences(data)
        if self._rows is not None:
            self._rows += data.count(b"\n")

    def is_clear(self, rows: int) -> bool:
        """Return whether a line can be drawn in a window of so many rows, as far as the sequences tell."""
        if self._rows is not None and self._rows >= rows:
            # The cursor has reached the last row, and each new row below it came in empty.
            self._rows = None
        return self._rows is None and self.is_plain and not (self._modes or self._rest)

    def _note_sequences(self, data: bytes) -> bytes:
        """Take note of the sequences; return what was printed after the last one of an unknown effect."""
        start = data.rfind(ESCAPE)
        if start >= 0 and UNFINISHED.fullmatch(data, start):
            if len(data) - start > UNFINISHED_BYTES:
                self._rows = 0
            else:
                self._rest = data[start:]
            data = data[:start]
        if found := SGR.findall(data[-ATTRIBUTE_SEARCH_BYTES:]):
            self.is_plain = RESETS_ALONE.fullmatch(found[-1]) is not None
            self.is_fresh = RESETS_ALL.fullmatch(found[-1]) is not None
        if not (OTHER.search(data) or any(shift in data for shift in SHIFTS)):
            return data
        for mode in MODES.finditer(data):
            self._note_mode(mode)
        last = LAST_OTHER.match(data)
        assert last
        self._rows = None if last[1] else 0
        return data[last.end() :]

    def _note_mode(self, mode: "re.Match[bytes]") -> None:
        private, numbers, switch, region, characters, shift, reset = mode.groups()
        if reset:
            self._modes.clear()
        elif switch:
            for number in numbers.split(b";"):
                name = private + number
                if name not in WITHOUT_EFFECT:
                    self._differ(name, (switch == b"h") != (name in ON_AT_FIRST))
        elif shift:
            self._differ(b"shift", shift == b"\x0e")
        elif characters:
            self._differ(b"characters", characters != b"B")
        else:
            self._differ(b"region", bool(region))

    def _differ(self, name: bytes, is_different: bool) -> None:
        if is_different:
            self._modes.add(name)
        else:
            self._modes.discard(name)
