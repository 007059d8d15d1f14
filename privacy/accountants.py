"""Accountants: epsilon from noise, and which of them can be believed where.

Accountants of Opacus and dp-accounting are imported only when they are asked.
"""

import logging
import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np

from privacy.checks import one_of, open_unit, positive, whole
from privacy.losses import composed_loss
from privacy.renyi import rdp_epsilon

logger = logging.getLogger(__name__)

Accountant = Literal["pld", "rdp", "prv"]
ACCOUNTANTS: tuple[Accountant, ...] = get_args(Accountant)
UNSAMPLED = "gaussian without sampling"

# The most points on which PRV may be asked to discretise: a few seconds at a million steps.
PRV_POINTS = 2**20
PRV_EPSILON_ERROR = 0.01

# The most steps that PLD may be asked to compose.
PLD_STEPS = 1_000_000

# Below this delta the rounding of PLD's and PRV's Fourier transforms shows, in either direction
# (PLD at 1e-14, 100,000 releases at noise multiplier 300: 8.27 for a true 8.33; at 1e-12 it lies
# 5.6e-4 of itself below the exact value at a rate of 1, where the closed form is a floor for it).
FOURIER_DELTA = 1e-9

# The same for pure releases, whose epsilon of a Fourier transform then errs by less than 1e-6.
PURE_DELTA = 1e-10


def gaussian_epsilon(noise_multiplier: float, releases: int, delta: float) -> float:
    """The epsilon of `releases` Gaussian releases, exact: no sampling is claimed.

    `noise_multiplier` is the noise's standard deviation over the L2 sensitivity of one release.

    >>> round(gaussian_epsilon(0.600229, 1, 1e-5), 4)
    8.0
    >>> round(gaussian_epsilon(0.300115, 1, 1e-5), 1)  # the noise of a claimed 8, C taken for 2 C
    19.1

    | input | outcome |
    |---|---|
    | `releases` 0 | 0.0: nothing was released |
    | `noise_multiplier` zero, negative, infinite or NaN | `ValueError` |
    | `delta` not strictly between 0 and 1; `releases` negative or no integer | `ValueError` |

    Reference: Balle and Wang (2018), theorem 8; the composition of n Gaussian releases is one
    with its noise divided by sqrt(n) (Dong, Roth, Su, 2022, corollary 3.3).
    """
    positive("noise_multiplier", noise_multiplier)
    whole("releases", releases)
    open_unit("delta", delta)
    if releases == 0:
        return 0.0
    from dp_accounting import get_epsilon_gaussian  # heavy: only when asked

    with np.errstate(divide="ignore"):  # its log of zero stands for a delta of zero
        return float(get_epsilon_gaussian(noise_multiplier / math.sqrt(releases), delta))


@dataclass(frozen=True)
class Bound:
    """An upper bound on epsilon at a delta, with the accountant that vouches for it."""

    epsilon: float
    accountant: str
    delta: float


def poisson_gaussian_epsilon(
    noise_multiplier: float,
    sample_rate: float,
    steps: int,
    delta: float,
    accountant: Accountant = "pld",
) -> float:
    """An upper bound on the epsilon of the Poisson-subsampled Gaussian (DP-SGD).

    `poisson_gaussian_bound` without the name of the accountant that vouches for it.

    >>> round(poisson_gaussian_epsilon(1.0, 0.01, 1000, 1e-5, accountant="rdp"), 5)
    2.10137
    """
    bound = poisson_gaussian_bound(noise_multiplier, sample_rate, steps, delta, accountant)
    return bound.epsilon


def poisson_gaussian_bound(
    noise_multiplier: float,
    sample_rate: float,
    steps: int,
    delta: float,
    accountant: Accountant = "pld",
) -> Bound:
    """An upper bound on the epsilon of the Poisson-subsampled Gaussian, and who vouches for it.

    Add-or-remove-one; for the `release` view alone, and only where every record really is drawn
    independently with probability `sample_rate` at each step. What PLD or PRV cannot do within
    bounded time and memory, or at a delta below 1e-9 without rounding, falls to the smallest valid
    bound at hand, with a warning in the log; PRV is taken only where it is not below PLD, itself
    an upper bound.

    | input | outcome |
    |---|---|
    | `steps` 0 or `sample_rate` 0 | epsilon 0.0: no record was touched |
    | `sample_rate` 1 | no amplification: every record at every step |
    | `sample_rate` outside [0, 1] | `ValueError` |
    | `noise_multiplier` zero, negative, infinite or NaN | `ValueError` |
    | `delta` not strictly between 0 and 1; `steps` negative or no integer | `ValueError` |
    """
    one_of("accountant", accountant, ACCOUNTANTS)
    positive("noise_multiplier", noise_multiplier)
    whole("steps", steps)
    open_unit("delta", delta)
    if not 0 <= sample_rate <= 1:
        raise ValueError(f"expected 0 <= sample_rate <= 1, got sample_rate={sample_rate}")
    if steps == 0 or sample_rate == 0:
        return Bound(0.0, accountant, delta)
    best = best_bound(noise_multiplier, sample_rate, steps, delta, accountant)
    warn_of_fallback(best, accountant)
    return best


def warn_of_fallback(bound: Bound, accountant: Accountant) -> None:
    """Log a warning where another accountant than the one asked for vouches for the bound."""
    if bound.accountant != accountant:
        logger.warning("%s does not serve here: epsilon is from %s", accountant, bound.accountant)


def best_bound(
    noise_multiplier: float,
    sample_rate: float,
    steps: int,
    delta: float,
    accountant: Accountant,
    grain: float = 1.0,
) -> Bound:
    """`poisson_gaussian_bound` of checked arguments; grain: of PLD's grid, times the usual one."""
    safe = _rdp(noise_multiplier, sample_rate, steps, delta)
    if accountant == "rdp":
        return safe
    plain = Bound(gaussian_epsilon(noise_multiplier, steps, delta), UNSAMPLED, delta)
    best = min(plain, safe, key=lambda bound: bound.epsilon)
    if delta >= FOURIER_DELTA:
        pld = _pld(
            noise_multiplier, sample_rate, steps, delta, grain * _interval(noise_multiplier, safe)
        )
        if sample_rate == 1 and pld is not None:  # rounding may put it below what is exact
            pld = Bound(max(pld.epsilon, plain.epsilon), "pld", delta)
        best = min(pld or plain, safe, key=lambda bound: bound.epsilon)
        asked = accountant == "prv"
        prv = _prv(noise_multiplier, sample_rate, steps, delta) if asked else None
        if prv is not None and best.epsilon <= prv.epsilon <= safe.epsilon:
            best = prv
    return best


def pure_bound(epsilon: float, releases: int, delta: float) -> Bound:
    """The epsilon of `releases` releases, each under pure differential privacy.

    The sum, at delta 0; or the optimal composition at `delta`, by the privacy loss of randomised
    response, which dominates every mechanism of the same epsilon. The second where it is smaller
    by at least a hundredth: a delta is not given away for less.

    | input | outcome |
    |---|---|
    | `releases` 0 | 0.0: nothing was released |
    | `delta` 0 or below 1e-10 (rounding), more than 1,000,000 releases | the sum |
    | `epsilon` zero, negative, infinite or NaN | `ValueError` |
    | `delta` outside [0, 1); `releases` negative or no integer | `ValueError` |

    >>> pure_bound(0.5, 4, 0.0)
    Bound(epsilon=2.0, accountant='pure, summed', delta=0.0)

    Reference: Kairouz, Oh, Viswanath (2015), "The composition theorem for differential privacy",
    theorem 3.3.
    """
    positive("epsilon", epsilon)
    whole("releases", releases)
    if delta != 0:
        open_unit("delta", delta)
    summed = Bound(epsilon * releases, "pure, summed", 0.0)
    if releases < 2 or releases > PLD_STEPS or delta < PURE_DELTA:
        return summed
    from dp_accounting.pld import common, privacy_loss_distribution

    one = privacy_loss_distribution.from_privacy_parameters(
        common.DifferentialPrivacyParameters(epsilon, 0.0),
        value_discretization_interval=epsilon,  # both losses, + and - epsilon, lie on the grid
    )
    composed = float(one.self_compose(releases).get_epsilon_for_delta(delta)) * (1.0 + 1e-6)
    optimal = Bound(composed, "optimal composition of pure releases", delta)
    return optimal if composed < 0.99 * summed.epsilon else summed


def _rdp(noise_multiplier: float, sample_rate: float, steps: int, delta: float) -> Bound:
    """Always a finite bound: where RDP has none, that of releases without sampling."""
    epsilon = rdp_epsilon(noise_multiplier, sample_rate, steps, delta)
    if math.isfinite(epsilon):
        return Bound(epsilon, "rdp", delta)
    return Bound(gaussian_epsilon(noise_multiplier, steps, delta), UNSAMPLED, delta)


def _interval(noise_multiplier: float, ceiling: Bound) -> float:
    """The grid of PLD, as fine as memory allows below this bound on epsilon."""
    largest_loss = 0.5 / noise_multiplier**2 + 10.0 / noise_multiplier  # of one step
    return max(1e-4, 1e-5 * ceiling.epsilon, 5e-6 * largest_loss)


def _pld(
    noise_multiplier: float, sample_rate: float, steps: int, delta: float, interval: float
) -> Bound | None:
    """PLD on a grid; a coarser one is still an upper bound."""
    if steps > PLD_STEPS:
        return None
    try:
        epsilon = _epsilon_of_loss(noise_multiplier, sample_rate, steps, delta, interval)
    except (ArithmeticError, MemoryError, RuntimeError, ValueError):
        logger.warning("PLD failed", exc_info=True)
        return None
    return Bound(epsilon, "pld", delta) if math.isfinite(epsilon) else None


@lru_cache(maxsize=1024)  # a number, where the loss it is read from may have millions
def _epsilon_of_loss(
    noise_multiplier: float, sample_rate: float, steps: int, delta: float, interval: float
) -> float:
    """The epsilon at which the loss of so many steps has this delta."""
    loss = composed_loss(noise_multiplier, sample_rate, steps, interval)
    return float(loss.get_epsilon_for_delta(delta))


def _prv(noise_multiplier: float, sample_rate: float, steps: int, delta: float) -> Bound | None:
    """PRV, after a look at the size of its grid: it would rather die than say no."""
    from opacus.accountants import PRVAccountant, RDPAccountant

    delta_error = delta / 1000
    reach = PRV_EPSILON_ERROR
    for count, tail in ((steps, delta_error / 4), (1, delta_error / (8 * steps))):
        rdp = RDPAccountant()
        rdp.history = [(noise_multiplier, sample_rate, count)]
        reach = max(reach, float(rdp.get_epsilon(tail)))
    mesh = PRV_EPSILON_ERROR / math.sqrt(steps * math.log(12 / delta_error) / 2)
    if not 2 * (reach + 3) / mesh <= PRV_POINTS:
        return None
    prv = PRVAccountant()
    prv.history = [(noise_multiplier, sample_rate, steps)]
    try:
        epsilon = float(
            prv.get_epsilon(delta, eps_error=PRV_EPSILON_ERROR, delta_error=delta_error)
        )
    except (ArithmeticError, MemoryError, RuntimeError, ValueError):
        logger.warning("PRV failed", exc_info=True)
        return None
    return Bound(epsilon, "prv", delta) if math.isfinite(epsilon) else None
