"""E-values against a claim about Gaussian noise: that it is large enough, everywhere, and fresh.

For whoever has the noise itself: what was released less what went into the mechanism, in standard
deviations of the claim. Under the claim every value is a standard normal one, or larger noise,
drawn by itself. Each function returns logarithms of e-values: their mean under the claim is at
most 1.
"""

import math

import numpy as np
from scipy.special import ndtr

SIZES = (0.25, 0.5, 0.75, 0.9, 0.97)
"""Shares of the claimed standard deviation that are bet on."""
BARE = (0.3, 0.01)
"""Shares of the values without noise that are bet on, beside two values in all."""
RATIO = 16.0
"""Variance that is bet on where two rounds share noise, beside 1."""


def too_small(squares: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return bets [group, size] that noise is smaller than claimed: likelihood ratios.

    squares, counts [group]: the sum of squares of so many values. Falling in the squares, so that
    larger noise than claimed is no harm to it.

    >>> bool(too_small(np.array([25.0]), np.array([100]))[0, 1] > 30)
    True
    """
    share = np.array(SIZES)
    narrow = (1 / share**2 - 1) / 2
    return np.asarray(-counts[:, None] * np.log(share) - squares[:, None] * narrow)


def bare_limit(count: int, rounding: float) -> float:
    """Return below which of the claim's standard deviations a value counts as bare of noise.

    count: of the group's values; rounding: the most that rounding moves one. Fixed before the noise
    is looked at: so low that among all values about one in a hundred groups has one by chance.
    """
    return max(2.0**-20, 0.0125 / max(count, 1), 8 * rounding)


def without_noise(hits: np.ndarray, counts: np.ndarray, limits: np.ndarray) -> np.ndarray:
    """Return bets [group, share] that some values have no noise: binomial likelihood ratios.

    hits [group]: values within `limits` [group], of counts [group].
    """
    chance = 2 * ndtr(1.5 * limits) - 1  # half of a limit is more than rounding moves a value
    few = np.minimum(0.5, 2 / np.maximum(counts, 1))
    shares = np.column_stack([few, *(np.full(len(counts), share) for share in BARE)])
    bet = chance[:, None] + shares * (1 - chance[:, None])
    missed = (counts - hits)[:, None]
    return np.asarray(
        hits[:, None] * np.log(bet / chance[:, None])
        + missed * (np.log1p(-bet) - np.log1p(-chance)[:, None])
    )


def alike(products: np.ndarray, new: np.ndarray, old: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Return bets that noise was used before, from scalar products with earlier noise.

    products: of the new values with the old ones; new, old: sums of squares of either; counts: of
    how many values. Under the claim the direction of the new noise is uniform, however large it is;
    noise used again, or its opposite, has the old one's. The bet is the density of directions of
    normal values whose variance along the old noise is 1 + RATIO, in place of 1. No bet where
    either is zero.

    Reference: Tyler (1987), "Statistical analysis for the angular central Gaussian distribution on
    the sphere".
    """
    seen = (new > 0) & (old > 0)
    cosine = np.divide(products**2, new * old, out=np.zeros_like(products), where=seen)
    bent = np.log1p(-np.minimum(cosine, 1.0) * RATIO / (1 + RATIO))
    return np.where(seen, -counts / 2 * bent - math.log1p(RATIO) / 2, 0.0)
