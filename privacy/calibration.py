"""Calibration: the least Gaussian noise that meets a target epsilon and delta."""

import logging
import math
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from privacy.accountants import (
    ACCOUNTANTS,
    Accountant,
    Bound,
    best_bound,
    warn_of_fallback,
)
from privacy.checks import one_of, open_unit, positive, whole
from privacy.one_message import message_multiplier

logger = logging.getLogger(__name__)

# Relative head room over the root search (its tolerance is 1e-12), so that the epsilon of a
# calibrated mechanism never comes out above its target.
MARGIN = 1e-9

# How close the noise of DP-SGD comes to the least, relatively, and the most often that an
# accountant is asked on the way. RDP is quick, PLD on a coarse grid, too; PLD on its own grid and
# PRV may take a second each.
CLOSE = 1e-4
RDP_CALLS = 60
CALLS = 12
COARSE = 16.0


def gaussian_sigma(epsilon: float, delta: float, sensitivity: float) -> float:
    """The smallest standard deviation with which Gaussian noise is (epsilon, delta)-DP.

    Guarantee: one release of a function whose L2 sensitivity is `sensitivity`; the relation is
    the one under which that sensitivity holds (clipping to C and replacing one means 2 C). For n
    releases give sensitivity times sqrt(n): the composition of Gaussian releases is exactly that.

    >>> round(gaussian_sigma(8.0, 1e-5, 1.0), 6)
    0.600229

    | input | outcome |
    |---|---|
    | epsilon or sensitivity zero, negative, infinite or NaN | `ValueError` |
    | delta not strictly between 0 and 1 | `ValueError` |

    Raises:
        ValueError: as in the table.

    Reference: Balle and Wang (2018), "Improving the Gaussian mechanism for differential
    privacy", theorem 8. The classic sqrt(2 ln(1.25 / delta)) / epsilon is invalid for epsilon
    above 1 and is not used.
    """
    positive("epsilon", epsilon)
    open_unit("delta", delta)
    positive("sensitivity", sensitivity)
    from dp_accounting import get_sigma_gaussian  # heavy: only when asked

    sigma = float(get_sigma_gaussian(epsilon, delta))
    return sigma * (1.0 + MARGIN) * sensitivity


def noise_multiplier_for(target_epsilon: float, delta: float, releases: int) -> float:
    """The least noise, in sensitivities, for which `releases` Gaussian releases meet the target.

    Raises:
        ValueError: target_epsilon not positive and finite, delta not strictly between 0 and 1,
            or releases not an integer of at least 1.
    """
    positive("target_epsilon", target_epsilon)
    whole("releases", releases)
    positive("releases", releases)
    return gaussian_sigma(target_epsilon, delta, sensitivity=math.sqrt(releases))


def multiplier_beside(target_epsilon: float, delta: float, releases: int, beside: float) -> float:
    """The least noise with which Gaussian releases meet a target that includes another cost.

    beside: the epsilon of a pure release about the same record with each of them; 0.0 for none.

    Raises:
        ValueError: as `noise_multiplier_for`, or a target that the other cost alone takes.
    """
    if not beside:
        return noise_multiplier_for(target_epsilon, delta, releases)
    return message_multiplier(target_epsilon, delta, beside, releases)


def poisson_noise_multiplier(
    target_epsilon: float,
    delta: float,
    sample_rate: float,
    steps: int,
    accountant: Accountant = "pld",
) -> float:
    """The least noise, in clip norms, for which so many steps of DP-SGD meet the target.

    Least by the accountant, to a relative 1e-4, and on the safe side: its epsilon never comes out
    above the target. Where the accountant does not serve, the one that vouches for the answer
    instead is named in a warning in the log, as `poisson_gaussian_bound` does.

    Guarantee: as of `poisson_gaussian_bound`, with its conditions.

    >>> round(poisson_noise_multiplier(2.10137, 1e-5, 0.01, 1000, accountant="rdp"), 3)
    1.0

    | input | outcome |
    |---|---|
    | `target_epsilon` zero, negative, infinite or NaN | `ValueError` |
    | `delta` not strictly between 0 and 1 | `ValueError` |
    | `sample_rate` zero or outside (0, 1]: nothing is released, or no probability | `ValueError` |
    | `steps` below 1 or no integer | `ValueError` |
    """
    positive("target_epsilon", target_epsilon)
    open_unit("delta", delta)
    if not 0 < sample_rate <= 1:
        raise ValueError(f"expected 0 < sample_rate <= 1, got sample_rate={sample_rate}")
    whole("steps", steps)
    positive("steps", steps)
    one_of("accountant", accountant, ACCOUNTANTS)

    found = _search(target_epsilon, delta, sample_rate, steps, accountant)
    if not found.close:
        logger.warning("noise multiplier %s meets its target, but less noise might", found.sigma)
    warn_of_fallback(found.bound, accountant)
    return found.sigma


class _Found(NamedTuple):
    """A noise multiplier that meets the target, and whether less noise is known not to."""

    sigma: float
    bound: Bound
    close: bool


@lru_cache(maxsize=1024)  # the cells of a grid ask for the same again, at seconds a time
def _search(
    target: float, delta: float, sample_rate: float, steps: int, accountant: Accountant
) -> _Found:
    """The least noise for checked arguments: by RDP, from there by PLD, coarsely, and at last."""

    def by(name: Accountant, grain: float = 1.0) -> Callable[[float], Bound]:
        return lambda sigma: best_bound(sigma, sample_rate, steps, delta, name, grain)

    start = noise_multiplier_for(target, delta, steps)  # enough without any sampling
    found = _least(by("rdp"), target, start, RDP_CALLS)
    if accountant != "rdp":
        found = _least(by("pld", COARSE), target, found.sigma, CALLS)
        found = _least(by(accountant), target, found.sigma, CALLS)
    return found


class _Tried(NamedTuple):
    """A noise multiplier's logarithm, and that of its epsilon over the target."""

    place: float
    excess: float


def _least(bound_at: Callable[[float], Bound], target: float, start: float, calls: int) -> _Found:
    """The least noise multiplier whose epsilon is at most the target.

    Epsilon is nearly a power of the noise, so secants on the logarithms meet the target in a few
    calls; each guess is shifted a little to the side that is not known yet.
    """
    place, same_side = math.log(start), 0
    above: _Tried | None = None  # too little noise: epsilon above the target
    below: _Tried | None = None
    last: _Tried | None = None
    found: _Found | None = None
    steepness = 1.0
    while calls > 0 or found is None:
        calls -= 1
        sigma = math.exp(place)
        bound = bound_at(sigma)
        tried = _Tried(place, math.log(max(bound.epsilon, 1e-300) / target))
        if bound.epsilon <= target:
            same_side = same_side + 1 if above is None else 0
            below, found = tried, _Found(sigma, bound, close=False)
        else:
            same_side = same_side + 1 if below is None else 0
            above = tried
        if above is not None and below is not None and found is not None:
            close = below.place - above.place < 0.9 * CLOSE
            if close:
                return found._replace(close=True)
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
