"""Guesses at fresh coins: they hold under a curve whatever depends on what; too good ones fall."""

import math

import numpy as np
import pytest
from scipy import special, stats

from evaluation.metrics.canary_guesses import GROUP, LEVELS, STAKE, GuessTest, guesses
from evaluation.metrics.one_run_gaussian import gaussian_least, refuted
from tests.evaluation.metrics.canary_world import releases

ALPHA = 1.25e-5
COUNT = 100


def payoffs(right: int) -> np.ndarray:
    """Return a group's e-values [level]."""
    least = gaussian_least(1.0)
    won = [refuted(COUNT, COUNT, right, level, least) for level in LEVELS]
    return np.asarray(1 - STAKE + STAKE * np.array(won) / LEVELS)


def test_a_mechanism_that_conspires_for_all_canaries_at_once_is_let_be() -> None:
    """It tells nothing, and with a small probability all coins at once, almost surely rightly.

    As often as the curve of two Gaussians at distance 1 allows. Bets on every canary by itself, as
    if they were independent, would make a fortune of it.
    """
    epsilon = 4.0
    odds = 1 / (1 + math.exp(-epsilon))
    at = np.linspace(0, epsilon - 0.01, 400)
    allowed = special.ndtr(0.5 - at) - np.exp(at) * special.ndtr(-0.5 - at)
    rate = float(np.min(allowed / (odds - np.exp(at) * (1 - odds))))
    assert rate > 1e-4
    counts = np.arange(COUNT + 1)
    chances = (1 - rate) * stats.binom.pmf(counts, COUNT, 0.5)
    chances += rate * stats.binom.pmf(counts, COUNT, odds)
    means = chances @ np.array([payoffs(int(right)) for right in counts])
    assert (means <= 1).all()
    alone = special.ndtr(0.5)  # what one canary allows
    independent = (0.98 / alone) ** counts * (0.02 / (1 - alone)) ** (COUNT - counts)
    assert chances @ independent > 1e6


@pytest.mark.parametrize("mu", [0.5, 1.0])
def test_gaussians_at_the_claims_distance_are_let_be(mu: float) -> None:
    """Of 30 runs wealth reaches 1 / .05 in at most as many as chance allows (1e-4)."""
    passed = 0
    for seed in range(30):
        test = GuessTest(mu)
        for readings in releases(seed, "still", 4, 2 * GROUP, 1 / mu):
            test.update(readings)
        passed += test.rejected(0.05)
    assert passed <= stats.binom.isf(1e-4, 30, 0.05)


@pytest.mark.parametrize(("fault", "first"), [("reused", 4), ("opposite", 5), ("unclipped", 5)])
def test_coins_that_lie_open_are_found_within_three_rounds(fault: str, first: int) -> None:
    for seed in range(3):
        test = GuessTest(1.0)
        for number, readings in enumerate(releases(seed, "still", 9, 2 * GROUP, 1.0, fault), 1):
            test.update(readings)
            assert test.rejected(ALPHA) == (number >= first + 2), (seed, number)
    assert f"{GROUP} of the last {GROUP} new coins" in test.fault()


def test_halved_noise_is_no_matter_of_guesses() -> None:
    """Under an arbitrary dependence 84 of 100 right guesses say too little: stated in the docs."""
    test = GuessTest(1.0)
    for readings in releases(0, "still", 12, 2 * GROUP, 1.0, "halved"):
        test.update(readings)
    assert not test.rejected(0.05)


def test_a_guess_splits_what_falls_apart_most() -> None:
    rng = np.random.default_rng(5)
    coins, noise = rng.random(30) < 0.5, rng.normal(size=30)
    old = [rng.normal(size=30), -noise, rng.normal(size=30)]
    assert (guesses(coins + noise, old, 1.0) == coins).all()
    assert (guesses(coins + noise, [noise], 1.0) == coins).all()
    assert (guesses(5.0 + 10.0 * coins + noise, [], 1.0) == coins).all()
    assert guesses(np.array([0.4, 0.6]), [], 1.0).tolist() == [False, True]


def test_groups_are_judged_when_they_are_full_and_kept_nowhere() -> None:
    test, sizes = GuessTest(1.0), []
    for readings in releases(3, "still", 6, 80):
        test.update(readings)
        sizes.append((test.count, test.bets.steps, len(test._past.get("server", ()))))
    assert sizes == [(40, 0, 0), (80, 0, 0), (0, 1, 3), (40, 1, 3), (80, 1, 3), (0, 2, 6)]
    other = GuessTest(1.0)
    other.restore(*test.state())
    assert other.bets.log_wealth == test.bets.log_wealth and not other._past
