"""Running test of noise: sound noise is let be, however large; faulty noise is found and named."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from evaluation.metrics.change_bets import ChangeBets
from evaluation.metrics.noise_e_values import alike, bare_limit, too_small, without_noise
from evaluation.metrics.noise_test import SKETCH, NoisePart, NoiseTest
from fedbert.errors import InputError

SIZES = {"a": 16, "b": 768, "c": 256, "d": 16, "e": 64}
ALPHA = 5e-5
Noise = dict[str, np.ndarray]


def noise_of(rng: np.random.Generator, std: float = 1.0) -> Noise:
    return {name: rng.normal(0, std, size) for name, size in SIZES.items()}


def run(
    seed: int, rounds: int, fault: Callable[[int, Noise], Noise] | None = None, std: float = 1.0
) -> tuple[int | None, NoiseTest]:
    """Return the round in which the test rejected, from 1, or None."""
    rng, test = np.random.default_rng(seed), NoiseTest(list(SIZES))
    for number in range(1, rounds + 1):
        noise = noise_of(rng, std)
        noise = noise if fault is None else fault(number, noise)
        test.update({name: NoisePart.of(value, 1e-7) for name, value in noise.items()})
        if test.rejected(ALPHA):
            return number, test
    return None, test


def test_e_values_have_a_mean_of_at_most_one_under_the_claim() -> None:
    """Means of 20,000 draws, within four standard errors (1e-4); far below 1 they would be weak."""
    rng = np.random.default_rng(1)
    few = rng.normal(size=(20_000, 12))
    squares, counts = np.square(few).sum(axis=1), np.full(20_000, 12.0)
    found = [np.exp(too_small(squares, counts))[:, 3:]]  # those of small variance
    other = rng.normal(size=12)
    found.append(np.exp(alike(few @ other, squares, np.full(20_000, other @ other), counts)))
    hits = rng.binomial(1000, 2 * stats.norm.cdf(0.15) - 1, 20_000)
    found.append(np.exp(without_noise(hits, np.full(20_000, 1000.0), np.full(20_000, 0.1)))[:, :1])
    for each in found:
        mean, error = each.mean(axis=0), each.std(axis=0) / math.sqrt(len(each))
        assert (mean <= 1 + 4 * error).all() and (mean > 0.6).all(), (mean, error)


def test_the_bet_on_directions_does_not_mind_how_large_the_noise_is() -> None:
    rng = np.random.default_rng(2)
    new, old = rng.normal(size=40), rng.normal(size=40)
    bets = [
        alike(*(np.array([v]) for v in (scale * new @ old, scale**2 * new @ new, old @ old, 40)))
        for scale in (1.0, 7.0)
    ]
    assert bets[0] == pytest.approx(bets[1])
    gone = alike(*(np.array([v]) for v in (0.0, 0.0, 1.0, 4.0)))
    assert gone.tolist() == [0.0]


@pytest.mark.parametrize("std", [1.0, 3.0])
def test_sound_noise_is_let_be(std: float) -> None:
    """Of 24 runs the wealth reaches 1 / .05 in at most as many as chance allows (1e-4)."""
    highest = [run(seed, 15, std=std)[1].highest for seed in range(24)]
    passed = sum(each >= math.log(1 / 0.05) for each in highest)
    assert passed <= stats.binom.isf(1e-4, 24, 0.05)


def halved(number: int, noise: Noise) -> Noise:
    return {n: v / 2 for n, v in noise.items()} if number >= 5 else noise


def one_smaller(number: int, noise: Noise) -> Noise:
    return noise | {"b": noise["b"] * 0.6}


def bare(number: int, noise: Noise) -> Noise:
    noise["b"][700] = 0.0
    return noise


def shared(number: int, noise: Noise) -> Noise:
    return noise | {"b": np.concatenate([noise["c"], noise["b"][SKETCH:]])}


@pytest.mark.parametrize(
    ("fault", "rounds", "said"),
    [(halved, (5, 5), "smaller"), (one_smaller, (1, 2), "smaller"), (bare, (2, 9), "without"),
     (shared, (1, 1), "in another parameter")],
)  # fmt: skip
def test_faults_are_found_and_named(fault, rounds: tuple[int, int], said: str) -> None:
    for seed in range(3):
        found, test = run(seed, 12, fault)
        assert found is not None and rounds[0] <= found <= rounds[1], (seed, found)
        assert said in test.fault()


@pytest.mark.parametrize("period", [1, 4])
def test_noise_that_comes_again_is_found(period: int) -> None:
    kept: dict[int, Noise] = {}

    def again(number: int, noise: Noise) -> Noise:
        kept[number] = noise
        return noise if number <= 2 + period else kept[3 + (number - 3) % period]

    found, test = run(3, 12, again)
    assert found == 3 + period and "in an earlier release" in test.fault()


def test_wealth_goes_on_where_it_was_saved_and_noise_is_kept_nowhere() -> None:
    _, test = run(4, 6)
    arrays, values = test.state()
    other = NoiseTest(list(SIZES))
    other.restore(arrays, values)
    assert other.log_wealth == test.log_wealth and other.highest == test.highest
    rng = np.random.default_rng(9)
    parts = {n: NoisePart.of(v * 0.9, 1e-7) for n, v in noise_of(rng).items()}
    test._past = {name: old.copy() for name, old in other._past.items()}
    for each in (test, other):
        each.update(parts)
    assert other.log_wealth == test.log_wealth
    assert sum(value.size for value in arrays.values()) < 2000
    sketches = {float(v) for part in parts.values() for v in part.sketch}
    assert not sketches & {float(v) for value in arrays.values() for v in value}


def test_a_bet_that_begins_late_has_lost_little() -> None:
    early, late = ChangeBets(1), ChangeBets(1)
    for step in range(20):
        early.update(np.array([-5.0 if step < 10 else 2.0]))
        late.update(np.array([2.0 if step >= 10 else 0.0]))
    assert late.log_wealth - 8 < early.log_wealth < late.log_wealth
    assert early.rejected(1e-4) and not ChangeBets(3).rejected(0.5)
    with pytest.raises(InputError, match="expected 1 e-values"):
        early.update(np.zeros(2))


def test_a_limit_lies_above_what_rounding_moves() -> None:
    assert bare_limit(1000, 1e-3) == pytest.approx(8e-3)
    assert bare_limit(1000, 0.0) == pytest.approx(1.25e-5)
    assert bare_limit(10**9, 0.0) == 2.0**-20
