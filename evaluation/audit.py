"""Lower bounds on epsilon from what an adversary achieved: valid at a stated significance.

A bound says: were the true epsilon below it, so good a result would come up with a probability of
at most `significance`. That holds for counts taken with a rule fixed beforehand; a threshold picked
on the same scores breaks it, unless `split_epsilon` or `best_epsilon` does the picking.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats

from evaluation.intervals import clopper_pearson
from fedbert.config import InputError, expect

HIGHEST = 64.0  # no audit of fewer than e^64 trials reaches it
STEPS = 60  # of a bisection: to 1e-16


def clopper_pearson_epsilon(
    true_positives: int,
    positives: int,
    false_positives: int,
    negatives: int,
    delta: float,
    significance: float,
) -> float:
    """Return a lower bound on epsilon from hits and false alarms of a rule fixed beforehand.

    Both rates are bounded at half the significance; (epsilon, delta) then has to allow the one with
    the other, in either direction. 0 where nothing is shown.

    >>> round(clopper_pearson_epsilon(500, 500, 0, 500, 0.0, 0.01), 8)
    4.54191581

    Raises:
        InputError: for counts that cannot be, or delta or significance out of range.

    Reference: Jagielski, Ullman, Oprea (2020), "Auditing differentially private machine learning".
    """
    least, most = _rates(true_positives, positives, false_positives, negatives, delta, significance)
    found = 0.0
    for numerator, denominator in ((least - delta, most), (1 - most - delta, 1 - least)):
        if numerator > 0:  # the upper bounds are above zero: there are trials on both sides
            found = max(found, math.log(numerator / denominator))
    return found


def gaussian_epsilon_bound(
    true_positives: int,
    positives: int,
    false_positives: int,
    negatives: int,
    delta: float,
    significance: float,
) -> float:
    """Return a lower bound on epsilon if the mechanism is Gaussian: rates give mu, mu epsilon.

    Tighter than `clopper_pearson_epsilon`, and valid only where the trade-off curve is that of a
    Gaussian mechanism (mu-GDP), as for noise added once or summed over many releases.

    Raises:
        InputError: for counts that cannot be, delta 0, or delta or significance out of range.

    Reference: Nasr et al. (2023), "Tight auditing of differentially private machine learning".
    """
    expect(delta > 0, "delta > 0 for a Gaussian mechanism", "delta", delta)
    least, most = _rates(true_positives, positives, false_positives, negatives, delta, significance)
    if not 0 < most < 1 or not 0 < least < 1:
        return 0.0
    mu = float(stats.norm.ppf(least) - stats.norm.ppf(most))
    if mu <= 0:
        return 0.0
    from privacy.accountants import gaussian_epsilon

    return max(0.0, gaussian_epsilon(1 / mu, 1, delta))


def one_run_epsilon(
    canaries: int, guesses: int, correct: int, delta: float, significance: float
) -> float:
    """Return a lower bound on epsilon from one training with canaries put in by fair coins.

    Of so many canaries an adversary guessed `guesses` (in or out) and was right on `correct`, the
    choice of what to guess made without a look at the truth. 0 where nothing is shown.

    >>> round(one_run_epsilon(1000, 1000, 700, 0.0, 0.05), 5)
    0.73201

    Raises:
        InputError: for counts that cannot be, or delta or significance out of range.

    Reference: Steinke, Nasr, Jagielski (2023), "Privacy auditing with one (1) training run",
    theorem 5.2.
    """
    _whole(canaries=canaries, guesses=guesses, correct=correct)
    expect(guesses <= canaries, f"guesses <= canaries ({canaries})", "guesses", guesses)
    expect(correct <= guesses, f"correct <= guesses ({guesses})", "correct", correct)
    _levels(delta, significance)
    if guesses == 0 or _one_run_p(canaries, guesses, correct, delta, 0.0) > significance:
        return 0.0
    low, high = 0.0, HIGHEST
    for _ in range(STEPS):
        middle = (low + high) / 2
        rejected = _one_run_p(canaries, guesses, correct, delta, middle) <= significance
        low, high = (middle, high) if rejected else (low, middle)
    return low


def _one_run_p(canaries: int, guesses: int, correct: int, delta: float, epsilon: float) -> float:
    """Return a bound on the probability of so many right guesses under (epsilon, delta).

    Right guesses are at most binomial with the chance e^epsilon / (1 + e^epsilon), up to delta:
    2 canaries delta times the largest mean, over i, of the i probabilities below `correct`.
    """
    chance = 1 / (1 + math.exp(-epsilon))
    tail = float(stats.binom.sf(correct - 1, guesses, chance))
    if delta == 0 or correct == 0:
        return tail
    below = stats.binom.pmf(np.arange(correct - 1, -1, -1), guesses, chance)
    means = np.cumsum(below) / np.arange(1, correct + 1)
    return min(1.0, tail + 2 * canaries * delta * float(means.max()))


def best_epsilon(
    member_scores: Sequence[float] | np.ndarray,
    non_member_scores: Sequence[float] | np.ndarray,
    delta: float,
    significance: float,
    thresholds: int = 20,
) -> float:
    """Return the best bound over thresholds, each at its share of the significance (Bonferroni).

    The thresholds are quantiles of all scores together, which says nothing of who is a member.

    Raises:
        InputError: without scores on both sides, or for levels out of range.
    """
    ins, outs = _sides(member_scores, non_member_scores)
    expect(thresholds >= 1, "thresholds >= 1", "thresholds", thresholds)
    both = np.concatenate([ins, outs])
    places = np.unique(np.quantile(both, (np.arange(thresholds) + 0.5) / thresholds))
    share = significance / thresholds
    return max(_at(ins, outs, float(place), delta, share) for place in places)


def split_epsilon(
    member_scores: Sequence[float] | np.ndarray,
    non_member_scores: Sequence[float] | np.ndarray,
    delta: float,
    significance: float,
    rng: np.random.Generator,
) -> float:
    """Return a bound with the threshold chosen on one random half and judged on the other.

    Raises:
        InputError: with fewer than two scores on a side, or for levels out of range.
    """
    ins, outs = _sides(member_scores, non_member_scores)
    expect(min(len(ins), len(outs)) >= 2, "two scores a side", "scores", min(len(ins), len(outs)))
    halves = [np.array_split(rng.permutation(side), 2) for side in (ins, outs)]
    (choose_in, judge_in), (choose_out, judge_out) = halves
    places = np.unique(np.concatenate([choose_in, choose_out]))
    found = [_at(choose_in, choose_out, float(p), delta, significance) for p in places]
    return _at(judge_in, judge_out, float(places[int(np.argmax(found))]), delta, significance)


def _at(ins: np.ndarray, outs: np.ndarray, place: float, delta: float, level: float) -> float:
    """Return the bound at a threshold, whichever side of it is called a member."""
    hits, alarms = int((ins >= place).sum()), int((outs >= place).sum())
    return clopper_pearson_epsilon(hits, len(ins), alarms, len(outs), delta, level)


def _rates(
    hits: int, positives: int, alarms: int, negatives: int, delta: float, significance: float
) -> tuple[float, float]:
    """Return the least true-positive and the most false-positive rate, at half the level each."""
    _whole(true_positives=hits, positives=positives, false_positives=alarms, negatives=negatives)
    expect(positives >= 1, "positives >= 1", "positives", positives)
    expect(negatives >= 1, "negatives >= 1", "negatives", negatives)
    expect(hits <= positives, f"at most {positives} positives", "true_positives", hits)
    expect(alarms <= negatives, f"at most {negatives} negatives", "false_positives", alarms)
    _levels(delta, significance)
    two_sided = 1 - significance  # each end of a two-sided interval has half of it
    least, _ = clopper_pearson(hits, positives, two_sided)
    _, most = clopper_pearson(alarms, negatives, two_sided)
    return least, most


def _whole(**counts: int) -> None:
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
            raise InputError(f"expected an integer >= 0, got {name}={value!r}")


def _levels(delta: float, significance: float) -> None:
    expect(0 <= delta < 1, "0 <= delta < 1", "delta", delta)
    expect(0 < significance < 1, "0 < significance < 1", "significance", significance)


def _sides(*sides: Sequence[float] | np.ndarray) -> list[np.ndarray]:
    arrays = [np.asarray(side, dtype=np.float64) for side in sides]
    for name, values in zip(("member_scores", "non_member_scores"), arrays, strict=True):
        fine = values.ndim == 1 and len(values) > 0 and bool(np.isfinite(values).all())
        expect(fine, "finite scores [candidate], at least one", name, values.shape)
    return arrays
