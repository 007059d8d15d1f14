"""Calibration: the least Gaussian noise that meets a target: an epsilon at a delta, or a risk."""

import logging
import math
from collections.abc import Callable
from functools import lru_cache

from privacy.accountants import (
    ACCOUNTANTS,
    Accountant,
    Bound,
    best_bound,
    warn_of_fallback,
)
from privacy.checks import one_of, open_unit, positive, whole
from privacy.least_noise import Found, least_noise
from privacy.one_message import message_multiplier
from privacy.risk import Risk, Target, gaussian_noise, message_noise, sampled_noise

logger = logging.getLogger(__name__)

# Relative head room over the root search (its tolerance is 1e-12), so that the epsilon of a
# calibrated mechanism never comes out above its target.
MARGIN = 1e-9

# The most often that an accountant is asked on the way to the least noise of DP-SGD. RDP is quick,
# PLD on a coarse grid, too; PLD on its own grid and PRV may take a second each.
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


def noise_multiplier_for(target: Target, delta: float, releases: int) -> float:
    """The least noise, in sensitivities, for which `releases` Gaussian releases meet the target.

    target: an epsilon, met at `delta`; or a risk, which delta says nothing of.

    Raises:
        ValueError: an epsilon not positive and finite, delta not strictly between 0 and 1, or
            releases not an integer of at least 1.
    """
    whole("releases", releases)
    positive("releases", releases)
    if isinstance(target, Risk):
        return gaussian_noise(target, releases)
    positive("target_epsilon", target)
    return gaussian_sigma(target, delta, sensitivity=math.sqrt(releases))


def multiplier_beside(target: Target, delta: float, releases: int, beside: float) -> float:
    """The least noise with which Gaussian releases meet a target that includes another cost.

    beside: the epsilon of a pure release about the same record with each of them; 0.0 for none.

    Raises:
        ValueError: as `noise_multiplier_for`, or a target that the other cost alone takes.
    """
    if not beside:
        return noise_multiplier_for(target, delta, releases)
    if isinstance(target, Risk):
        return message_noise(target, beside, releases)
    return message_multiplier(target, delta, beside, releases)


def sampled_multiplier(target: Target, delta: float, sample_rate: float, steps: int) -> float:
    """The least noise, in clip norms, for which so many steps of DP-SGD meet the target.

    Raises:
        ValueError: as `poisson_noise_multiplier`, or as `sampled_noise`.
    """
    if isinstance(target, Risk):
        return sampled_noise(target, sample_rate, steps)
    return poisson_noise_multiplier(target, delta, sample_rate, steps)


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
    warn_of_fallback(found.answer, accountant)
    return found.sigma


@lru_cache(maxsize=1024)  # the cells of a grid ask for the same again, at seconds a time
def _search(
    target: float, delta: float, sample_rate: float, steps: int, accountant: Accountant
) -> Found[Bound]:
    """The least noise for checked arguments: by RDP, from there by PLD, coarsely, and at last."""

    def by(name: Accountant, grain: float = 1.0) -> Callable[[float], Bound]:
        return lambda sigma: best_bound(sigma, sample_rate, steps, delta, name, grain)

    def over(bound: Bound) -> float:
        return max(bound.epsilon, 1e-300) / target

    start = noise_multiplier_for(target, delta, steps)  # enough without any sampling
    found = least_noise(by("rdp"), over, start, RDP_CALLS)
    if accountant != "rdp":
        found = least_noise(by("pld", COARSE), over, found.sigma, CALLS)
        found = least_noise(by(accountant), over, found.sigma, CALLS)
    return found
