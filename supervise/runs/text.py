"""JSON in and out by the built-in module alone: `json` imports re, half of what the start of a small command costs."""

import _json
from typing import Any


class _Context:
    """How the scanner reads, as `json.JSONDecoder` has it by default (json.scanner)."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


_scan = _json.make_scanner(_Context)  # type: ignore[arg-type]


def read(text: str) -> Any:
    """The value that the text begins with.

    Raises ValueError.
    """
    try:
        return _scan(text, 0)[0]
    except (StopIteration, RecursionError):
        raise ValueError("not JSON") from None


def write(fields: dict[str, str | int | float | bool | None]) -> str:
    """The object, ASCII alone, with no line end in it."""
    return "{" + ", ".join(f"{_word(name)}: {_word(value)}" for name, value in fields.items()) + "}"


def _word(value: str | float | bool | None) -> str:
    if isinstance(value, str):
        return str(_json.encode_basestring_ascii(value))
    if value is None:
        return "null"
    return ("true" if value else "false") if isinstance(value, bool) else repr(value)
