"""Banded factorisation of running sums: noise over rounds that later rounds partly take off again.

The model after round i is the sum of the rounds' updates so far, A X with A the lower triangle of
ones. A is written as B C, and what is released is X + C^-1 Z for independent Gaussian Z: the sums
then carry the noise B Z instead of A Z. C is lower-triangular with so many bands, row i column j
being c[i - j] / norm of column j: Toeplitz, every column scaled to length 1.

Columns at least `bands` apart share no row and are orthogonal. So one client's rows, each of length
at most 1, no two of them closer than that, move C X by at most the square root of their number.

Reference: Choquette-Choo, Ganesh, McKenna, McMahan, Rush, Thakurta, Xu (2023), "(Amplified) banded
matrix factorization: a unified approach to private training", algorithm 9 and its section on
multiple participations; Denisov, McMahan, Rush, Smith, Thakurta (2022), "Improved differential
privacy for SGD via optimal private linear operators on adaptive streams", theorem 2.1: the claim
holds where later rows depend on what was released.
"""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from privacy.checks import whole

Floats = NDArray[np.float64]
DIGITS = 5
"""Coefficients are rounded to so many: the same wherever they are looked for."""


@lru_cache(maxsize=64, typed=True)  # 2.0 is no 2: it is refused whatever was asked before
def coefficients(bands: int, rounds: int) -> tuple[float, ...]:
    """The Toeplitz coefficients `[band]`, of length 1, with the least noise on the running sums.

    Least is the mean over rounds of the expected squared error, among Toeplitz matrices of so many
    bands; the last columns are scaled afterwards.

    >>> coefficients(1, 100)
    (1.0,)

    Raises:
        ValueError: bands or rounds are no integers from 1, or there are more bands than rounds.
    """
    for name, value in (("bands", bands), ("rounds", rounds)):
        whole(name, value)
        if value < 1:
            raise ValueError(f"expected {name} >= 1, got {name}={value}")
    if bands > rounds:
        raise ValueError(f"expected bands <= rounds ({rounds}), got bands={bands}")
    if bands == 1:
        return (1.0,)
    from scipy.optimize import minimize  # heavy: only when asked

    left = np.arange(rounds, 0, -1.0)  # [round]: in how many of the sums a round's noise stands
    halves = np.arange(1.0, bands)
    start = np.cumprod((halves - 0.5) / halves)  # the square root of A, cut to its bands
    found = minimize(
        _error, start, (left,), "L-BFGS-B", jac=True, options={"maxiter": 1000, "ftol": 1e-14}
    )
    own = [1.0, *np.round(found.x, DIGITS).tolist()]
    length = math.sqrt(math.fsum(value * value for value in own))
    return tuple(value / length for value in own)


def _error(after: Floats, left: Floats) -> tuple[float, Floats]:
    """Return the error of the coefficients 1, `after` [band - 1], and its gradient.

    In a Toeplitz matrix every column of A C^-1 begins with the same values, v: T v = 1. A column of
    A C^-1 that begins in round i is as long as the rounds left, so value v[i] stands in left[i].
    """
    from scipy.signal import lfilter

    own = np.concatenate([[1.0], after])
    v = lfilter([1.0], own, np.ones(len(left)))
    squared, total = float(own @ own), float(left @ (v * v))
    back = lfilter([1.0], own, (2.0 * left * v)[::-1])[::-1]
    slopes = np.array([-float(back[j:] @ v[: len(v) - j]) for j in range(1, len(own))])
    return squared * total, 2.0 * after * total + squared * slopes


def column_norms(own: tuple[float, ...], rounds: int) -> Floats:
    """The lengths `[round]` of the columns before they are scaled: 1, but for the last ones.

    A column that begins in one of the last rounds has lost the coefficients beyond the end.
    """
    norms = np.ones(rounds)
    short = min(len(own), rounds)
    norms[rounds - short :] = np.sqrt(np.cumsum(np.square(own[:short])))[::-1]
    return norms


def noise_rows(own: tuple[float, ...], rounds: int, first: int | None = None) -> Floats:
    """The matrix C^-1 `[round, round]`: by row, what of each round's Z a round's noise is made of.

    first: only so many of its rows and columns; None: all.

    >>> noise_rows((1.0,), 2).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    from scipy.signal import lfilter

    size = rounds if first is None else min(first, rounds)
    below = lfilter([1.0], own, np.eye(1, size)[0])
    rows = np.zeros((size, size))
    for column in range(size):
        rows[column:, column] = below[: size - column]
    return np.asarray(column_norms(own, rounds)[:size, None] * rows)


def round_variances(own: tuple[float, ...], rounds: int, begun: int = 0) -> Floats:
    """The variance `[round]` of each round's own noise, for Z of variance 1.

    begun: the round before which there was no noise to take off.
    """
    from scipy.signal import lfilter

    first = lfilter([1.0], own, np.eye(1, max(rounds - begun, 0))[0])
    found = np.zeros(rounds)
    found[begun:] = np.cumsum(np.square(first))
    return np.asarray(found * np.square(column_norms(own, rounds)))


def sum_variance(own: tuple[float, ...], rounds: int, span: range) -> float:
    """The variance of what a span of rounds adds to the model, for Z of variance 1.

    >>> sum_variance((1.0,), 5, range(1, 4))
    3.0
    """
    from scipy.signal import lfilter

    there = np.zeros(rounds)
    there[span.start : span.stop] = column_norms(own, rounds)[span.start : span.stop]
    shares = lfilter([1.0], own, there[::-1])  # of each round's Z, the last round first
    return float(shares @ shares)
