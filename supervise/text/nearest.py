"""The word that was probably meant by one that is unknown, for messages."""

COMPARED_CHARACTERS = 100
"""Characters of the unknown word that are compared: the time grows with their square."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable


def nearest(word: str, known: "Iterable[str]") -> str:
    """Return the known word that is most like this one, whatever its case; '' if none is like it."""
    from difflib import get_close_matches

    words = {one.lower(): one for one in known}
    near = get_close_matches(word[:COMPARED_CHARACTERS].lower(), list(words), n=1)
    return words[near[0]] if near else ""


def hint(word: str, known: "Iterable[str]") -> str:
    """Return `; did you mean WORD?` for the end of a message, or ''."""
    near = nearest(word, known)
    return f"; did you mean {near}?" if near else ""
