"""Bisection of a defence's level: which to try next, by what those tried so far have shown.

A position runs from 0, the most private level, to 1, the most useful one. What a level showed is
whether it kept the utility that is needed; with noise that need not rise with the position.
"""

import math
from collections.abc import Mapping

from fedbert.errors import expect

DIGITS = 3
"""Significant figures of a level that was computed."""


def next_position(kept: Mapping[float, bool], steps: int, tolerance: float) -> float | None:
    """Return the next position to try, or None where the search has ended.

    First the most useful end, without which there is nothing to look for, then the most private
    one, then halves of what lies between the highest position that fails and the lowest that keeps
    the utility, until `steps` positions were tried or those two are `tolerance` apart.

    >>> next_position({1.0: True, 0.0: False}, 6, 0.1)
    0.5
    """
    expect(steps >= 2, "steps >= 2", "steps", steps)
    expect(0 < tolerance < 1, "0 < tolerance < 1", "tolerance", tolerance)
    if len(kept) >= steps:
        return None
    if 1.0 not in kept:
        return 1.0
    if not kept[1.0]:
        return None
    if 0.0 not in kept:
        return 0.0
    high = min(position for position, good in kept.items() if good)
    below = [position for position, good in kept.items() if not good and position < high]
    if not below or high - max(below) <= tolerance:
        return None
    return (high + max(below)) / 2


def level_at(ends: tuple[float, float], position: float) -> float:
    """Return the level at a position between its most private value and its most useful one.

    Even steps in logarithms where both are above 0, else in the value itself; to three figures, and
    whole numbers where both are whole (ints). The ends come back as they are.

    >>> level_at((0.5, 8.0), 0.5), level_at((2, 16), 0.5), level_at((0.9, 0.0), 0.5)
    (2.0, 6, 0.45)
    """
    first, last = ends
    if position in (0.0, 1.0):
        return last if position else first
    if first > 0 and last > 0:
        value: float = first * (last / first) ** position
    else:
        value = first + (last - first) * position
    if isinstance(first, int) and isinstance(last, int):
        return round(value)
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else value
