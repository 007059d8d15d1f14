"""Search for the least noise whose cost, by whatever tells it, is not over a target."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

CLOSE = 1e-4
"""How close the noise comes to the least, relatively."""


@dataclass(frozen=True)
class Found(Generic[T]):
    """A noise multiplier that meets the target, its answer, and whether less is known not to."""

    sigma: float
    answer: T
    close: bool


class _Tried(NamedTuple):
    """A noise multiplier's logarithm, and that of its answer over the target."""

    place: float
    excess: float


def least_noise(
    answer_at: Callable[[float], T], over: Callable[[T], float], start: float, calls: int
) -> Found[T]:
    """The least noise multiplier whose answer is not over its target.

    over: an answer's size as a share of the target, nearly a power of the noise; at most 1 meets
    it. So secants on the logarithms come close in a few calls; each guess is shifted a little to
    the side that is not known yet. The last call that met the target is what is returned.
    """
    place, same_side = math.log(start), 0
    above: _Tried | None = None  # too little noise: over the target
    below: _Tried | None = None
    last: _Tried | None = None
    found: Found[T] | None = None
    steepness = 1.0
    while calls > 0 or found is None:
        calls -= 1
        sigma = math.exp(place)
        answer = answer_at(sigma)
        share = over(answer)
        tried = _Tried(place, math.log(max(share, 1e-308)))
        if share <= 1:
            same_side = same_side + 1 if above is None else 0
            below, found = tried, Found(sigma, answer, close=False)
        else:
            same_side = same_side + 1 if below is None else 0
            above = tried
        if above is not None and below is not None and found is not None:
            close = below.place - above.place < 0.9 * CLOSE
            if close:
                return replace(found, close=True)
        if last is not None and tried.place != last.place:
            slope = (last.excess - tried.excess) / (tried.place - last.place)
            steepness = min(max(slope, 0.2), 8.0)
        place, last = _next(above, below, tried, steepness, same_side), tried
    return found


def _next(
    above: _Tried | None, below: _Tried | None, tried: _Tried, steepness: float, same_side: int
) -> float:
    """Where to look next: across the target from the side that is known too well already."""
    if above is None or below is None:
        nudge = 0.3 * CLOSE * 4.0**same_side
        step = tried.excess / steepness
        step += nudge if below is None else -nudge
        return tried.place + min(max(step, -2.0), 2.0)
    width = below.place - above.place
    share = above.excess / (above.excess - below.excess)
    guess = tried.place + tried.excess / steepness
    if not above.place < guess < below.place:
        guess = above.place + share * width
    guess += -0.4 * CLOSE if below.place - guess < guess - above.place else 0.4 * CLOSE
    edge = min(0.05 * width, 0.4 * CLOSE)
    return min(max(guess, above.place + edge), below.place - edge)
