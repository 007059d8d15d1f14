"""One run by the trade-off curve: against simulation, a slow oracle, and the one-line bound."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, stats

from evaluation.auditing.gaussian_bounds import one_run_gaussian_epsilon
from evaluation.metrics.epsilon_bounds import one_run_epsilon
from evaluation.metrics.one_run_gaussian import (
    gaussian_least,
    one_run_from_scores,
    one_run_mu,
    refuted,
    right_guesses,
)
from fedbert.errors import InputError
from privacy.accountants import gaussian_epsilon

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
