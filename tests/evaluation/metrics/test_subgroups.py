"""Utility of groups: what each gets, whom nothing is told of, and how often all intervals hold."""

import numpy as np
from scipy import stats

from evaluation.metrics.subgroups import LEAST, MOST, by_group, thirds

NAMES = {7: "north", 3: "south", 9: "west"}


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_each_group_has_its_own_accuracy_whatever_the_order() -> None:
    group = np.repeat([7, 3, 9], [40, 30, LEAST - 1])
    labels = np.zeros(len(group), dtype=int)
    answers = np.r_[np.zeros(30), np.ones(10), np.zeros(6), np.ones(24), np.zeros(LEAST - 1)]
    found = by_group(answers, labels, group, NAMES, rng())
    assert {name: each.value for name, each in found.items()} == {"north": 0.75, "south": 0.2}
    mixed = rng(1).permutation(len(group))
    assert by_group(answers[mixed], labels[mixed], group[mixed], NAMES, rng()) == found
    one = by_group(answers, labels, group, {7: "north"}, rng())["north"]
    assert one.low > found["north"].low and one.confidence == 0.95  # nothing is looked for
    assert found["north"].confidence == 0.975


def test_few_persons_are_not_told_of() -> None:
    group, people = np.repeat([7, 3], 200), np.r_[np.arange(200) % 5, np.arange(200)]
    found = by_group(np.ones(400), np.ones(400), group, NAMES, rng(), people)
    assert list(found) == ["south"]
    many = np.repeat(np.arange(MOST + 5), LEAST)
    names = {int(n): str(n) for n in many}
    right = np.ones(len(many))
    assert len(by_group(right, right, many, names, rng())) == MOST


def test_the_error_of_scores() -> None:
    group, labels = np.repeat([7, 3], 50), np.zeros(100)
    answers = np.r_[np.full(50, 0.5), np.full(50, -2.0)]
    found = by_group(answers, labels, group, NAMES, rng(), scores=True)
    assert {name: each.value for name, each in found.items()} == {"north": 0.5, "south": 2.0}


def test_all_intervals_hold_together() -> None:
    """400 times ten groups of 30: missed in any at most 5 %, so 41 at most (chance 1e-4).

    Of scores, whose errors are skewed, the intervals are by a t distribution: 8 % are let pass.
    """
    shares = np.linspace(0.3, 0.97, 10)
    group = np.repeat(np.arange(10), 30)
    names = {n: str(n) for n in range(10)}
    draws = rng(5)
    missed = {False: 0, True: 0}
    for _ in range(400):
        right = (draws.random(300) < shares[group]).astype(int)
        found = by_group(right, np.ones(300, int), group, names, rng())
        missed[False] += any(not e.low <= shares[int(n)] <= e.high for n, e in found.items())
        errors = np.abs(draws.normal(0, 1 + shares[group]))
        found = by_group(errors, np.zeros(300), group, names, rng(), scores=True)
        true = (1 + shares) * np.sqrt(2 / np.pi)
        missed[True] += any(not e.low <= true[int(n)] <= e.high for n, e in found.items())
    assert missed[False] <= stats.binom.isf(1e-4, 400, 0.05)
    assert missed[True] <= stats.binom.isf(1e-4, 400, 0.08)


def test_thirds_by_length() -> None:
    lengths = rng(2).integers(4, 40, 500)
    group, names = thirds(lengths)
    assert [int((group == n).sum()) > 120 for n in names] == [True] * 3
    assert (np.sort(lengths) == np.concatenate([np.sort(lengths[group == n]) for n in names])).all()
    group, names = thirds(np.full(9, 12))
    assert set(group.tolist()) == {0} and names == {0: "all lengths"}
    group, names = thirds(np.array([5] * 8 + [6]))
    assert list(names.values()) == ["up to 5 tokens", "6 tokens and more"]
    assert group.tolist() == [0] * 8 + [1]
