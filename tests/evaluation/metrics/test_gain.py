import numpy as np
import pytest

from evaluation.metrics.gain import accuracy_gain
from fedbert.errors import InputError


def fresh() -> np.random.Generator:
    return np.random.default_rng(5)


def test_the_gain_is_the_difference_of_two_accuracies_and_its_error_is_the_paired_one() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 3, 4000)
    answers = np.where(rng.random(4000) < 0.6, labels, rng.integers(0, 3, 4000))
    found = accuracy_gain(answers, labels, 1, fresh())
    each = (answers == labels).astype(float) - (labels == 1)
    assert found.value == pytest.approx(each.mean())
    error = each.std() / np.sqrt(4000)
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert found.n == 4000 and found.low < found.value < found.high


def test_always_the_majority_class_is_a_gain_of_nothing_however_few_examples_there_are() -> None:
    labels = np.array([1, 1, 0])
    found = accuracy_gain(np.ones(3, int), labels, 1, fresh())
    assert found.value == 0 and found.low < 0 < found.high
    many = accuracy_gain(np.ones(900, int), np.tile(labels, 300), 1, fresh())
    assert -0.01 < many.low < 0 < many.high < 0.01


def test_wins_and_losses_change_sides_with_the_two_guessers() -> None:
    rng = np.random.default_rng(2)
    labels, answers = rng.integers(0, 2, 500), rng.integers(0, 2, 500)
    right = accuracy_gain(answers, labels, 1, fresh())
    wrong = accuracy_gain(1 - answers, 1 - labels, 0, fresh())  # names of classes say nothing
    assert right == wrong


def test_repeated_examples_count_once() -> None:
    rng = np.random.default_rng(3)
    labels, answers = rng.integers(0, 2, 200), rng.integers(0, 2, 200)
    alone = accuracy_gain(answers, labels, 1, fresh())
    copies = [np.repeat(each, 9) for each in (answers, labels, np.arange(200))]
    thick = accuracy_gain(copies[0], copies[1], 1, fresh(), copies[2])
    naive = accuracy_gain(copies[0], copies[1], 1, fresh())
    assert thick.value == pytest.approx(alone.value) and thick.n == 1800
    assert thick.high - thick.low == pytest.approx(alone.high - alone.low, rel=0.15)
    assert naive.high - naive.low < 0.5 * (thick.high - thick.low)


def test_intervals_hold_as_often_as_they_say() -> None:
    """Seed 0, 400 worlds of 300: 95 % hold; less than 360 has a chance below 1e-4."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(400):
        labels = (rng.random(300) < 0.55).astype(int)
        answers = np.where(rng.random(300) < 0.6, labels, 1 - labels)
        found = accuracy_gain(answers, labels, 1, rng)
        held += found.low <= 0.6 - 0.55 <= found.high
    assert held >= 360


def test_no_example_is_refused() -> None:
    with pytest.raises(InputError, match="expected at least one example"):
        accuracy_gain(np.zeros(0, int), np.zeros(0, int), 0, fresh())
