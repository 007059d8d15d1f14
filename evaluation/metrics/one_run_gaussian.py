"""One-run epsilon bound with many canaries, sharpened by the mechanism's trade-off function.

The bound. m canaries are in or out by fair coins S. An adversary guesses `guesses` = r of them, W
of these rightly; let N(i) = P(W >= i). Fix a canary j and all other coins; let E be the outputs for
which j is guessed to be b and i - 1 or more of the other guesses are right. With S_j = b this event
says "j right, W >= i"; with S_j = 1 - b it says "j guessed, wrong, W >= i - 1". A mechanism whose
trade-off function is f gives P(E | b) <= 1 - f(P(E | 1 - b)), and 1 - f is concave, so the mean
over b, over the other coins and over j keeps the inequality (Jensen):

    E[W; W >= i] / m  <=  1 - f( E[r - W; W >= i - 1] / m ).

Written with N, E[W; W >= i] = i N(i) + N(i + 1) + ... + N(r), which makes of it a lower bound on
N(i - 1) that grows with N(i), ..., N(r). So the least N follows from N(v) = significance and N = 0
above v, step by step down to N(0). If N(0) would have to exceed 1, then v right guesses have a
probability below the significance, whatever the adversary does.

Reference: Mahloujifar, Melis, Chaudhuri (2024), "Auditing f-differential privacy in one run".
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache

import numpy as np
from scipy.special import ndtr, ndtri

from evaluation.metrics.epsilon_bounds import check_one_run, one_run_epsilon
from fedbert.errors import expect

MOST_MU = 20.0  # beyond any count of canaries
STEPS = 40  # of a bisection: to 2e-11
FRACTIONS = (1.0, 0.5, 0.2, 0.1)

Allowed = Callable[[float], float]
"""The least share of wrong events under which a share of right ones is allowed: (1 - f)^-1."""


def refuted(canaries: int, guesses: int, correct: int, significance: float, least: Allowed) -> bool:
    """Return whether so many right guesses are rarer than the significance for a mechanism.

    least: for a mechanism with trade-off function f, the inverse of 1 - f: convex, rising, 0 at 0.
    """
    if correct == 0 or guesses == 0:
        return False
    r, scale = guesses, guesses / canaries
    tail = significance  # N(i)
    above = 0.0  # N(i + 1) + ... + N(r)
    for i in range(correct, 0, -1):
        right = scale * (i * tail + above) / r
        wrong = least(right) / scale
        above += tail
        tail = max(tail, (above / r + wrong) / (1 - (i - 1) / r))
        if tail > 1:
            return True
    return False


def gaussian_least(mu: float) -> Allowed:
    """Return the inverse of 1 - f for two unit Gaussians at distance mu."""
    return lambda right: float(ndtr(ndtri(min(right, 1.0)) - mu))


def curve_least(points: np.ndarray) -> Allowed:
    """Return the inverse of 1 - f for a curve of points [point, (epsilon, delta)].

    Each point is two lines that the curve lies under, one for either direction; the largest of
    convex functions is convex.
    """
    odds, deltas = np.exp(np.minimum(points[:, 0], 700.0)), points[:, 1]

    def least(right: float) -> float:
        above, below = (right - deltas) / odds, 1 - deltas - odds * (1 - right)
        return max(0.0, float(above.max()), float(below.max()))

    return least


def one_run_by_curves(
    counts: tuple[int, int, int],
    significance: float,
    levels: Sequence[float],
    curves: Sequence[np.ndarray],
) -> float:
    """Return the largest level whose curve one run refutes; 0 for none.

    counts: canaries, guesses, right ones. levels: the epsilon of each curve, rising. curves: points
    [point, (epsilon, delta)] that a mechanism of that level lies under, each above the one before:
    as of DP-SGD with less and less noise.

    Guarantee: a bound above the truth comes up with a probability of at most `significance`. For
    that, a curve of a level above the truth has to be refuted. It lies above the mechanism's own,
    and what refutes it, refutes all below it, since `refuted` falls only for a larger `least`; so
    the own curve would be refuted, too, which has that probability (see the module).

    Raises:
        InputError: as `one_run_epsilon`.
    """
    check_one_run(*counts, 0.0, significance)
    found = 0.0
    for level, points in zip(levels, curves, strict=True):
        if not refuted(*counts, significance, curve_least(points)):
            break
        found = level
    return found


@lru_cache(maxsize=4096)
def one_run_mu(canaries: int, guesses: int, correct: int, significance: float) -> float:
    """Return a lower bound on mu of a mu-GDP mechanism from one run. 0 where nothing is shown.

    Raises:
        InputError: as `one_run_epsilon`.
    """
    check_one_run(canaries, guesses, correct, 0.0, significance)
    if not refuted(canaries, guesses, correct, significance, gaussian_least(0.0)):
        return 0.0
    low, high = 0.0, MOST_MU
    for _ in range(STEPS):
        middle = (low + high) / 2
        beyond = refuted(canaries, guesses, correct, significance, gaussian_least(middle))
        low, high = (middle, high) if beyond else (low, middle)
    return low


def right_guesses(scores: np.ndarray, coins: np.ndarray, guesses: int) -> int:
    """Return how many of the `guesses` most extreme scores are on the side of their coin.

    The upper half of them is guessed to be in, the lower half out; the truth is not looked at. An
    odd one goes to the upper half. Where scores tie, a draw decides who is guessed, seeded by the
    counts alone: neither the order of the files nor the coins have a say. scores, coins (bool)
    [canary].
    """
    draw = np.random.default_rng([len(scores), guesses]).permutation(len(scores))
    scores, coins = scores[draw], coins[draw]
    order = np.argsort(-scores, kind="stable")
    upper, lower = (guesses + 1) // 2, guesses // 2
    return int(coins[order[:upper]].sum() + (~coins[order[len(order) - lower :]]).sum())


def one_run_from_scores(
    scores: np.ndarray,
    coins: np.ndarray,
    delta: float,
    significance: float,
    fractions: Sequence[float] = FRACTIONS,
) -> float:
    """Return the best one-run bound over how many canaries are guessed (Bonferroni over them).

    scores, coins [canary]: higher = in; coins as the fair coins fell.

    Raises:
        InputError: if lengths differ, a score is not finite, or for levels out of range.
    """
    share = significance / len(fractions)
    tried = _guessed(scores, coins, fractions)
    return max(one_run_epsilon(*counts, delta, share) for counts in tried)


def curve_refuted(
    scores: np.ndarray,
    coins: np.ndarray,
    points: np.ndarray,
    significance: float,
    fractions: Sequence[float] = FRACTIONS,
) -> bool:
    """Return whether one run refutes a curve of points [point, (epsilon, delta)].

    For a mechanism under the curve that comes up with a probability of at most `significance`
    (Bonferroni over how many canaries are guessed). scores, coins: as `one_run_from_scores`.

    Raises:
        InputError: as `one_run_from_scores`.
    """
    share, least = significance / len(fractions), curve_least(points)
    return any(refuted(*counts, share, least) for counts in _guessed(scores, coins, fractions))


def _guessed(
    scores: np.ndarray, coins: np.ndarray, fractions: Sequence[float]
) -> list[tuple[int, int, int]]:
    """Return canaries, guesses and right ones for each share of canaries that is guessed."""
    scores, coins = np.asarray(scores, dtype=np.float64), np.asarray(coins, dtype=bool)
    expect(len(scores) == len(coins) > 0, "a coin for every score", "coins", len(coins))
    expect(bool(np.isfinite(scores).all()), "finite scores", "scores", "not finite")
    found = []
    for fraction in fractions:
        guesses = min(max(2, math.ceil(fraction * len(scores))), len(scores))
        found.append((len(scores), guesses, right_guesses(scores, coins, guesses)))
    return found
