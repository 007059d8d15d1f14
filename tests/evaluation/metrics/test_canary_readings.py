"""Readings of canaries: sound noise is let be, whatever else moves; less of it, or old, is not."""

import math
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from scipy import stats

from evaluation.metrics.canary_readings import ReadingsTest
from evaluation.metrics.noise_e_values import SIZES, too_small
from tests.evaluation.metrics.canary_world import SOUND, releases

ALPHA = 1.25e-5


def highest(seed: int, kind: str = "still", fault: str = "", rounds: int = 12) -> list[float]:
    """Return the highest log wealth after each round."""
    test, found = ReadingsTest(), []
    for readings in releases(seed, kind, rounds, fault=fault):
        test.update(readings)
        found.append(test.shared.highest)
    return found


@pytest.mark.parametrize("moved", [0.0, 0.5, 4.0])
@pytest.mark.parametrize("count", [2, 7])
def test_a_bets_mean_is_what_the_docstring_says(moved: float, count: int) -> None:
    """By quadrature over the noncentral chi-squared density, as scipy has it."""
    squares = np.linspace(1e-9, 200, 40_001)
    density = stats.ncx2.pdf(squares, count, moved) if moved else stats.chi2.pdf(squares, count)
    for place, share in enumerate(SIZES):
        bets = np.exp(too_small(squares, np.full(len(squares), count))[:, place])
        mean = float(np.trapezoid(bets * density, squares))
        assert mean == pytest.approx(math.exp(-moved * (1 - share**2) / 2), rel=5e-3)


@pytest.mark.parametrize("kind", SOUND)
def test_sound_noise_is_let_be_whatever_else_moves(kind: str) -> None:
    """Of 40 runs wealth reaches 1 / .05 in at most as many as chance allows (1e-4)."""
    passed = sum(highest(seed, kind)[-1] >= math.log(1 / 0.05) for seed in range(40))
    assert passed <= stats.binom.isf(1e-4, 40, 0.05)


@pytest.mark.parametrize(
    ("fault", "first", "said"),
    [("halved", 5, "nearer to their coins"), ("reused", 4, "repeat those of 1 release before"),
     ("opposite", 5, "repeat those of 2 releases before")],
)  # fmt: skip
def test_less_noise_and_old_noise_is_found_and_named(fault: str, first: int, said: str) -> None:
    for seed in range(3):
        wealth = highest(seed, fault=fault)
        assert wealth[first - 2] < math.log(1 / ALPHA) <= wealth[first + 1], (seed, wealth)
    test = ReadingsTest()
    for readings in releases(0, "still", first + 2, fault=fault):
        test.update(readings)
    assert said in test.fault()


def test_what_else_moves_takes_power_alone() -> None:
    still, drift = (np.mean([highest(s, k, "halved", 7)[-1] for s in range(5)]) for k in SOUND[:2])
    assert still > 10 > drift


def test_wealth_goes_on_where_it_was_saved_and_readings_are_kept_nowhere() -> None:
    test, other = ReadingsTest(), ReadingsTest()
    rounds = list(releases(1, "still", 7))
    for readings in rounds[:6]:
        test.update(readings)
    other.restore(*test.state())
    test._past = {}
    for each in (test, other):
        each.update(rounds[6])
    assert other.shared.log_wealth == test.shared.log_wealth
    assert other.shared.highest == test.shared.highest
    kept = {float(v) for value in test.state()[0].values() for v in value}
    assert not kept & {float(v) for readings in rounds for v in readings.values}


def test_a_canary_without_a_reading_plays_no_part() -> None:
    whole, part = ReadingsTest(), ReadingsTest()
    for readings in islice(releases(2, "still", 5), 5):
        less = {n: getattr(readings, n)[1:] for n in ("values", "seen", "known", "coins", "fresh")}
        whole.update(replace(readings, values=np.append(np.nan, readings.values[1:])))
        part.update(replace(readings, **less))
    assert whole.shared.log_wealth == pytest.approx(part.shared.log_wealth)
