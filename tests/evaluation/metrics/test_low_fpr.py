"""Intervals of TPR at a low FPR hold the population's, and are not wider than they need be."""

import math

import numpy as np
import pytest
from scipy import stats

from evaluation.metrics.low_fpr import CORNERS, ranks, tpr_chance, tpr_interval
from evaluation.metrics.membership import tpr_at_fpr

REPEATS = 300
SHIFTS = {"normal": 1.0, "null": 0.0, "t": 3.0, "laplace": 2.0, "ties": 1.0, "fine ties": 1.0}
STEPS = {"ties": 0.5, "fine ties": 1 / 16}
LAWS = {"t": stats.t(2), "laplace": stats.laplace}


def draw(kind: str, shift: float, count: int, rng: np.random.Generator) -> np.ndarray:
    """Return scores; those with ties are rounded down, to halves or sixteenths."""
    if kind in LAWS:
        return shift + LAWS[kind].rvs(size=count, random_state=rng)
    values = rng.normal(shift, 1.0, count)
    return np.floor(values / STEPS[kind]) * STEPS[kind] if kind in STEPS else values


def truth(kind: str, shift: float, fpr: float) -> float:
    """Return the share of members above the threshold that non-members pass with at most `fpr`."""
    if kind in STEPS:
        edges = np.arange(-160, 160) * STEPS[kind]
        return float(stats.norm.sf(edges[stats.norm.sf(edges) <= fpr].min() - shift))
    law = LAWS.get(kind, stats.norm)
    return float(law.sf(law.isf(fpr) - shift))


@pytest.mark.parametrize("fpr", [0.01, 0.001])
@pytest.mark.parametrize("kind", SHIFTS)
def test_the_interval_holds_the_populations_tpr(kind: str, fpr: float) -> None:
    """At least 93 %, but for chance: 4 sd of a share of 300 (false-alarm rate 3e-5 for each)."""
    least = 0.93 - 4 * math.sqrt(0.93 * 0.07 / REPEATS)
    rng, shift = np.random.default_rng(7), SHIFTS[kind]
    wanted = truth(kind, shift, fpr)
    for n in (100, 400, 1000, 4000):
        if fpr * n < 1:
            continue
        found = [
            tpr_interval(draw(kind, shift, n, rng), draw(kind, 0.0, n, rng), fpr)
            for _ in range(REPEATS)
        ]
        held = np.mean([each.low <= wanted <= each.high for each in found])
        assert held >= least, (kind, n, held)


WIDEST = {"normal": 1.2, "t": 1.2, "laplace": 1.2, "ties": 1.45, "fine ties": 1.25}


@pytest.mark.parametrize("kind", WIDEST)
def test_at_many_scores_it_is_hardly_wider_than_a_bootstrap(kind: str) -> None:
    """In the mean of 150 draws; over 200 of another seed 1.06 untied, 1.33 with ties, 1.12 fine.

    A resample's threshold has a rank of a beta law among the scores, and its hits are binomial.
    """
    rng, n, ours, theirs = np.random.default_rng(3), 4000, [], []
    for _ in range(150):
        ins, outs = draw(kind, SHIFTS[kind], n, rng), draw(kind, 0.0, n, rng)
        each = tpr_interval(ins, outs, 0.01)
        ours.append(each.high - each.low)
        ranks_found = (rng.beta(41, n - 40, 400) * n).astype(int)
        thresholds = np.sort(outs)[::-1][ranks_found]
        above = 1 - np.searchsorted(np.sort(ins), thresholds, "right") / n
        low, high = np.quantile(rng.binomial(n, above) / n, [0.025, 0.975])
        theirs.append(high - low)
    assert np.mean(ours) <= WIDEST[kind] * np.mean(theirs), np.mean(ours) / np.mean(theirs)


@pytest.mark.parametrize("off", [-0.02, 0.02, 0.75])
def test_it_holds_where_a_tie_ends_next_to_the_threshold(off: float) -> None:
    """Ties of 1.5 sd of the count that may be accused, an edge so many sd from it (4 sd, 3e-5)."""
    rng, n, fpr = np.random.default_rng(8), 4000, 0.01
    shares = fpr + (off + 1.5 * np.arange(-4, 30)) * math.sqrt(fpr / n)
    edges = np.append(stats.norm.isf(shares[shares > 0])[::-1], 7.0)
    wanted = stats.norm.sf(edges[stats.norm.sf(edges) <= fpr].min() - 1.5)
    held = 0
    for _ in range(REPEATS):
        ins, outs = (np.searchsorted(edges, rng.normal(mu, 1, n), "right") for mu in (1.5, 0))
        found = tpr_interval(ins.astype(float), outs.astype(float), fpr)
        held += found.low <= wanted <= found.high
    assert held / REPEATS >= 0.93 - 4 * math.sqrt(0.93 * 0.07 / REPEATS), held


def test_scores_that_tell_nothing_reach_the_chance_line_on_average() -> None:
    """Mean of 2,000 repeats, 4.5 sd."""
    rng = np.random.default_rng(0)
    found = [
        tpr_at_fpr(rng.normal(size=100), rng.normal(size=100), 0.01).value for _ in range(2000)
    ]
    assert abs(np.mean(found) - tpr_chance(0.01, 100)) < 4.5 * np.std(found) / math.sqrt(2000)
    assert tpr_chance(0.01, 100) == pytest.approx(2 / 101)


def test_ranks_by_hand() -> None:
    """100 scores at 1 %: none is known to be above; 5 or more above happen in 0.34 %."""
    assert ranks(0.01, 100, 0.025) == (0, 5 if stats.binom.sf(3, 100, 0.01) > 0.025 else 4)
    few, many = ranks(0.1, 1000, 0.025)
    assert stats.binom.cdf(few - 1, 1000, 0.1) <= 0.025 < stats.binom.cdf(few, 1000, 0.1)
    assert stats.binom.sf(many - 1, 1000, 0.1) <= 0.025 < stats.binom.sf(many - 2, 1000, 0.1)


def test_the_worst_of_many_has_a_wider_interval() -> None:
    rng = np.random.default_rng(1)
    ins, outs = rng.normal(1, 1, 2000), rng.normal(size=2000)
    one, many = (tpr_at_fpr(ins, outs, 0.01, attacks=k) for k in (1, 20))
    assert many.low < one.low <= one.value <= one.high < many.high
    assert many.confidence == pytest.approx(1 - 0.05 / 20)
    assert tpr_at_fpr(np.ones(200), np.ones(200), 0.01).method == CORNERS
