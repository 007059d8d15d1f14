"""Epsilon lower bounds from what an adversary achieved: valid at a stated significance.

A bound says: were the true epsilon below it, so good a result would come up with a probability of
at most `significance`. That holds for counts taken with a rule fixed beforehand; a threshold picked
on the same scores breaks it, unless `split_epsilon` or `best_epsilon` does the picking.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

import numpy as np
from scipy import optimize, special, stats

from evaluation.metrics.candidate_clusters import Sides, first_of_each, halves
from evaluation.metrics.intervals import clopper_pearson
from fedbert.errors import InputError, expect

HIGHEST = 64.0  # no audit of fewer than e^64 trials reaches it
STEPS = 50  # of a bisection: to 1e-13


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


def gaussian_mu_bound(
    true_positives: int, positives: int, false_positives: int, negatives: int, significance: float
) -> float:
    """Return a lower bound on mu of a mu-GDP mechanism from hits and false alarms; 0 for none.

    Raises:
        InputError: for counts that cannot be, or a significance out of range.
    """
    least, most = _rates(true_positives, positives, false_positives, negatives, 0.0, significance)
    if not 0 < most < 1 or not 0 < least < 1:
        return 0.0
    return max(0.0, float(stats.norm.ppf(least) - stats.norm.ppf(most)))


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
    check_one_run(canaries, guesses, correct, delta, significance)
    return _one_run(int(canaries), int(guesses), int(correct), delta, significance)


@lru_cache(maxsize=65536)
def _one_run(canaries: int, guesses: int, correct: int, delta: float, significance: float) -> float:
    """Return `one_run_epsilon` of checked counts."""
    if guesses == 0 or one_run_p(canaries, guesses, correct, delta, 0.0) > significance:
        return 0.0
    low, high = 0.0, HIGHEST
    for _ in range(STEPS):
        middle = (low + high) / 2
        rejected = one_run_p(canaries, guesses, correct, delta, middle) <= significance
        low, high = (middle, high) if rejected else (low, middle)
    return low


def check_one_run(
    canaries: int, guesses: int, correct: int, delta: float, significance: float
) -> None:
    """Raise InputError for counts of one run that cannot be, or levels out of range."""
    _whole(canaries=canaries, guesses=guesses, correct=correct)
    expect(guesses <= canaries, f"guesses <= canaries ({canaries})", "guesses", guesses)
    expect(correct <= guesses, f"correct <= guesses ({guesses})", "correct", correct)
    check_levels(delta, significance)


def one_run_p(canaries: int, guesses: int, correct: int, delta: float, epsilon: float) -> float:
    """Return a bound on the probability of so many right guesses under (epsilon, delta).

    Right guesses are at most binomial with the chance e^epsilon / (1 + e^epsilon), up to delta:
    2 canaries delta times the largest mean, over i, of the i probabilities below `correct`.
    """
    chance = 1 / (1 + math.exp(-epsilon))
    if correct == 0:
        return 1.0
    tail = float(special.betainc(correct, guesses - correct + 1, chance))
    if delta == 0:
        return tail
    counts = np.arange(correct - 1, -1, -1)
    ways = special.gammaln(guesses + 1) - special.gammaln(counts + 1)
    ways -= special.gammaln(guesses - counts + 1)
    log_odd = math.log(chance), -epsilon + math.log(chance)  # of right and of wrong
    below = np.exp(ways + counts * log_odd[0] + (guesses - counts) * log_odd[1])
    means = np.cumsum(below) / np.arange(1, correct + 1)
    return min(1.0, tail + 2 * canaries * delta * float(means.max()))


def best_epsilon(
    member_scores: Sequence[float] | np.ndarray,
    non_member_scores: Sequence[float] | np.ndarray,
    delta: float,
    significance: float,
    thresholds: int = 20,
    clusters: Sides | None = None,
) -> float:
    """Return the best bound over thresholds, each at its share of the significance (Bonferroni).

    The thresholds are quantiles of all scores together, which says nothing of who is a member.
    clusters [member], [non-member]: of candidates that depend on each other the first alone counts
    on each side, as binomial counts ask for independent ones.

    Raises:
        InputError: without scores on both sides, or for levels out of range.
    """
    members, non_members = _sides(member_scores, non_member_scores)
    if clusters is not None:
        (members, non_members), _ = first_of_each((members, non_members), clusters)
    expect(thresholds >= 1, "thresholds >= 1", "thresholds", thresholds)
    both = np.concatenate([members, non_members])
    cutoffs = np.unique(np.quantile(both, (np.arange(thresholds) + 0.5) / thresholds))
    check_levels(delta, significance)
    return float(bounds_at(members, non_members, cutoffs, delta, significance / thresholds).max())


def split_epsilon(
    member_scores: Sequence[float] | np.ndarray,
    non_member_scores: Sequence[float] | np.ndarray,
    delta: float,
    significance: float,
    rng: np.random.Generator,
    clusters: Sides | None = None,
) -> float:
    """Return a bound with the threshold chosen on one random half and judged on the other.

    clusters [member], [non-member]: each falls into one half whole, and the first of its candidates
    on a side alone counts. 0 where they leave a half without a side.

    Raises:
        InputError: with fewer than two scores on a side, or for levels out of range.
    """
    members, non_members = _sides(member_scores, non_member_scores)
    expect(
        min(len(members), len(non_members)) >= 2,
        "two scores a side",
        "scores",
        min(len(members), len(non_members)),
    )
    sides = members, non_members
    if clusters is None:
        parts = [np.array_split(rng.permutation(side), 2) for side in sides]
    else:
        sides, clusters = first_of_each(sides, clusters)
        drawn = halves(clusters, rng)
        parts = [[s[half], s[~half]] for s, half in zip(sides, drawn, strict=True)]
        if not all(len(part) for part in chain(*parts)):
            return 0.0
    (choose_in, judge_in), (choose_out, judge_out) = parts
    check_levels(delta, significance)
    cutoffs = np.unique(np.concatenate([choose_in, choose_out]))
    best = int(np.argmax(bounds_at(choose_in, choose_out, cutoffs, delta, significance)))
    return float(bounds_at(judge_in, judge_out, cutoffs[[best]], delta, significance)[0])


def bounds_at(
    members: np.ndarray, non_members: np.ndarray, cutoffs: np.ndarray, delta: float, level: float
) -> np.ndarray:
    """Return `clopper_pearson_epsilon` at every threshold [cutoff], whichever side is called in.

    Each is valid by itself at its level; whoever picks among them has to pay for it.
    """
    hits, alarms = counts_at(members, cutoffs), counts_at(non_members, cutoffs)
    return share_bounds(hits, len(members), alarms, len(non_members), delta, level)


def counts_at(scores: np.ndarray, cutoffs: np.ndarray) -> np.ndarray:
    """Return how many scores are at or above each threshold [cutoff] int64."""
    return len(scores) - np.searchsorted(np.sort(scores), cutoffs, side="left")


def share_bounds(
    hits: np.ndarray, positives: int, alarms: np.ndarray, negatives: int, delta: float, level: float
) -> np.ndarray:
    """Return `clopper_pearson_epsilon` of many counts at once [count], unchecked."""
    tail = level / 2
    some, all_ = np.maximum(hits, 1), np.minimum(alarms, negatives - 1)
    least = special.betaincinv(some, positives - some + 1, tail)
    most = special.betainccinv(all_ + 1, negatives - all_, tail)
    least, most = np.where(hits > 0, least, 0.0), np.where(alarms < negatives, most, 1.0)
    with np.errstate(divide="ignore"):
        found = np.maximum((least - delta) / most, (1 - most - delta) / (1 - least))
        return np.asarray(np.log(np.maximum(found, 1.0)))


def _rates(
    hits: int, positives: int, alarms: int, negatives: int, delta: float, significance: float
) -> tuple[float, float]:
    """Return the least true-positive and the most false-positive rate, at half the level each."""
    _whole(true_positives=hits, positives=positives, false_positives=alarms, negatives=negatives)
    expect(positives >= 1, "positives >= 1", "positives", positives)
    expect(negatives >= 1, "negatives >= 1", "negatives", negatives)
    expect(hits <= positives, f"at most {positives} positives", "true_positives", hits)
    expect(alarms <= negatives, f"at most {negatives} negatives", "false_positives", alarms)
    check_levels(delta, significance)
    two_sided = 1 - significance  # each end of a two-sided interval has half of it
    least, _ = clopper_pearson(hits, positives, two_sided)
    _, most = clopper_pearson(alarms, negatives, two_sided)
    return least, most


def _whole(**counts: int) -> None:
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
            raise InputError(f"expected an integer >= 0, got {name}={value!r}")


def check_levels(delta: float, significance: float) -> None:
    """Raise InputError for a delta or a significance out of range."""
    expect(0 <= delta < 1, "0 <= delta < 1", "delta", delta)
    expect(0 < significance < 1, "0 < significance < 1", "significance", significance)


def _sides(*sides: Sequence[float] | np.ndarray) -> list[np.ndarray]:
    arrays = [np.asarray(side, dtype=np.float64) for side in sides]
    for name, values in zip(("member_scores", "non_member_scores"), arrays, strict=True):
        fine = values.ndim == 1 and len(values) > 0 and bool(np.isfinite(values).all())
        expect(fine, "finite scores [candidate], at least one", name, values.shape)
    return arrays


def distance_bound(there: np.ndarray, empty: np.ndarray, level: float) -> float:
    """Return a lower bound on how many standard deviations two Gaussian means lie apart.

    Exact for samples of one unknown spread: the t statistic has a non-central t distribution.
    0 where nothing is shown, or a side has fewer than two samples.
    """
    m, n = len(there), len(empty)
    if min(m, n) < 2:
        return 0.0
    squares = sum(float(((each - each.mean()) ** 2).sum()) for each in (there, empty))
    size = math.sqrt(m * n / (m + n))
    found = size * float(there.mean() - empty.mean()) / math.sqrt(squares / (m + n - 2))

    def tail(shift: float) -> float:
        return float(stats.nct.sf(found, m + n - 2, shift)) - level

    if found <= 0 or tail(0.0) >= 0:
        return 0.0
    return float(optimize.brentq(tail, 0.0, found)) / size
