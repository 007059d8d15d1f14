"""Randomised response: labels stay with the right probability, and move evenly."""

import math

import numpy as np
import pytest
from scipy import stats

from privacy.events import PureEvent
from privacy.mechanism import Cost
from privacy.randomised_response import RandomisedResponse
from tests.privacy.drawn import draws
from tests.privacy.statistics import FALSE_ALARM

N = 60_000


@pytest.mark.parametrize("labels", [2, 3, 7])
@pytest.mark.parametrize("epsilon", [0.2, 1.0, 4.0])
def test_every_answer_has_its_probability(epsilon, labels):
    # labels^2 <= 49 binomial tests of 1e-6 each: 5e-5 in all.
    mechanism = RandomisedResponse(epsilon, labels)
    keep = math.exp(epsilon) / (math.exp(epsilon) + labels - 1)
    assert mechanism.keep_probability == pytest.approx(keep, rel=1e-12)
    rng = draws(1)
    for label in range(labels):
        answers = np.bincount(mechanism.randomise(np.full(N, label), rng), minlength=labels)
        for answer, count in enumerate(answers):
            p = keep if answer == label else (1 - keep) / (labels - 1)
            assert stats.binomtest(int(count), N, p).pvalue > 1e-6
            if answer == label:  # the test can fail: epsilon half as large again
                more = math.exp(1.5 * epsilon)
                assert stats.binomtest(int(count), N, more / (more + labels - 1)).pvalue < 1e-6


def test_examples_and_calls_are_independent():
    # Two chi-square tests of 1e-5 each on pairs of "was changed".
    mechanism, rng = RandomisedResponse(1.0, 4), draws(2)
    labels = rng.integers(4, (N,))
    first, second = (mechanism.randomise(labels, rng) != labels for _ in range(2))
    for one, two in ((first, second), (first[:-1], first[1:])):
        table = [[np.sum((one == a) & (two == b)) for a in (0, 1)] for b in (0, 1)]
        assert stats.chi2_contingency(table).pvalue > FALSE_ALARM


def test_the_ratio_of_any_two_answers_is_the_epsilon():
    for epsilon in (1e-3, 1.0, 30.0, 700.0):
        mechanism = RandomisedResponse(epsilon, 5)
        other = math.exp(-epsilon) * mechanism.keep_probability
        assert mechanism.keep_probability + 4 * other == pytest.approx(1.0, rel=1e-12)


class Smallest:
    """Draws in which whatever may happen happens: the coins' uniform numbers are least."""

    def bernoulli(self, probability, shape):
        return np.full(shape, probability >= 2.0**-53)

    def integers(self, below, shape):
        return np.zeros(shape, dtype=np.int64)


@pytest.mark.parametrize("epsilon", [50.0, 800.0])
def test_a_change_stays_possible_however_large_epsilon(epsilon):
    changed = RandomisedResponse(epsilon, 3).randomise(np.array([0, 1, 2]), Smallest())
    assert changed.tolist() == [1, 2, 0]


def test_the_input_is_left_alone_and_the_result_follows_the_draws():
    labels = np.arange(200, dtype=np.int64) % 3
    before = labels.copy()
    mechanism = RandomisedResponse(0.5, 3)
    one, two = (mechanism.randomise(labels, draws(7)) for _ in range(2))
    other = mechanism.randomise(labels, draws(8))
    assert np.array_equal(one, two) and not np.array_equal(one, other)
    assert np.array_equal(labels, before)
    assert one.dtype == np.int64 and not np.shares_memory(one, labels)
    assert mechanism.randomise(np.array([], dtype=np.int64), draws(0)).size == 0


def test_cost_and_calibration():
    mechanism = RandomisedResponse.calibrated(2.5, labels=3)
    assert mechanism == RandomisedResponse(2.5, 3)
    assert mechanism.unit == "label"
    assert mechanism.cost() == Cost(PureEvent(2.5), "label", "replace-one")


def test_bad_input_is_refused():
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="got epsilon="):
            RandomisedResponse(bad, 2)
    for wrong in (0, 1, -2, 2.0, True):
        with pytest.raises(ValueError, match="got labels="):
            RandomisedResponse(1.0, wrong)
    mechanism, rng = RandomisedResponse(1.0, 3), draws(0)
    for label in (-100, -1, 3):
        with pytest.raises(ValueError, match=rf"expected labels in 0..2, got label={label}"):
            mechanism.randomise(np.array([0, label]), rng)
    for shape in (np.array([0.0, 1.0]), np.array([[0, 1]]), np.array([True])):
        with pytest.raises(ValueError, match=r"expected labels \[example\] of integers"):
            mechanism.randomise(shape, rng)
