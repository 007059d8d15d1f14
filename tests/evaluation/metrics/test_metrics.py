import itertools
import math
import subprocess
import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from evaluation.metrics.intervals import clopper_pearson, clustered_share, share
from evaluation.metrics.membership import auc, balanced_accuracy, tpr_at_fpr
from evaluation.metrics.reconstruction_bound import bound_gaussian, bound_pure
from evaluation.metrics.text import exact_match, rouge, token_sets
from evaluation.metrics.tokens import content_masks, token_accuracy, token_chance
from fedbert.errors import InputError

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
    if fpr * len(outs) < 1 - 1e-9:
        assert found is None
        return
    assert found.value == pytest.approx(tprs[fprs <= fpr + 1e-9].max(), abs=1e-12)
    low, high = clopper_pearson(round(found.value * len(ins)), len(ins))
    assert found.low <= low + 1e-12 and high <= found.high + 1e-12  # rounding of two beta quantiles


def test_too_few_non_members_are_not_measured() -> None:
    ins, outs = np.arange(500) + 0.5, np.arange(500)
    assert tpr_at_fpr(ins, outs, 0.001) is None
    assert tpr_at_fpr(ins, outs, 0.01) is not None
    assert tpr_at_fpr(ins, np.arange(1000), 0.001) is not None


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


def test_content_tokens_are_the_counted_ones_of_content() -> None:
    true, guess = [np.array([[101, 7, 8, 9, 0]])], [np.array([[101, 7, 0, 9, 0]])]
    counted = [np.array([[0, 1, 1, 1, 0]])]
    content = np.zeros(102, dtype=bool)
    content[[8, 9, 101]] = True
    masks = content_masks(true, counted, content)
    np.testing.assert_array_equal(masks, [[[False, False, True, True, False]]])
    assert token_accuracy(true, guess, masks, fresh()).value == 0.5


# --- text

SPECIAL = (0, 1, 2)
TEXTS = st.lists(st.integers(0, 6), min_size=1, max_size=9).map(lambda x: np.array([x]))


def words_of(row: np.ndarray) -> list[int]:
    return [int(word) for word in row if word not in SPECIAL]


def subsequences(words: list[int]) -> set[tuple[int, ...]]:
    return {
        tuple(words[i] for i in chosen)
        for size in range(len(words) + 1)
        for chosen in itertools.combinations(range(len(words)), size)
    }


def f1(shared: float, ours: int, theirs: int) -> float:
    precision, recall = shared / max(1, theirs), shared / ours
    return 0.0 if shared == 0 else 2 * precision * recall / (precision + recall)


@given(TEXTS, TEXTS)
def test_rouge_and_sets_agree_with_brute_force(true: np.ndarray, guess: np.ndarray) -> None:
    right, other = words_of(true[0]), words_of(guess[0])
    for n in (1, 2, 3, "L"):
        size = n if isinstance(n, int) else 1
        if len(right) < size:
            with pytest.raises(InputError, match=f"at least {size} tokens"):
                rouge([true], [guess], SPECIAL, n, fresh())
            continue
        found = rouge([true], [guess], SPECIAL, n, fresh()).value
        if n == "L":
            both = subsequences(right) & subsequences(other)
            assert found == pytest.approx(f1(max(map(len, both)), len(right), len(other)))
            continue
        ours = [tuple(right[i : i + size]) for i in range(len(right) - size + 1)]
        theirs = [tuple(other[i : i + size]) for i in range(len(other) - size + 1)]
        left, shared = list(theirs), 0
        for gram in ours:
            if gram in left:
                left.remove(gram)
                shared += 1
        assert found == pytest.approx(f1(shared, len(ours), len(theirs)))
    if right:
        sets = {k: e.value for k, e in token_sets([true], [guess], SPECIAL, fresh()).items()}
        shared = len(set(right) & set(other))
        assert sets["token_precision"] == pytest.approx(shared / max(1, len(set(other))))
        assert sets["token_recall"] == pytest.approx(shared / len(set(right)))
        assert sets["token_f1"] == pytest.approx(f1(shared, len(set(right)), len(set(other))))
        assert exact_match([true], [guess], SPECIAL, fresh()).value == (right == other)


def test_text_scores_by_hand() -> None:
    """Special tokens and padding play no part, nor do sequences without text; lengths may differ.

    Sentences: three of four in order, a sentence itself, a sentence reversed, nothing guessed.
    """
    true = [
        np.array([[1, 5, 6, 7, 8, 2], [1, 9, 2, 0, 0, 0], [1, 3, 4, 2, 0, 0]]),
        np.array([[1, 2, 0], [1, 9, 2]]),
    ]
    guess = [
        np.array([[5, 3, 6, 7, 0, 0, 0], [1, 9, 0, 2, 0, 0, 0], [4, 3, 0, 0, 0, 0, 0]]),
        np.array([[1, 5], [0, 0]]),
    ]
    results = {n: rouge(true, guess, SPECIAL, n, fresh()) for n in (1, 2, "L")}
    assert results[1].value == pytest.approx((0.75 + 1 + 1 + 0) / 4)
    assert results["L"].value == pytest.approx((0.75 + 1 + 0.5 + 0) / 4)
    assert results[2].value == pytest.approx((1 / 3 + 0) / 2)
    assert (results["L"].n, results[2].n) == (4, 2)
    assert exact_match(true, guess, SPECIAL, fresh()).value == 0.25
    for each in (*results.values(), *token_sets(true, guess, SPECIAL, fresh()).values()):
        assert 0.0 <= each.low < each.value < each.high <= 1.0


def test_the_true_text_scores_one_and_another_zero() -> None:
    """And neither is a certainty."""
    true = [np.arange(30).reshape(5, 6) + 10]
    for guess, value in ((true, 1.0), ([true[0] + 100], 0.0)):
        scores = [rouge(true, guess, SPECIAL, n, fresh()) for n in (1, 2, "L")]
        scores += [*token_sets(true, guess, SPECIAL, fresh()).values()]
        for found in (*scores, exact_match(true, guess, SPECIAL, fresh())):
            assert (found.value, found.n) == (value, 5) and found.high - found.low > 0.4


# --- bounds


@pytest.mark.parametrize("bound", [bound_pure, lambda x, p: bound_gaussian(1 / x, 1, p)])
def test_a_bound_lies_between_the_prior_and_certainty(bound: Callable[..., float]) -> None:
    """It grows with both; knowing nothing leaves the prior; a certain prior stays certain."""
    priors = [1e-6, 0.01, 0.3, 0.5, 0.9]
    table = np.array([[bound(x, p) for p in priors] for x in (1e-6, 0.1, 1.0, 3.0, 100.0)])
    assert min(np.diff(table, axis=0).min(), np.diff(table, axis=1).min()) > -1e-10
    np.testing.assert_allclose(table[0], priors, atol=1e-5)
    np.testing.assert_allclose(table[-1], 1, atol=1e-9)
    assert (table <= 1).all() and bound(1.0, 1.0) == 1.0


def test_a_pure_bound_is_reached_by_randomised_response() -> None:
    """k answers, the true one e^epsilon as likely as each other: exact, and with its formula."""
    for epsilon, k in [(0.0, 4), (1.0, 2), (2.0, 10), (5.0, 1000)]:
        reached = math.exp(epsilon) / (math.exp(epsilon) + k - 1)
        assert bound_pure(epsilon, 1 / k) == pytest.approx(reached)
        p = 1 / k
        assert reached == pytest.approx(math.exp(epsilon) * p / (1 - p + math.exp(epsilon) * p))


@pytest.mark.parametrize(("noise", "releases"), [(0.5, 1), (2.0, 4), (10.0, 9)])
def test_two_candidates_reach_the_gaussian_bound(noise: float, releases: int) -> None:
    mu = math.sqrt(releases) / noise
    assert bound_gaussian(noise, releases, 0.5) == pytest.approx(stats.norm.cdf(mu / 2))


@pytest.mark.parametrize("k", [2, 3, 10, 50])
@pytest.mark.parametrize("noise", [0.25, 0.5, 1.0])
def test_no_guesser_of_many_candidates_passes_the_bound(k: int, noise: float) -> None:
    """The best decoder of k points at distance 1 from each other; false alarm at most 1e-4.

    And the bound is not far off: at most 0.1 above the best for up to three candidates.
    """
    rng = np.random.default_rng([k, int(noise * 100)])
    n = 20_000
    seen = rng.normal(size=(n, k)) * noise
    seen[:, 0] += math.sqrt(0.5)  # unit vectors over sqrt 2; the first is true
    right = float((seen.argmax(1) == 0).mean())
    bound = bound_gaussian(noise, 1, 1 / k)
    assert right <= bound + Z * math.sqrt(bound * (1 - bound) / n)
    if k <= 3:
        assert right > bound - 0.1


def test_uneven_priors_stay_below_the_bound_of_the_largest() -> None:
    """Points on a line and in a simplex, maximum a posteriori; false alarm at most 1e-4."""
    rng, n = fresh(), 20_000
    prior = np.array([0.5, 0.3, 0.15, 0.05])
    for points in (np.eye(4) / math.sqrt(2), np.array([[0.0], [1.0], [1.0], [0.5]])):
        for noise in (0.3, 1.0, 3.0):
            true = rng.choice(4, size=n, p=prior)
            seen = points[true] + noise * rng.normal(size=(n, points.shape[1]))
            apart = ((seen[:, None] - points) ** 2).sum(2)
            guess = (np.log(prior) - apart / (2 * noise**2)).argmax(1)
            bound = bound_gaussian(noise, 1, prior.max())
            assert (guess == true).mean() <= bound + Z * math.sqrt(0.25 / n)


def test_bad_texts_and_bounds_are_refused() -> None:
    one = np.array([[5, 6]])
    with pytest.raises(InputError, match=r"numbers=\(1, 2\)"):
        exact_match([one], [np.repeat(one, 2, 0)], SPECIAL, fresh())
    with pytest.raises(InputError, match="sequences=0"):
        token_sets([one * 0], [one], SPECIAL, fresh())
    for n in (0, "l", 1.5):
        with pytest.raises(InputError, match="n="):
            rouge([one], [one], SPECIAL, n, fresh())
    for make, words in [
        (lambda: bound_pure(-1.0, 0.5), "epsilon=-1"),
        (lambda: bound_pure(1.0, 0.0), "prior=0"),
        (lambda: bound_gaussian(0.0, 1, 0.5), "noise_multiplier=0"),
        (lambda: bound_gaussian(1.0, 0, 0.5), "releases=0"),
        (lambda: bound_gaussian(1.0, 1, 1.5), r"prior=1\.5"),
    ]:
        with pytest.raises(InputError, match=words):
            make()


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
    code = "import sys, evaluation.metrics.tokens; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
