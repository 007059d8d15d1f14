"""Distance mu of the two unit Gaussians that are at least as easy to tell apart as a claim's data.

Derived from delta(epsilon), as the curve is, and only down to a delta that is stated with it: what
fails outright with probability 1e-6 has no mu for smaller deltas. Delta is convex in e^epsilon, so
that straight lines between its known points bound it from above. A mu of points alone would be too
small; here it covers the lines between them as well.

Reference: Dong, Roth, Su (2022), "Gaussian differential privacy", corollary 2.13.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from privacy.tradeoff import Curve

Points = NDArray[np.float64]

CLOSE = 1e-5  # relative: how far mu may lie above what the known points need
READINGS = 60  # of further deltas
BETWEEN = 4000  # points on all lines together, 8 on each at least: one long line bends far
FAR = 60.0  # beyond this epsilon, and beyond this mu, none is stated


def gaussian_distance(
    curve: Curve, floor: float, delta_of: Callable[[float], float] | None = None
) -> float | None:
    """The least mu whose Gaussians have the curve's delta, or more, wherever it is above the floor.

    delta_of: reads further deltas of the curve, where its own points lie too far apart.

    None where no mu does, as of a delta that stays above the floor.

    >>> from privacy.tradeoff import gaussian_curve
    >>> round(gaussian_distance(gaussian_curve(2.0, releases=9), 1e-5), 4)
    1.5

    Raises:
        ValueError: the floor is not strictly between 0 and 1.
    """
    if not 0 < floor < 1:
        raise ValueError(f"expected 0 < floor < 1, got floor={floor}")
    told = np.array([curve.epsilons, curve.deltas]).T
    told = told[told[:, 0] <= FAR]
    if told[-1, 1] > floor:
        return None
    most = 0.0
    for _ in range(READINGS):
        odds, deltas = _hull(np.exp(told[:, 0]), told[:, 1])
        known = deltas >= floor
        if not known.any():
            return 0.0
        least, _ = _largest_distance(np.log(odds[known]), deltas[known])
        at, height = _lines(odds, deltas, floor)
        between, furthest = _largest_distance(np.log(at), height)
        most = max(least, between)
        if delta_of is None or most <= least * (1 + CLOSE):
            break
        epsilon = float(np.log(at[furthest]))
        told = np.append(told, [[epsilon, delta_of(epsilon)]], axis=0)
        told = told[np.argsort(told[:, 0], kind="stable")]
    return most * (1 + CLOSE) if most < FAR else None


def _hull(odds: Points, deltas: Points) -> tuple[Points, Points]:
    """The lower convex hull of points (e^epsilon, delta), the first rising."""
    x, first = np.unique(odds, return_index=True)
    y = np.minimum.reduceat(deltas, first)
    while len(x) > 2:
        left, right = np.diff(x), np.diff(y)
        rise = (right[:-1] + right[1:]) * left[:-1]
        above = right[:-1] * (left[:-1] + left[1:]) >= rise  # of the line through its neighbours
        if not above.any():
            break
        below = np.concatenate(([True], ~above, [True]))
        x, y = x[below], y[below]
    return x, y


def _lines(odds: Points, deltas: Points, floor: float) -> tuple[Points, Points]:
    """Points on the lines between neighbours, and where they cross the floor, none below it."""
    pieces = max(8, BETWEEN // len(odds))
    shares = np.arange(1, pieces) / pieces
    at = odds[:-1, None] + np.diff(odds)[:, None] * shares
    height = deltas[:-1, None] + np.diff(deltas)[:, None] * shares
    last = int(np.flatnonzero(deltas >= floor)[-1])
    found, level = at.ravel(), height.ravel()
    if last + 1 < len(odds) and deltas[last] > floor:
        share = (deltas[last] - floor) / (deltas[last] - deltas[last + 1])
        crossing = odds[last] + share * (odds[last + 1] - odds[last])
        found, level = np.append(found, crossing), np.append(level, floor)
    return found[level >= floor], level[level >= floor]


def _largest_distance(epsilons: Points, deltas: Points) -> tuple[float, int]:
    """The mu whose Gaussians have these deltas at all these epsilons, and who needs it.

    Never less than that; 0 and no one where there are none. Whoever is content with a smaller mu
    than somebody needs is not asked again.
    """
    from scipy.special import log_ndtr, ndtr

    low, high, asking = 1e-9, FAR, np.arange(len(epsilons))
    if not len(asking):
        return 0.0, -1
    for _ in range(56):
        mu = (low + high) / 2
        at = epsilons[asking]
        second = np.exp(at + log_ndtr(-mu / 2 - at / mu))
        wanting = asking[ndtr(mu / 2 - at / mu) - second < deltas[asking]]
        if len(wanting):
            low, asking = mu, wanting
        else:
            high = mu
    return high, int(asking[0])
