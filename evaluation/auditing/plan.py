"""Audit plan: how many canaries each method needs before it could contradict a claim.

Two answers for each. The least: every canary told rightly, so that with fewer the method cannot
speak at all. And what it takes against a mechanism of twice the claimed epsilon, with the results
that are to be expected by its trade-off curve; that is about what an audit should have. The
mechanism is DP-SGD where its sampling is given, a message with its label where the label's epsilon
is; else it is taken to be Gaussian.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from evaluation.auditing.assumed import Assumed, Sampling, assumed
from evaluation.auditing.gaussian_bounds import gaussian_epsilon_bound, one_run_gaussian_epsilon
from evaluation.metrics.epsilon_bounds import clopper_pearson_epsilon, one_run_epsilon, share_bounds
from fedbert.errors import expect
from privacy.allowed import MU_DELTA
from privacy.gaussian_distance import gaussian_distance
from privacy.tradeoff import line_curve

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

    least: with a perfect adversary; likely: against the assumed mechanism of twice the epsilon;
    reach: the largest bound that `canaries` of them can show.
    """

    name: str
    unit: str
    least: int | None
    likely: int | None
    reach: float


def plan(
    epsilon: float,
    delta: float,
    canaries: int = 1000,
    significance: float = SIGNIFICANCE,
    sampling: Sampling | None = None,
) -> list[Method]:
    """Return what every method needs to contradict a claim of (epsilon, delta).

    sampling: where it is given, the bounds that hold for Gaussian mechanisms alone are left out.

    Raises:
        InputError: for a claim, a count or a sampling out of range.
    """
    expect(0 < epsilon < math.inf, "a finite epsilon > 0", "epsilon", epsilon)
    expect(0 < delta < 1, "0 < delta < 1", "delta", delta)
    expect(canaries >= FEWEST, f"canaries >= {FEWEST}", "canaries", canaries)
    twice, found = assumed(2 * epsilon, delta, sampling), []
    for name, unit, perfect, likely in _methods(delta, twice, significance):
        reach = max(perfect(n) for n in _up_to(canaries))
        most = MOST_RUN if unit == RUN else MOST
        least, real = (_first(bound, epsilon, most) for bound in (perfect, likely))
        found.append(Method(name, unit, least, real, reach))
    return found


def _methods(delta: float, twice: Assumed, level: float) -> Iterator[tuple[str, str, Bound, Bound]]:
    """Yield each method's bound for perfect and for expected results, by the count."""
    shares = np.concatenate([SHARES, SHARES / 100])  # of false alarms
    rates = shares, twice.tpr_at(shares)
    right = [(share, _right(share, twice)) for share in GUESSED]

    def fixed(share: float, level: float) -> tuple[Bound, Bound]:
        """Clopper-Pearson on a share of the scores."""
        return (
            lambda n: clopper_pearson_epsilon(
                _of(n, share), _of(n, share), 0, _of(n, share), delta, level
            ),
            lambda n: _pearson_expected(_of(n, share), rates, delta, level),
        )

    yield "Clopper-Pearson, threshold fixed beforehand", SIDE, *fixed(1.0, level)
    yield "Clopper-Pearson, Bonferroni over 20 thresholds", SIDE, *fixed(1.0, level / 20)
    yield "Clopper-Pearson, threshold from one half", SIDE, *fixed(0.5, level)
    mu = twice.mu
    if mu is not None:
        yield (
            "Gaussian bound, threshold fixed beforehand",
            SIDE,
            lambda n: gaussian_epsilon_bound(n, n, 0, n, delta, level),
            lambda n: _gaussian_expected(n, mu, delta, level),
        )
    yield (
        "one run",
        RUN,
        lambda n: one_run_epsilon(n, n, n, delta, level),
        lambda n: _one_run_expected(n, right, delta, level, one_run_epsilon),
    )
    if mu is not None:
        yield (
            "one run, Gaussian trade-off",
            RUN,
            lambda n: one_run_gaussian_epsilon(n, n, n, delta, level),
            lambda n: _one_run_expected(n, right, delta, level, one_run_gaussian_epsilon),
        )


def _of(count: int, share: float) -> int:
    return max(1, int(count * share))


def _pearson(n: int, delta: float, level: float) -> float:
    return clopper_pearson_epsilon(n, n, 0, n, delta, level)


def _pearson_expected(
    n: int, rates: tuple[np.ndarray, np.ndarray], delta: float, level: float
) -> float:
    """Return the best bound over thresholds from the counts to be expected of these rates."""
    alarms, hits = np.ceil(n * rates[0]).astype(int), np.floor(n * rates[1]).astype(int)
    return float(share_bounds(hits, n, alarms, n, delta, level).max())


def _gaussian_expected(n: int, mu: float, delta: float, level: float) -> float:
    hits = math.floor(n * ndtr(mu / 2))
    return gaussian_epsilon_bound(hits, n, n - hits, n, delta, level)


def _one_run_expected(
    n: int,
    right: list[tuple[float, float]],
    delta: float,
    level: float,
    bound: Callable[[int, int, int, float, float], float],
) -> float:
    """Return the best bound over how many are guessed, from the right guesses to be expected.

    right: pairs of a share that is guessed, and how often rightly.
    """
    found = 0.0
    for share, rate in right:
        guesses = 2 * max(1, int(n * share / 2))
        found = max(found, bound(n, guesses, math.floor(guesses * rate), delta, level))
    return found


def _right(share: float, twice: Assumed) -> float:
    """Return how often the most extreme share of scores is guessed rightly.

    Half of it is the upper end, where members and others are as many as their rates there; the
    lower end is the same the other way round.
    """
    low, high = -80.0, 0.0  # log of the others' share at the upper end
    for _ in range(60):
        middle = (low + high) / 2
        rate = math.exp(middle)
        beyond = rate + float(twice.tpr_at(np.array([rate]))[0])
        low, high = (low, middle) if beyond > share else (middle, high)
    wrong = math.exp(high)
    right = float(twice.tpr_at(np.array([wrong]))[0])
    return right / (right + wrong)


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
    methods: list[Method],
    epsilon: float,
    delta: float,
    canaries: int,
    significance: float,
    sampling: Sampling | None = None,
) -> list[str]:
    """Return the plan as a Markdown table with its reading."""
    own = assumed(epsilon, delta, sampling)
    lines = [
        f"To contradict epsilon {epsilon:g} at delta {delta:g}, with {1 - significance:.0%} "
        "confidence:",
        "",
        f"| method | counted in | at least | if epsilon is {2 * epsilon:g} ({own.name}) | "
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
        "the second is what it takes where the noise is that of twice the epsilon.",
        _assumption(own),
        "In one run every canary costs delta once more, so that no count may do; tried were up to",
        f"{MOST_RUN} canaries in a run and {MOST} scores a side.",
        "",
        *_allowed(epsilon, delta, own),
    ]


def _assumption(own: Assumed) -> str:
    """Return what the second count takes for granted, in words."""
    if own.mu is None:
        whose = "DP-SGD's" if own.name == "DP-SGD" else "that mechanism's"
        return f"It is by {whose} own trade-off curve: the best that an adversary can do."
    return (
        "It assumes a Gaussian mechanism without sampling. DP-SGD of that epsilon shows far less:\n"
        "with --sample-rate and --steps the count is by its own trade-off curve."
    )


def _allowed(epsilon: float, delta: float, own: Assumed) -> list[str]:
    """Return what the claim allows an attack, by its one line and by a mechanism's whole curve."""
    line, curve = line_curve(epsilon, delta), own.curve
    rows = [
        (f"TPR at {100 * fpr:g} % FPR", line.tpr_at(fpr), curve.tpr_at(fpr))
        for fpr in (0.001, 0.01, 0.1)
    ]
    rows.append(("advantage (TPR - FPR)", line.advantage(), curve.advantage()))
    floor = max(delta, MU_DELTA)
    mus = [gaussian_distance(each, floor) for each in (line, curve)]
    told = ("none" if mu is None else f"{mu:.4g}" for mu in mus)
    return [
        f"| the claim allows at most | any mechanism | if it is {own.name} |",
        "|---|---|---|",
        *(f"| {name} | {any_:.4g} | {mine:.4g} |" for name, any_, mine in rows),
        f"| mu of a Gaussian, down to delta {floor:g} | {' | '.join(told)} |",
        "",
        "Whose mechanism is known has a curve of its own: `fedbert-eval budget epsilon` prints it.",
    ]


def _count(count: int | None) -> str:
    return "none does" if count is None else str(count)
