"""How long one task of a batch may take by its own limits, for an engine that wants to know before it starts one."""

from supervise.options.table import OPTIONS, WORD_SEPARATOR, option_names
from supervise.options.values import read

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

UNLIMITED = float("inf")
DOUBLINGS = 64
"""Retries after which the delay before the next one has come to its bound."""


def values_of(options: "list[str]") -> "dict[str, Any]":
    """Return the values of options that are written as `--name=word`, or as `--name` for a flag; with the defaults."""
    known, values = option_names(), {option.key: option.value for option in OPTIONS}
    words: dict[str, str] = {}
    for text in options:
        name, equals, word = text.partition("=")
        option = known[name]
        if option.is_repeatable and option.key in words:
            word = words[option.key] + WORD_SEPARATOR + word
        words[option.key] = word
        values[option.key] = read(option, word) if equals else True
    return values


def longest(values: "dict[str, Any]") -> float:
    """Return the seconds that a run with these values takes at most, without its last stop; infinity for no bound."""
    before = (values["start_jitter"] or 0.0) + (values["lock_wait"] or 0.0)
    total = values["total_timeout"]
    limit = UNLIMITED if total is None else total
    if values["timeout"] is not None:
        attempt = (values["access_timeout"] or 0.0) + values["timeout"] + (values["max_extension"] or 0.0)
        retries = int(values["retries"])
        delays = [min(values["retry_delay"] * 2.0**number, values["retry_delay_max"]) for number in range(DOUBLINGS)]
        pauses = sum(delays[:retries]) + max(0, retries - DOUBLINGS) * delays[-1]
        limit = min(limit, attempt * (retries + 1) + values["kill_after"] * retries + pauses)
    return float(before + limit)
