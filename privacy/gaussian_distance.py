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
        least = _distances(np.log(odds[known]), deltas[known]).max()
        at, height = _lines(odds, deltas, floor)
        mus = _distances(np.log(at), height)
        most = float(max(least, mus.max(initial=0.0)))
        if delta_of is None or most <= least * (1 + CLOSE):
            break
        epsilon = float(np.log(at[mus.argmax()]))
        told = np.append(told, [[epsilon, delta_of(epsilon)]], axis=0)
        told = told[np.argsort(told[:, 0], kind="stable")]
    return most * (1 + CLOSE) if most < FAR else None


def _hull(odds: Points, deltas: Points) -> tuple[Points, Points]:
    """The lower convex hull of points (e^epsilon, delta), the first rising."""
    kept: list[tuple[float, float]] = []
    for x, y in zip(odds.tolist(), deltas.tolist(), strict=True):
        if kept and x == kept[-1][0]:
            y = min(y, kept.pop()[1])
        while len(kept) > 1 and _bends_down(kept[-2], kept[-1], (x, y)):
            kept.pop()
        kept.append((x, y))
    found = np.array(kept)
    return found[:, 0], found[:, 1]


def _bends_down(
    one: tuple[float, float], two: tuple[float, float], three: tuple[float, float]
) -> bool:
    """Whether the middle one of three points does not lie below the line through the others."""
    rise = (three[1] - one[1]) * (two[0] - one[0])
    return (two[1] - one[1]) * (three[0] - one[0]) >= rise


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


def _distances(epsilons: Points, deltas: Points) -> Points:
    """The mu [point] whose Gaussians have these deltas at these epsilons; never less."""
    from scipy.special import log_ndtr, ndtr

    low, high = np.full(len(epsilons), 1e-9), np.full(len(epsilons), FAR)
    for _ in range(56):
        mu = (low + high) / 2
        second = np.exp(epsilons + log_ndtr(-mu / 2 - epsilons / mu))
        enough = ndtr(mu / 2 - epsilons / mu) - second >= deltas
        low, high = np.where(enough, low, mu), np.where(enough, mu, high)
    return high
