"""Quantiles of lengths; there must be one length at least."""

from collections.abc import Sequence
from math import ceil


def median(lengths: Sequence[float]) -> float:
    """Return the middle one of the lengths, or the mean of the two in the middle."""
    ordered = sorted(lengths)
    return (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2


def p95(lengths: Sequence[float]) -> float:
    """Return the shortest length that 95 percent of the lengths do not exceed."""
    return sorted(lengths)[ceil(0.95 * len(lengths)) - 1]
