"""Ties between scores: neither the order of the files nor the coins decide who is guessed."""

import numpy as np
import pytest

from evaluation.metrics.one_run_gaussian import one_run_from_scores, right_guesses


@pytest.mark.parametrize("guesses", [400, 80, 41])
def test_a_constant_score_is_right_half_of_the_time_in_any_order(guesses: int) -> None:
    """Members first, as files are read: 5 sd of a fair coin each (false-alarm rate 1e-6)."""
    coins = np.repeat([True, False], 200)
    for each in (coins, ~coins):
        right = right_guesses(np.zeros(400), each, guesses)
        assert abs(right - guesses / 2) <= 5 * np.sqrt(guesses) / 2


@pytest.mark.parametrize("scores", [np.zeros(400), np.tile([0.0, 1.0], 200)])
def test_scores_that_tell_nothing_violate_nothing(scores: np.ndarray) -> None:
    """Broken by file order, the bound of a constant score was 4.5."""
    assert one_run_from_scores(scores, np.repeat([True, False], 200), 1e-5, 0.05) < 0.5


def test_without_ties_nothing_is_drawn() -> None:
    scores, coins = np.arange(10.0), np.arange(10) >= 4
    assert right_guesses(scores, coins, 10) == 9
    assert right_guesses(scores, coins, 4) == 4


def test_scores_that_move_together_raise_no_more_alarms() -> None:
    """Runs of ten equal scores, coins their own: 5 % of 300, and 4 sd (false-alarm rate 3e-5)."""
    rng, alarms = np.random.default_rng(5), 0
    for _ in range(300):
        coins = rng.random(400) < 0.5
        scores = np.repeat(rng.normal(size=40), 10)
        alarms += one_run_from_scores(scores, coins, 1e-5, 0.05) > 0
    assert alarms <= 300 * 0.05 + 4 * np.sqrt(300 * 0.05 * 0.95)
