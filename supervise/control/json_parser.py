"""JSON read by the built-in module alone: `json` imports re, half of what the start of a small command costs."""

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


_scan = _json.make_scanner(_Context)  # type: ignore[arg-type]  # a JSONDecoder would import re


def read(text: str) -> Any:
    """The value that the text begins with.

    Raises ValueError.
    """
    try:
        return _scan(text, 0)[0]
    except (StopIteration, RecursionError):
        raise ValueError("not JSON") from None
