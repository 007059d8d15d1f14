"""Bets against a claim: no gain in the mean under it, at any time; growth where it is false."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from evaluation.metrics.betting import best_bet, claim_points, gaussian_points, seen
from evaluation.metrics.sequential_test import SequentialTest
from fedbert.errors import InputError
from privacy.accountants import gaussian_epsilon

EPSILON, DELTA, ALPHA = 1.0, 0.05, 0.05
Draw = Callable[[np.random.Generator, np.ndarray], np.ndarray]


def answers(epsilon: float, delta: float) -> Draw:
    """Scores of what is exactly (epsilon, delta): its coin told with delta, else by chance."""
    keep = 1 / (1 + math.exp(-epsilon))

    def draw(rng: np.random.Generator, coins: np.ndarray) -> np.ndarray:
        answer = np.where(rng.random(len(coins)) < keep, coins, ~coins)
        told = rng.random(len(coins)) < delta
        return np.where(told, np.where(coins, 3.0, -2.0), answer * 1.0)

    return draw


def gaussian(mu: float) -> Draw:
    return lambda rng, coins: rng.normal(mu * coins, 1.0)


def ever_rejected(
    test: SequentialTest, draw: Draw, seed: int, batches: int, size: int, together: bool = False,
    again: float | None = None,
) -> bool:  # fmt: skip
    rng = np.random.default_rng(seed)
    for _ in range(batches):
        coins = rng.random(size) < 0.5
        scores = draw(rng, coins)
        test.update(scores[coins], scores[~coins], together=together)
        if again is not None:
            test.begin_again(again)
        if test.rejected.any():
            return True
    return False


def test_a_true_claim_is_rejected_at_most_as_often_as_stated_whenever_one_stops() -> None:
    """Looked at after every batch; more than allowed by chance once in 10,000 a row."""
    for points, draw in (
        (claim_points(EPSILON, DELTA), answers(EPSILON, DELTA)),
        (gaussian_points(1.0), gaussian(1.0)),
    ):
        alarms = sum(
            ever_rejected(SequentialTest([points], ALPHA), draw, seed, 12, 20)
            for seed in range(150)
        )
        assert alarms <= stats.binom.isf(1e-4, 150, ALPHA)


def test_beginning_again_after_losses_raises_no_more_alarms() -> None:
    """After the least loss, which is most often. Two audits that need it: `test_over_calls`."""
    points = claim_points(EPSILON, DELTA)
    draw, alarms = answers(EPSILON, DELTA), 0
    for seed in range(150):
        test = SequentialTest([points], 0.9 * ALPHA)
        alarms += ever_rejected(test, draw, seed, 12, 20, again=-0.01)
    assert alarms <= stats.binom.isf(1e-4, 150, ALPHA)


@pytest.mark.parametrize("delta", [0.0, DELTA])
@pytest.mark.parametrize("seed", range(4))
def test_no_bet_gains_in_the_mean_under_its_claim(seed: int, delta: float) -> None:
    """Exact, for coins and for one in and one out, over all chances that the claim allows.

    The past is of something else, so that there is a bet.
    """
    rng = np.random.default_rng(seed)
    ins, outs = rng.normal(2.0, 1.0, 50), rng.normal(0.0, 1.0, 50)
    sides = (ins, outs) if seed % 2 else (-ins, -outs)
    bet = best_bet(seen(*sides), claim_points(EPSILON, delta))
    assert bet is not None and bet.stake > 0
    factors = 1 + bet.stake * bet.payoffs()  # [(in, out), (S, not S)]
    assert (factors > 0).all()
    for other in np.linspace(0.0, 1.0, 21):
        own = min(1.0, math.exp(EPSILON) * other + delta)
        shares = np.array([own, other] if bet.inside else [other, own])
        means = shares * factors[:, 0] + (1 - shares) * factors[:, 1]
        assert means.mean() <= 1 + 1e-12
        assert means.prod() <= 1 + 1e-12


def test_trials_that_one_release_ties_together_are_one_bet() -> None:
    """All canaries of a batch share one answer: trial by trial a true claim falls far too often."""
    keep = 1 / (1 + math.exp(-EPSILON))

    def shared(rng: np.random.Generator, coins: np.ndarray) -> np.ndarray:
        return np.where(rng.random() < keep, coins, ~coins) * 1.0

    alarms = {
        together: sum(
            ever_rejected(
                SequentialTest.of_claim(EPSILON, 0.0, ALPHA), shared, seed, 25, 20, together
            )
            for seed in range(60)
        )
        for together in (True, False)
    }
    allowed = stats.binom.isf(1e-4, 60, ALPHA)
    assert alarms[True] <= allowed < alarms[False]


def test_wealth_grows_where_the_claim_is_false_and_the_bound_comes_near_the_truth() -> None:
    mus = (0.25, 0.5, 0.75, 0.9, 1.001, 1.25)
    levels = [gaussian_epsilon(1 / mu, 1, 1e-5) for mu in mus]
    test = SequentialTest([gaussian_points(mu) for mu in mus], 1e-3, levels)
    rng, bounds = np.random.default_rng(1), []
    for _ in range(20):
        test.update(rng.normal(1.0, 1.0, 1000), rng.normal(0.0, 1.0, 1000))
        bounds.append(test.lower_bound)
    assert bounds == sorted(bounds)
    assert bounds[-1] == levels[3] and test.samples == 40_000
    assert list(test.rejected) == [True] * 4 + [False] * 2
    assert test.wealth[0] > 1e3 and test.wealth[-1] < 1e3


def test_either_direction_of_the_score_is_found() -> None:
    for sign in (1.0, -1.0):
        for swap in (False, True):
            test, rng = SequentialTest.of_claim(1.0, 1e-5, 1e-3), np.random.default_rng(2)
            for _ in range(8):
                sides = sign * rng.normal(3.0, 1.0, 200), sign * rng.normal(0.0, 1.0, 200)
                test.update(*(sides[::-1] if swap else sides))
            assert test.rejected.all()


def test_what_is_learnt_beforehand_is_bet_on_from_the_first_batch() -> None:
    rng = np.random.default_rng(3)
    one, other = ({"a": rng.normal(mu, 1, 500), "b": rng.normal(0, 1, 500)} for mu in (4.0, 0.0))
    test = SequentialTest.of_claim(0.5, 1e-5, 1e-3)
    test.update(one, other)
    assert test.wealth == pytest.approx(1.0)  # nothing was known
    fresh = SequentialTest.of_claim(0.5, 1e-5, 1e-3)
    fresh.learn(one, other)
    chosen = fresh.best(0)
    assert chosen is not None and chosen[0] == "a"
    fresh.update(one, other, keep=False)
    assert fresh.rejected.all() and fresh.best(0) == chosen


def test_the_points_of_a_gaussian_are_on_its_curve() -> None:
    """Against the accountant: each delta is the epsilon's."""
    for epsilon, delta in gaussian_points(1.5)[1:8]:
        assert gaussian_epsilon(1 / 1.5, 1, float(delta)) == pytest.approx(epsilon, abs=1e-6)
    assert gaussian_points(0.0).tolist() == [[0.0, 0.0]]
    assert np.isfinite(gaussian_points(40.0)).all()


def test_bad_input_is_refused() -> None:
    test = SequentialTest.of_claim(1.0, 0.0, 0.05)
    for sides in (
        (np.array([np.nan]), np.zeros(1)),
        ({"a": np.zeros(1)}, {"b": np.zeros(1)}),
        ({"a": np.zeros(1), "b": np.zeros(2)}, {"a": np.zeros(1), "b": np.zeros(1)}),
    ):
        with pytest.raises(InputError, match="expected"):
            test.update(*sides)
    for claims, levels in (
        ([], None),
        ([claim_points(-1.0, 0.0)], None),
        ([claim_points(2.0, 0.0), claim_points(1.0, 0.0)], None),
        ([claim_points(1.0, 0.0)], [1.0, 2.0]),
    ):
        with pytest.raises(InputError, match="expected"):
            SequentialTest(claims, 0.05, levels)
