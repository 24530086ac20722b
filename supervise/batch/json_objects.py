"""Reads the objects of a JSON text one after the other: an answer about 100,000 pods does not fit into memory whole."""

import codecs
import json

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

READ_BYTES = 1 << 20
MOST_CHARACTERS = 1 << 26
"""Characters of one object at most."""
SPACES = " \t\r\n"
ENDS = (*SPACES, *",:]}")
"""What stands behind a value."""


class _Text:
    """The text, of which only what is not read yet is in memory."""

    def __init__(self, read: "Callable[[int], bytes]") -> None:
        self._read = read
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._scan = json.JSONDecoder().raw_decode
        self._text = ""
        self._at = 0
        self._is_over = False

    def peek(self) -> str:
        """Return the next character that is no space; '' at the end."""
        while True:
            while self._at < len(self._text):
                if self._text[self._at] not in SPACES:
                    return self._text[self._at]
                self._at += 1
            if not self._fill():
                return ""

    def take(self, characters: str) -> str:
        """Return the next character, and step over it.

        Raises ValueError where it is none of these.
        """
        found = self.peek()
        if not found or found not in characters:
            raise ValueError(f"there is {found!r} in the place of one of {characters!r}")
        self._at += 1
        return found

    def value(self) -> "Any":
        """Return the next value, and step over it.

        Raises ValueError.
        """
        self.peek()
        while True:
            try:
                found, end = self._scan(self._text, self._at)
            except ValueError:
                if not self._fill():
                    raise
                continue
            # A number may go on in what is not read yet.
            if self._text[end : end + 1] in ENDS or not self._fill():
                self._at = end
                return found

    def _fill(self) -> bool:
        """Read more; return False at the end."""
        if self._is_over:
            return False
        self._text, self._at = self._text[self._at :], 0
        if len(self._text) > MOST_CHARACTERS:
            raise ValueError("an object is too large")
        # A large value is scanned again with twice as much of it, and not with a little more each time.
        data = self._read(max(READ_BYTES, len(self._text)))
        self._is_over = not data
        self._text += self._decoder.decode(data, final=self._is_over)
        return True


def objects(read: "Callable[[int], bytes]") -> "Iterator[dict[str, Any]]":
    """Yield each object of a list, of the `items` of an object, or of several such texts behind each other.

    An object without `items` is yielded itself. Raises ValueError where the text is no JSON.
    """
    text = _Text(read)
    while text.peek():
        if text.peek() == "[":
            yield from _elements(text)
        else:
            yield from _of_object(text)


def _of_object(text: _Text) -> "Iterator[dict[str, Any]]":
    text.take("{")
    fields: dict[str, Any] = {}
    has_items = False
    if text.peek() == "}":
        text.take("}")
        return
    while True:
        key = text.value()
        text.take(":")
        if key == "items" and text.peek() == "[":
            has_items = True
            yield from _elements(text)
        else:
            fields[str(key)] = text.value()
        if text.take(",}") == "}":
            break
    if not has_items:
        yield fields


def _elements(text: _Text) -> "Iterator[dict[str, Any]]":
    text.take("[")
    if text.peek() == "]":
        text.take("]")
        return
    while True:
        found = text.value()
        if isinstance(found, dict):
            yield found
        if text.take(",]") == "]":
            return
