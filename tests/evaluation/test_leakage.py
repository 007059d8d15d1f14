import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from evaluation.intervals import clopper_pearson, clustered_share, share
from evaluation.leakage import auc, balanced_accuracy, token_accuracy, token_chance, tpr_at_fpr
from fedbert.config import InputError

SCORES = st.lists(st.integers(-6, 6), min_size=1, max_size=12).map(
    lambda values: np.array(values, dtype=float)
)
Z = float(stats.norm.isf(1e-4))
REPEATS = 400


def fresh() -> np.random.Generator:
    return np.random.default_rng(7)


def covers_enough(covered: list[bool], nominal: float = 0.95) -> bool:
    """Whether the coverage may be `nominal` or more; false alarm at most 1e-4 (normal tail)."""
    return bool(np.mean(covered) >= nominal - Z * math.sqrt(nominal * (1 - nominal) / len(covered)))


# --- auc


def test_auc_of_the_step_curve() -> None:
    found = auc(np.array([0, 4, 6, 7]), np.array([1, 2, 3, 5]))
    assert found.value == 11 / 16
    assert found.low < 0.5 < found.high and found.n == 8


@given(SCORES, SCORES)
def test_auc_agrees_with_scikit_learn_with_ties(ins: np.ndarray, outs: np.ndarray) -> None:
    labels = np.r_[np.ones(len(ins)), np.zeros(len(outs))]
    assert auc(ins, outs).value == pytest.approx(roc_auc_score(labels, np.r_[ins, outs]), abs=1e-12)


@given(SCORES, SCORES)
def test_auc_is_antisymmetric(ins: np.ndarray, outs: np.ndarray) -> None:
    one, other = auc(ins, outs), auc(outs, ins)
    assert one.value == pytest.approx(1 - other.value, abs=1e-12)
    assert one.low == pytest.approx(1 - other.high, abs=1e-9)
    assert one.high == pytest.approx(1 - other.low, abs=1e-9)


@given(SCORES, SCORES, st.sampled_from([np.exp, np.arctan, lambda x: x**3, lambda x: 5 * x - 3]))
def test_only_the_order_matters(ins: np.ndarray, outs: np.ndarray, transform: object) -> None:
    assert callable(transform)
    for measure in (auc, lambda a, b: tpr_at_fpr(a, b, 0.2)):
        assert measure(ins, outs) == measure(transform(ins), transform(outs))


@pytest.mark.parametrize(
    ("mu", "area", "tprs"),
    [
        (0.5, 0.63816, (0.21724, 0.03390, 0.00480)),
        (1.0, 0.76025, (0.38914, 0.09236, 0.01830)),
        (2.0, 0.92135, (0.76376, 0.37208, 0.13781)),
    ],
)
def test_two_unit_gaussians(mu: float, area: float, tprs: tuple[float, ...]) -> None:
    """On the quantiles of both, so nothing is drawn: the curve differs by its steps alone."""
    grid = stats.norm.ppf((np.arange(200_000) + 0.5) / 200_000)
    assert auc(grid + mu, grid).value == pytest.approx(area, abs=1e-5)
    for fpr, tpr in zip((0.1, 0.01, 0.001), tprs, strict=True):
        assert tpr_at_fpr(grid + mu, grid, fpr).value == pytest.approx(tpr, abs=2e-4)


@pytest.mark.parametrize(
    ("mu", "sd", "m", "n"), [(0, 1, 200, 200), (1, 1, 50, 50), (2, 1, 30, 30), (0.5, 0.1, 50, 50)]
)
def test_auc_interval_covers(mu: float, sd: float, m: int, n: int) -> None:
    """Gaussian scores, also of unequal spread; false alarm at most 1e-4 each."""
    rng = np.random.default_rng([m, n])
    truth = stats.norm.cdf(mu / math.hypot(1, sd))
    found = [auc(rng.normal(mu, sd, m), rng.normal(0, 1, n)) for _ in range(REPEATS)]
    assert covers_enough([each.low <= truth <= each.high for each in found])


def test_auc_interval_is_no_wider_than_it_need_be() -> None:
    """Without a difference it is the exact null distribution's, here within 3 %."""
    rng = fresh()
    widths = [e.high - e.low for e in (auc(*rng.normal(size=(2, 200))) for _ in range(50))]
    exact = 2 * 1.96 * math.sqrt(401 / (12 * 200 * 200))
    assert np.mean(widths) == pytest.approx(exact, rel=0.03)


@pytest.mark.parametrize("n", [1, 2, 30])
def test_a_perfect_attack_has_an_interval_all_the_same(n: int) -> None:
    found = auc(np.ones(n), np.zeros(n))
    assert (found.value, found.high) == (1.0, 1.0) and 0.0 < found.low < 1.0
    worst = auc(np.zeros(n), np.ones(n))
    assert (worst.value, worst.low) == (0.0, 0.0) and 0.0 < worst.high < 1.0


def test_a_lower_bound_above_chance_is_rare_without_a_difference() -> None:
    """The valid estimator's law: at most 2.5 %, tested with a false alarm of 1e-4."""
    rng = np.random.default_rng(3)
    above = np.mean([auc(*rng.normal(size=(2, 200))).low > 0.5 for _ in range(REPEATS)])
    assert above <= 0.025 + Z * math.sqrt(0.025 * 0.975 / REPEATS)


# --- tpr at fpr


@given(SCORES, SCORES, st.sampled_from([0.0, 0.1, 0.25, 1 / 3, 0.5, 0.9, 1.0]))
def test_tpr_is_the_largest_on_the_step_curve(
    ins: np.ndarray, outs: np.ndarray, fpr: float
) -> None:
    labels = np.r_[np.ones(len(ins)), np.zeros(len(outs))]
    fprs, tprs, _ = roc_curve(labels, np.r_[ins, outs], drop_intermediate=False)
    found = tpr_at_fpr(ins, outs, fpr)
    assert found.value == pytest.approx(tprs[fprs <= fpr + 1e-9].max(), abs=1e-12)
    low, high = clopper_pearson(round(found.value * len(ins)), len(ins))
    assert (found.low, found.high) == (low, high)


def test_too_few_non_members_are_owned_up_to() -> None:
    ins, outs = np.arange(500) + 0.5, np.arange(500)
    assert "500 non-members are too few for FPR 0.001" in tpr_at_fpr(ins, outs, 0.001).method
    assert tpr_at_fpr(ins, outs, 0.001).value == 1 / 500  # above every non-member
    assert "too few" not in tpr_at_fpr(ins, outs, 0.01).method
    assert "too few" not in tpr_at_fpr(ins, np.arange(1000), 0.001).method


def test_clopper_pearson_reference() -> None:
    """500 of 500 against 0 of 500 at 99 %, each side: epsilon >= 4.54191581."""
    low, _ = clopper_pearson(500, 500, 0.99)
    _, high = clopper_pearson(0, 500, 0.99)
    assert math.log(low / high) == pytest.approx(4.54191581, abs=1e-8)


# --- balanced accuracy


def test_balanced_accuracy_of_two_gaussians() -> None:
    """At mu = 2 the best is Phi(1) = 0.8413; 10,000 are judged: tolerance 4.5 s.e. + search."""
    rng = fresh()
    found = balanced_accuracy(rng.normal(2, 1, 10_000), rng.normal(0, 1, 10_000), rng)
    assert found.n == 10_000
    assert found.value == pytest.approx(stats.norm.cdf(1), abs=0.02)


def test_the_search_for_a_threshold_does_not_flatter() -> None:
    """False alarm at most 1e-4."""
    rng = fresh()
    found = [balanced_accuracy(*rng.normal(size=(2, 40)), rng) for _ in range(REPEATS)]
    assert covers_enough([e.low <= 0.5 <= e.high for e in found])
    errors = np.array([e.value for e in found]) - 0.5
    assert abs(errors.mean()) <= 4 * errors.std() / math.sqrt(REPEATS)


def test_balanced_accuracy_ignores_how_many_are_on_each_side() -> None:
    found = balanced_accuracy(np.ones(4), np.zeros(400), fresh())
    assert found.value == 1.0 and found.low < 0.7


# --- tokens


def test_token_accuracy_counts_what_is_counted() -> None:
    true = [np.array([[101, 7, 8, 102, 0]]), np.array([[101, 9, 102], [101, 5, 102]])]
    guess = [np.array([[101, 7, 9, 102, 0]]), np.array([[101, 9, 102], [101, 6, 102]])]
    counted = [np.array([[0, 1, 1, 0, 0]]), np.array([[0, 1, 0], [0, 1, 0]])]
    found = token_accuracy(true, guess, counted, fresh())
    assert (found.value, found.n) == (0.5, 4)
    assert 0.0 <= found.low < 0.5 < found.high <= 1.0
    assert found == token_accuracy(true, guess, counted, fresh())


@pytest.mark.parametrize(("share_", "n"), [(1.0, 1), (1.0, 50), (0.0, 50)])
def test_all_or_nothing_is_no_certainty(share_: float, n: int) -> None:
    true = np.ones((n, 20), dtype=np.int64)
    found = token_accuracy([true], [true * int(share_)], [true], fresh())
    assert found.value == share_
    low, high = clopper_pearson(share_ * n, n)
    assert (found.low, found.high) == (low, high)


@pytest.mark.parametrize(("a", "b", "n"), [(2.0, 3.0, 20), (0.2, 20.0, 100)])
def test_token_interval_covers_when_sequences_differ(a: float, b: float, n: int) -> None:
    """Tokens of one sequence hang together; false alarm at most 1e-4 each."""
    rng = fresh()
    covered = []
    for _ in range(REPEATS // 2):
        counts = rng.integers(5, 30, n)
        found = clustered_share(rng.binomial(counts, rng.beta(a, b, n)), counts, rng)
        covered.append(found.low <= a / (a + b) <= found.high)
    assert covers_enough(covered)
    assert np.mean(covered) < 1.0 or a < 1  # and is not the whole range


def test_sequences_and_not_tokens_are_the_trials() -> None:
    hits = np.tile([0, 100], 25)
    found = clustered_share(hits, np.full(50, 100), fresh())
    naive = share(int(hits.sum()), 5000)
    assert found.high - found.low > 5 * (naive.high - naive.low)


def test_token_chance() -> None:
    true, counted = [np.array([[1, 2, 2, 3, 0]])], [np.array([[1, 1, 1, 1, 0]])]
    assert token_chance(true, counted, np.array([9, 1, 5, 0]) * np.array([0, 1, 1, 1])) == 0.5
    assert token_chance(true, counted, np.ones(4)) == 0.25  # any of four, drawn evenly


# --- bad input


@pytest.mark.parametrize(
    ("ins", "outs"),
    [([], [1.0]), ([1.0], []), ([float("nan")], [1.0]), ([1.0], [float("inf")]), ([[1.0]], [1.0])],
)
def test_bad_scores_are_refused(ins: list[float], outs: list[float]) -> None:
    for measure in (
        auc,
        lambda a, b: tpr_at_fpr(a, b, 0.1),
        lambda a, b: balanced_accuracy(a, b, fresh()),
    ):
        with pytest.raises(InputError, match=r"expected .*scores"):
            measure(np.array(ins), np.array(outs))


def test_bad_tokens_are_refused() -> None:
    one = np.ones((1, 3), dtype=np.int64)
    for true, guess, counted, words in [
        ([one], [one, one], [one], "one guess and one mask per message"),
        ([one], [one[:, :2]], [one], "of one shape"),
        ([one], [one], [one * 0], "at least one counted token"),
        ([], [], [], "at least one message"),
    ]:
        with pytest.raises(InputError, match=words):
            token_accuracy(true, guess, counted, fresh())
    with pytest.raises(InputError, match=r"fpr=1\.5"):
        tpr_at_fpr(np.ones(3), np.ones(3), 1.5)


def test_judging_needs_no_torch() -> None:
    code = "import sys, evaluation.leakage; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
