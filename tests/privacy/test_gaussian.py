"""The noise has the scale that is claimed, is independent, and hides what it says it hides.

Statistical tests state their false-alarm rate; seeds are explicit.
"""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from privacy.accountants import gaussian_epsilon
from privacy.dp_fedavg import DPFedAvg
from privacy.gaussian import Gaussian
from privacy.randomness.release import grid_step
from tests.privacy.drawn import draws
from tests.privacy.statistics import (
    FALSE_ALARM,
    dependent,
    gaussian_scale,
    noise_of,
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("clip_norm", [0.1, 1.0, 7.0])
@pytest.mark.parametrize(
    ("kind", "sensitivities"), [(Gaussian, 2.0), (DPFedAvg, 1.0)], ids=["replace", "remove"]
)
def test_the_noise_has_its_scale_and_neither_two_thirds_nor_three_halves(
    kind, sensitivities, clip_norm, dtype
):
    noise = noise_of(kind(clip_norm, 0.8), seed=11, dtype=dtype)
    std = 0.8 * sensitivities * clip_norm
    assert gaussian_scale(noise, std)
    assert not gaussian_scale(noise, std * 2 / 3)
    assert not gaussian_scale(noise, std * 3 / 2)


def test_the_noise_is_gaussian_and_centred():
    # Kolmogorov-Smirnov against the normal, 1e-5; it sees the mean and the shape.
    noise = noise_of(Gaussian(1.0, 0.5), seed=12).flatten().numpy()
    assert stats.kstest(noise, "norm").pvalue > FALSE_ALARM
    assert stats.kstest(noise + 0.1, "norm").pvalue < FALSE_ALARM
    uniform = np.random.default_rng(0).uniform(-math.sqrt(3), math.sqrt(3), noise.size)
    assert stats.kstest(uniform, "norm").pvalue < FALSE_ALARM


def test_rows_values_and_calls_are_independent():
    mechanism = Gaussian(1.0, 0.5)  # noise_std 1
    shared = draws(13)
    zeros = torch.zeros(40, 500)
    first, second = (mechanism.add_noise(zeros, shared) for _ in range(2))
    assert not dependent(first, second)
    assert not dependent(first[:-1], first[1:])  # neighbouring rows
    assert not dependent(first[:, :-1], first[:, 1:])  # neighbouring values
    assert dependent(first, first + second)  # the test can fail


def test_the_length_of_each_row_of_noise_is_its_own():
    # One radius drawn for the whole batch, or a radius per row, would not spread like chi.
    noise = noise_of(Gaussian(1.0, 0.5), seed=14, shape=(2000, 50))
    squares = noise.double().square().sum(dim=1).numpy()
    assert stats.kstest(squares, stats.chi2(50).cdf).pvalue > FALSE_ALARM
    assert stats.kstest(np.full(2000, 50.0), stats.chi2(50).cdf).pvalue < FALSE_ALARM


@pytest.mark.parametrize("kind", [Gaussian, DPFedAvg])
def test_noise_scales_with_the_clip_norm_up_to_the_grid(kind):
    zeros = torch.zeros(3, 20, dtype=torch.float64)
    one = kind(1.0, 0.6).add_noise(zeros, draws(15))
    five = kind(5.0, 0.6).add_noise(zeros, draws(15))
    torch.testing.assert_close(five, 5.0 * one, rtol=0.0, atol=6 * grid_step(6.0))


def test_the_noise_does_not_depend_on_the_records():
    mechanism = Gaussian(1.0, 0.6)
    zeros = torch.zeros(3, 20, dtype=torch.float64)
    noises = [mechanism.add_noise(zeros + x, draws(16)) - x for x in (0.0, 1.0, -300.0)]
    for noise in noises[1:]:
        torch.testing.assert_close(noise, noises[0], rtol=0.0, atol=1e-12)


def lower_bound(at_or_above: int, other: int, trials: int, delta: float) -> float:
    """A lower bound on epsilon: Clopper-Pearson on both rates, each wrong with rate 5e-6."""
    miss = FALSE_ALARM / 2
    low = stats.beta.ppf(miss, at_or_above, trials - at_or_above + 1) if at_or_above else 0.0
    high = stats.beta.isf(miss, other + 1, trials - other) if other < trials else 1.0
    return math.log((low - delta) / high) if low > delta else 0.0


def attacked(mechanism, start: float, end: float, threshold: float, delta: float) -> float:
    """The epsilon that a distinguisher proves, from neighbours on the line start..end.

    The two neighbours go through clip and add_noise; the guess is a fixed threshold on the first
    value, chosen before any noise was drawn.
    """
    trials = 200_000
    rates = []
    for seed, value in ((21, end), (22, start)):
        records = torch.tensor([[value, 0.0]], dtype=torch.float64).repeat(trials, 1)
        noised = mechanism.add_noise(mechanism.clip(records), draws(seed))
        rates.append(int((noised[:, 0] > threshold).sum()))
    return lower_bound(*rates, trials=trials, delta=delta)


# How many standard deviations the threshold lies above the lower neighbour's mean: far enough
# out that the broken mechanism betrays itself, near enough that the rates can be measured.
@pytest.mark.parametrize(("epsilon", "deviations"), [(1.0, 2.3), (4.0, 3.5)])
def test_the_guarantee_withstands_its_worst_neighbours(epsilon, deviations):
    # False alarm at most 1e-5. Raw values lie beyond the clip: the clip is under attack too.
    delta = 1e-5
    sound = Gaussian.calibrated(epsilon, delta, clip_norm=0.5)
    broken = Gaussian(0.5, sound.noise_multiplier / 2)  # noise_multiplier * C, not 2 C
    for mechanism, holds in ((sound, True), (broken, False)):
        threshold = -0.5 + deviations * mechanism.noise_std
        proven = attacked(mechanism, start=-100.0, end=100.0, threshold=threshold, delta=delta)
        assert (proven <= epsilon) == holds, proven
        assert proven <= gaussian_epsilon(mechanism.noise_multiplier, 1, delta)
        assert proven > 0.3 * epsilon  # a bound that proves nothing tests nothing


def test_dp_fedavg_withstands_the_removal_of_a_client():
    # False alarm at most 1e-5. With one client there and gone, the sum moves by C, not by 2 C.
    epsilon, delta = 2.0, 1e-5
    sound = DPFedAvg.calibrated(epsilon, delta, clip_norm=0.5, rounds=1)
    broken = DPFedAvg(0.5, sound.noise_multiplier / 2)
    for mechanism, holds in ((sound, True), (broken, False)):
        threshold = 2.8 * mechanism.noise_std
        proven = attacked(mechanism, start=0.0, end=100.0, threshold=threshold, delta=delta)
        assert (proven <= epsilon) == holds, proven


def test_calibrated_takes_the_unit_and_meets_its_target():
    mechanism = Gaussian.calibrated(2.0, 1e-5, clip_norm=3.0, releases=4, unit="sequence")
    assert mechanism.unit == "sequence"
    assert mechanism.noise_std == pytest.approx(1.993812 * 2 * 3.0 * 2.0, rel=1e-6)
    cost = mechanism.cost()
    assert cost is not None
    assert cost.relation == "replace-one"
    assert gaussian_epsilon(cost.event.noise_multiplier, 4, 1e-5) == pytest.approx(2.0, abs=1e-6)
