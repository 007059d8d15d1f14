"""Audit plan: how many canaries each method needs before it could contradict a claim.

Two answers for each. The least: every canary told rightly, so that with fewer the method cannot
speak at all. And what it takes against a Gaussian mechanism of twice the claimed epsilon, with the
results that are to be expected; that is about what an audit should have.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from evaluation.auditing.gaussian_bounds import gaussian_epsilon_bound, one_run_gaussian_epsilon
from evaluation.metrics.epsilon_bounds import clopper_pearson_epsilon, one_run_epsilon, share_bounds
from fedbert.errors import expect
from privacy.tradeoff import gaussian_curve, line_curve

SIGNIFICANCE = 0.05
MOST = 2**20  # scores a side: beyond, a method is said not to get there
MOST_RUN = 2**15  # canaries in a run
FEWEST = 4
SHARES = np.linspace(0.01, 0.99, 99)  # of false alarms, for thresholds
GUESSED = (1.0, 0.5, 0.2, 0.1, 0.05)

SIDE, RUN = "scores a side", "canaries in a run"

Bound = Callable[[int], float]


@dataclass(frozen=True)
class Method:
    """A method's needs: canaries (or scores a side), or None where no count would do.

    least: with a perfect adversary; likely: against a Gaussian mechanism of twice the epsilon;
    reach: the largest bound that `canaries` of them can show.
    """

    name: str
    unit: str
    least: int | None
    likely: int | None
    reach: float


def plan(
    epsilon: float, delta: float, canaries: int = 1000, significance: float = SIGNIFICANCE
) -> list[Method]:
    """Return what every method needs to contradict a claim of (epsilon, delta).

    Raises:
        InputError: for a claim or a count out of range.
    """
    expect(0 < epsilon < math.inf, "a finite epsilon > 0", "epsilon", epsilon)
    expect(0 < delta < 1, "0 < delta < 1", "delta", delta)
    expect(canaries >= FEWEST, f"canaries >= {FEWEST}", "canaries", canaries)
    mu = _mu(2 * epsilon, delta)
    found = []
    for name, unit, perfect, likely in _methods(delta, mu, significance):
        reach = max(perfect(n) for n in _up_to(canaries))
        most = MOST_RUN if unit == RUN else MOST
        least, real = (_first(bound, epsilon, most) for bound in (perfect, likely))
        found.append(Method(name, unit, least, real, reach))
    return found


def _methods(delta: float, mu: float, level: float) -> list[tuple[str, str, Bound, Bound]]:
    """Return each method's bound for perfect and for expected results, by the count."""

    def fixed(share: float) -> tuple[Bound, Bound]:
        """Clopper-Pearson on a share of the scores, at a share of the level."""
        return (
            lambda n: _pearson(_of(n, share), delta, level),
            lambda n: _pearson_expected(_of(n, share), mu, delta, level),
        )

    bonferroni: tuple[Bound, Bound] = (
        lambda n: _pearson(n, delta, level / 20),
        lambda n: _pearson_expected(n, mu, delta, level / 20),
    )
    return [
        ("Clopper-Pearson, threshold fixed beforehand", SIDE, *fixed(1.0)),
        ("Clopper-Pearson, Bonferroni over 20 thresholds", SIDE, *bonferroni),
        ("Clopper-Pearson, threshold from one half", SIDE, *fixed(0.5)),
        (
            "Gaussian bound, threshold fixed beforehand",
            SIDE,
            lambda n: gaussian_epsilon_bound(n, n, 0, n, delta, level),
            lambda n: _gaussian_expected(n, mu, delta, level),
        ),
        (
            "one run",
            RUN,
            lambda n: one_run_epsilon(n, n, n, delta, level),
            lambda n: _one_run_expected(n, mu, delta, level, one_run_epsilon),
        ),
        (
            "one run, Gaussian trade-off",
            RUN,
            lambda n: one_run_gaussian_epsilon(n, n, n, delta, level),
            lambda n: _one_run_expected(n, mu, delta, level, one_run_gaussian_epsilon),
        ),
    ]


def _of(count: int, share: float) -> int:
    return max(1, int(count * share))


def _pearson(n: int, delta: float, level: float) -> float:
    return clopper_pearson_epsilon(n, n, 0, n, delta, level)


def _pearson_expected(n: int, mu: float, delta: float, level: float) -> float:
    """Return the best bound over thresholds from the counts to be expected of a Gaussian."""
    shares = np.concatenate([SHARES, SHARES / 100])
    hits = np.floor(n * ndtr(ndtri(shares) + mu)).astype(int)
    alarms = np.ceil(n * shares).astype(int)
    return float(share_bounds(hits, n, alarms, n, delta, level).max())


def _gaussian_expected(n: int, mu: float, delta: float, level: float) -> float:
    hits = math.floor(n * ndtr(mu / 2))
    return gaussian_epsilon_bound(hits, n, n - hits, n, delta, level)


def _one_run_expected(
    n: int,
    mu: float,
    delta: float,
    level: float,
    bound: Callable[[int, int, int, float, float], float],
) -> float:
    """Return the best bound over how many are guessed, from the right guesses to be expected."""
    found = 0.0
    for share in GUESSED:
        guesses = 2 * max(1, int(n * share / 2))
        right = math.floor(guesses * _right(share, mu))
        found = max(found, bound(n, guesses, right, delta, level))
    return found


def _right(share: float, mu: float) -> float:
    """Return how often the most extreme share of scores of a Gaussian is guessed rightly."""
    low, high = 0.0, 40.0
    for _ in range(60):  # the scores beyond `cut` on either side of mu / 2 are the share
        cut = (low + high) / 2
        beyond = ndtr(mu / 2 - cut) + ndtr(-mu / 2 - cut)
        low, high = (cut, high) if beyond > share else (low, cut)
    right, wrong = ndtr(mu / 2 - low), ndtr(-mu / 2 - low)
    return float(right / (right + wrong))


def _mu(epsilon: float, delta: float) -> float:
    """Return the mu of a Gaussian mechanism of this epsilon."""
    from privacy.calibration import gaussian_sigma

    return 1 / gaussian_sigma(epsilon, delta, 1.0)


def _up_to(canaries: int) -> list[int]:
    """Return counts up to `canaries`: more canaries can weaken a bound, through m x delta."""
    counts = {canaries, FEWEST}
    count = float(canaries)
    while count > FEWEST:
        counts.add(int(count))
        count /= 2
    return sorted(counts)


def _first(bound: Bound, epsilon: float, most: int) -> int | None:
    """Return about the least count whose bound is above epsilon: doubled, then bisected to 2 %."""
    high = FEWEST
    while bound(high) <= epsilon:
        high *= 2
        if high > most:
            return None
    low = high // 2
    while high - low > max(1, high // 50):
        middle = (low + high) // 2
        low, high = (low, middle) if bound(middle) > epsilon else (middle, high)
    return high


def as_lines(
    methods: list[Method], epsilon: float, delta: float, canaries: int, significance: float
) -> list[str]:
    """Return the plan as a Markdown table with its reading."""
    lines = [
        f"To contradict epsilon {epsilon:g} at delta {delta:g}, with {1 - significance:.0%} "
        "confidence:",
        "",
        f"| method | counted in | at least | if epsilon is {2 * epsilon:g} (Gaussian) | "
        f"largest epsilon with {canaries} |",
        "|---|---|---|---|---|",
    ]
    for each in methods:
        least, likely = (_count(n) for n in (each.least, each.likely))
        lines.append(f"| {each.name} | {each.unit} | {least} | {likely} | {each.reach:.3g} |")
    return [
        *lines,
        "",
        "With fewer than the first count not even an adversary who is always right could show it;",
        "the second is what it takes where the noise is that of twice the epsilon. In one run",
        "every canary costs delta once more, so that no count may do; tried were up to "
        f"{MOST_RUN} canaries in a run and {MOST} scores a side.",
        "",
        *_allowed(epsilon, delta),
    ]


def _allowed(epsilon: float, delta: float) -> list[str]:
    """Return what the claim allows an attack, by its one line and by the Gaussian's whole curve."""
    line, gaussian = line_curve(epsilon, delta), gaussian_curve(1 / _mu(epsilon, delta))
    rows = [
        (f"TPR at {100 * fpr:g} % FPR", line.tpr_at(fpr), gaussian.tpr_at(fpr))
        for fpr in (0.001, 0.01, 0.1)
    ]
    rows.append(("advantage (TPR - FPR)", line.advantage(), gaussian.advantage()))
    return [
        "| the claim allows at most | any mechanism | if it is Gaussian |",
        "|---|---|---|",
        *(f"| {name} | {any_:.4g} | {own:.4g} |" for name, any_, own in rows),
        "",
        "Whose mechanism is known has a curve of its own: `fedbert-eval budget epsilon` prints it.",
    ]


def _count(count: int | None) -> str:
    return "none does" if count is None else str(count)
