"""One run by the trade-off curve: against simulation, a slow oracle, and the one-line bound."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from evaluation.auditing.gaussian_bounds import one_run_gaussian_epsilon
from evaluation.metrics.betting import gaussian_points
from evaluation.metrics.epsilon_bounds import one_run_epsilon
from evaluation.metrics.one_run_gaussian import (
    curve_least,
    curve_refuted,
    gaussian_least,
    one_run_by_curves,
    one_run_from_scores,
    one_run_mu,
    refuted,
    right_guesses,
)
from fedbert.errors import InputError
from privacy.accountants import gaussian_epsilon
from privacy.tradeoff import gaussian_curve, poisson_gaussian_curve

DELTA = 1e-5


@pytest.mark.parametrize("mu", [0.5, 1.0, 2.0])
def test_it_is_valid_and_tighter_than_the_bound_of_one_line(mu: float) -> None:
    """False alarms at most nominal and two standard errors; the seed is fixed."""
    rng, repeats, canaries, guesses = np.random.default_rng(3), 400, 400, 80
    truth = gaussian_epsilon(1 / mu, 1, DELTA)
    found, plain = [], []
    for _ in range(repeats):
        coins = rng.random(canaries) < 0.5
        right = right_guesses(rng.normal(0, 1, canaries) + mu * coins, coins, guesses)
        found.append(one_run_gaussian_epsilon(canaries, guesses, right, DELTA, 0.05))
        plain.append(one_run_epsilon(canaries, guesses, right, DELTA, 0.05))
    alarms = np.mean(np.array(found) > truth)
    assert alarms <= 0.05 + 2 * (0.05 * 0.95 / repeats) ** 0.5
    assert np.median(found) > 1.2 * np.median(plain) > 0


@pytest.mark.parametrize(("guesses", "correct", "mu"), [(6, 5, 0.5), (6, 6, 1.0), (5, 4, 0.0)])
def test_the_recursion_is_the_linear_programme(guesses: int, correct: int, mu: float) -> None:
    """The greatest P(W >= v) over all laws of W that the inequalities allow, by cutting planes."""
    canaries = 8
    least = gaussian_least(mu)
    counts = np.arange(guesses + 1)
    rows, limits = [], []
    for place in np.linspace(1e-4, guesses / canaries - 1e-4, 400):  # tangents of a convex curve
        slope = (least(place + 1e-6) - least(place - 1e-6)) / 2e-6
        for i in range(1, guesses + 1):
            right = np.where(counts >= i, counts, 0) / canaries
            wrong = np.where(counts >= i - 1, guesses - counts, 0) / canaries
            rows.append(slope * right - wrong)
            limits.append(slope * place - least(place))
    top = optimize.linprog(
        -(counts >= correct).astype(float),
        np.array(rows), np.array(limits), np.ones((1, guesses + 1)), [1.0], (0, 1),
    )  # fmt: skip
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = (low + high) / 2
        beyond = refuted(canaries, guesses, correct, middle, least)
        low, high = (low, middle) if beyond else (middle, high)
    assert low == pytest.approx(-top.fun, abs=2e-3)


def test_without_privacy_loss_it_is_the_tail_of_fair_coins() -> None:
    for guesses, correct in ((20, 14), (50, 31)):
        tail = stats.binom.sf(correct - 1, guesses, 0.5)
        assert not refuted(guesses, guesses, correct, tail * 0.999, gaussian_least(0.0))


@settings(max_examples=60)
@given(st.integers(2, 60), st.data())
def test_it_grows_with_right_guesses_and_confidence_falls(canaries: int, data) -> None:
    guesses = data.draw(st.integers(1, canaries))
    correct = data.draw(st.integers(1, guesses))
    bound = one_run_mu(canaries, guesses, correct, 0.05)
    assert one_run_mu(canaries, guesses, correct - 1, 0.05) <= bound
    assert one_run_mu(canaries, guesses, correct, 0.01) <= bound


def test_guesses_do_not_look_at_the_truth() -> None:
    scores = np.array([5.0, 4.0, 3.0, 2.0, 1.0])
    coins = np.array([True, False, True, False, False])
    assert right_guesses(scores, coins, 2) == 2
    assert right_guesses(scores, coins, 4) == 3
    assert right_guesses(scores, ~coins, 4) == 1
    assert one_run_from_scores(coins * 1.0, coins, DELTA, 0.05) == 0.0  # five are too few
    many = np.arange(200) % 2 == 0
    assert one_run_from_scores(many * 1.0, many, DELTA, 0.05) > 3
    with pytest.raises(InputError, match="a coin for every score"):
        one_run_from_scores(scores, coins[:2], DELTA, 0.05)
    with pytest.raises(InputError, match="delta > 0"):
        one_run_gaussian_epsilon(10, 10, 5, 0.0, 0.05)


def test_a_curve_of_points_allows_what_the_gaussian_allows_and_a_little_more() -> None:
    """Lines lie above the curve, so that less is refuted: valid; and close."""
    least, exact = curve_least(gaussian_points(1.0)), gaussian_least(1.0)
    for right in np.linspace(0.01, 0.99, 25):
        assert exact(right) - 0.03 <= least(float(right)) <= exact(right) + 1e-9
    assert least(0.0) == 0.0


@pytest.mark.parametrize("mu", [0.0, 1.0])
def test_the_bound_by_curves_exceeds_the_truth_at_most_as_often_as_stated(mu: float) -> None:
    """False alarms at most nominal, but once in 10,000; the seed is fixed."""
    levels = (0.0, 0.5, 1.0, 1.5, 2.0)  # here mu itself, as truth is known in it
    curves = [gaussian_points(level + 1e-6) for level in levels]
    rng, repeats, canaries, guesses = np.random.default_rng(5), 300, 400, 80
    alarms, found = 0, []
    for _ in range(repeats):
        coins = rng.random(canaries) < 0.5
        right = right_guesses(rng.normal(0, 1, canaries) + mu * coins, coins, guesses)
        found.append(one_run_by_curves((canaries, guesses, right), 0.05, levels, curves))
        alarms += refuted(canaries, guesses, right, 0.05, curve_least(gaussian_points(mu + 1e-6)))
    assert alarms <= stats.binom.isf(1e-4, repeats, 0.05)
    assert max(found) <= mu + 0.5 and (mu == 0 or np.median(found) == 0.5)


def test_a_broken_order_of_curves_is_not_searched_beyond_the_first_that_stands() -> None:
    curves = [gaussian_points(3.0), gaussian_points(0.1)]
    assert one_run_by_curves((400, 80, 70), 0.05, (1.0, 2.0), curves) == 0.0
    with pytest.raises(InputError, match="expected"):
        one_run_by_curves((400, 80, 81), 0.05, (1.0,), curves[:1])


@pytest.mark.parametrize(("claimed", "most", "least"), [(1.0, 0.05, 0.0), (0.25, 1.0, 0.9)])
def test_a_curve_is_refuted_where_it_is_too_low_and_hardly_ever_else(
    claimed: float, most: float, least: float
) -> None:
    """Scores at distance 1, 300 trainings of 1,000 canaries: the own curve falls in 5 % at most.

    False-alarm rate: the bound is far from tight; a share of .05 in 300 is passed by chance in at
    most 1e-4 where the true one is .02, and it was 0.
    """
    curve = gaussian_curve(1 / claimed)
    points = np.column_stack([curve.epsilons, curve.deltas])
    rng, fell = np.random.default_rng(5), 0
    for _ in range(300):
        coins = rng.random(1000) < 0.5
        fell += curve_refuted(rng.normal(coins.astype(float)), coins, points, 0.05)
    assert least <= fell / 300 <= most


def test_a_perfect_guess_refutes_a_curve_before_it_refutes_its_line() -> None:
    """DP-SGD's curve at epsilon 4 allows far less than (4, 1e-5) does."""
    curve = poisson_gaussian_curve(0.6967, 0.01638, 190)
    points = np.column_stack([curve.epsilons, curve.deltas])
    coins = np.random.default_rng(0).random(100) < 0.5
    assert curve_refuted(coins.astype(float), coins, points, 0.05)
    assert one_run_from_scores(coins.astype(float), coins, 1e-5, 0.05) < 4
