"""Reads JSON by the built-in module `_json`: `json` imports re, which is half of the start of a small subcommand."""

import _json
from typing import Any


class _Context:
    """The settings of the scanner, with the defaults of `json.JSONDecoder` (json.scanner)."""

    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float


_scan = _json.make_scanner(_Context)  # type: ignore[arg-type]  # a JSONDecoder would import re


def read(text: str) -> Any:
    """Return the JSON value at the beginning of the text.

    Raises ValueError where there is none.
    """
    try:
        return _scan(text, 0)[0]
    except (StopIteration, RecursionError):
        raise ValueError("not JSON") from None
