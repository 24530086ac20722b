"""The random wait before a run begins (`--start-jitter`), so that many machines do not begin at once."""

import os

RANDOM_BYTES = 7
"""Bytes of a random number: as many as a float holds whole."""


def part_of(seconds: float) -> float:
    """Return a random part of that time, each as likely as any other; `random` would be slow to load."""
    return seconds * int.from_bytes(os.urandom(RANDOM_BYTES), "big") / (1 << 8 * RANDOM_BYTES)
