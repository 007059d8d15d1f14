"""Ladder of claims around one that is audited, and how far so many samples could climb it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from evaluation.auditing.verdict import Claim
from evaluation.metrics.betting import NEAR_ALL, claim_points, gaussian_points
from evaluation.metrics.epsilon_bounds import HIGHEST

SHARES = (0.1, 0.25, 0.4, 0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95)
BEYOND = (1.25, 2.0, 4.0)
ROUNDING = 1e-4  # of a claim: what is called a violation lies above the claim by so much
STEPS = 30  # of a bisection
LEAST = 0.01  # the epsilon beyond a claim of 0 that its first rung stands for


@dataclass(frozen=True)
class Ladder:
    """Claims [rung] of one kind, rising, with the epsilon that each stands for.

    own: the rung of the claim that is audited. enough: the epsilon at which it counts as reached.
    """

    levels: tuple[float, ...]
    claims: tuple[np.ndarray, ...]
    own: int
    enough: float


def ladder(claim: Claim, samples: int, alpha: float, share: float) -> Ladder:
    """Return the rungs for an audit of so many trials a side, which is to reach a share.

    The share is of the claim, or of what so many samples could show, where that is less.
    """
    top = reachable(samples, claim, alpha)
    low = min(claim.epsilon, top)
    own = claim.epsilon * (1 + ROUNDING) + (LEAST if claim.epsilon == 0 else 0.0)
    below = [each * low for each in SHARES if low > 0]
    above = [own * each for each in BEYOND if own * each <= max(top, own * BEYOND[1])]
    levels = (*below, own, *above)
    points = points_of(claim)
    claims = tuple(points(level) for level in levels)
    return Ladder(levels, claims, len(below), share * low * (1 - 1e-9))


def points_of(claim: Claim) -> Callable[[float], np.ndarray]:
    """Return what makes of an epsilon the points of a claim of the same kind."""
    if not claim.gaussian:
        return lambda epsilon: claim_points(epsilon, claim.delta)
    return lambda epsilon: gaussian_points(_mu(epsilon, claim.delta) if epsilon > 0 else 0.0)


@lru_cache(maxsize=4096)
def _mu(epsilon: float, delta: float) -> float:
    """Return the mu of the Gaussian mechanism of this (epsilon, delta)."""
    from privacy.calibration import gaussian_sigma

    return 1 / gaussian_sigma(epsilon, delta, 1.0)


def reachable(samples: int, claim: Claim, alpha: float) -> float:
    """Return the bound that so many trials a side give if each is told rightly."""
    points, low, high = points_of(claim), 0.0, HIGHEST
    for _ in range(STEPS):
        middle = (low + high) / 2
        grown = samples * _perfect(points(middle)) >= math.log(1 / alpha)
        low, high = (middle, high) if grown else (low, middle)
    return low


def more(claim: Claim, alpha: float) -> str:
    """Return how many samples could contradict the claim."""
    count = math.log(1 / alpha) / max(_perfect(points_of(claim)(claim.epsilon)), 2.0**-60)
    return f"at least about {math.ceil(count)} judged samples a side"


def _perfect(points: np.ndarray) -> float:
    """Return the growth of the logarithm of wealth, a trial a side, if each is told rightly."""
    half = points[:, 1] / 2
    odds = np.exp(np.minimum(points[:, 0], 700.0))
    most = NEAR_ALL / (np.maximum(0.5, odds - 0.5) + half)
    return float((2 * np.log1p(most * (0.5 - half))).max())
