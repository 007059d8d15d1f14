"""Local and adaptive DP-FedAvg: noise of the scale that is claimed, a budget shared as claimed."""

import math

import numpy as np
import pytest
from scipy import stats

from privacy.accountants import gaussian_epsilon
from privacy.adaptive_clip import AdaptiveDPFedAvg
from privacy.local_dp_fedavg import LocalDPFedAvg
from privacy.mechanism import Mechanism
from tests.privacy.drawn import draws
from tests.privacy.statistics import FALSE_ALARM, dependent, gaussian_scale, noise_of

LOCAL, ADAPTIVE = LocalDPFedAvg(0.3, 1.7), AdaptiveDPFedAvg(0.3, 1.7)


@pytest.mark.parametrize(
    ("mechanism", "std"),
    [(LOCAL, 1.7 * 2 * 0.3), (ADAPTIVE, 1.05 * 1.7 * 0.3)],
    ids=["local", "adaptive"],
)
def test_the_noise_has_its_scale_and_neither_two_thirds_nor_three_halves(
    mechanism: Mechanism, std: float
) -> None:
    noise = noise_of(mechanism, seed=3)
    assert gaussian_scale(noise, std)
    assert not gaussian_scale(noise, std * 2 / 3)
    assert not gaussian_scale(noise, std * 3 / 2)
    assert not dependent(noise[:20], noise[20:])
    assert not dependent(noise, noise_of(mechanism, seed=4))


def test_the_count_of_bits_has_its_noise_too() -> None:
    """From the clip that follows, the noise on the count can be read back."""
    rate, quantile = ADAPTIVE.clip_learning_rate, ADAPTIVE.target_quantile
    drawn = []
    for seed in range(2000):
        after = ADAPTIVE.after(unclipped=30, answered=100, participants=100, draws=draws(seed))
        share = quantile - math.log(after.clip_norm / ADAPTIVE.clip_norm) / rate
        drawn.append((share - 0.3) * 100)
    energy = float(np.square(drawn).sum())
    for factor, fits in ((1.0, True), (2 / 3, False), (1.5, False)):
        law = stats.chi2(len(drawn))
        scaled = energy / (factor * ADAPTIVE.bit_std) ** 2
        assert (law.ppf(FALSE_ALARM / 2) < scaled < law.isf(FALSE_ALARM / 2)) == fits


def test_sum_and_count_together_cost_what_is_claimed() -> None:
    """Two Gaussian releases: multipliers add up as inverse squares; a bit counts 1/2."""
    together = (ADAPTIVE.update_multiplier**-2 + (2 * ADAPTIVE.bit_std) ** -2) ** -0.5
    assert together == pytest.approx(ADAPTIVE.noise_multiplier)
    cost = AdaptiveDPFedAvg.calibrated(8.0, 1e-5, clip_norm=1.0, rounds=5).cost()
    assert cost is not None
    assert gaussian_epsilon(cost.event.noise_multiplier, 5, 1e-5) == pytest.approx(8.0)


def test_the_clip_that_follows_keeps_the_noise_on_bits() -> None:
    after = ADAPTIVE.after(0, 10, 10, draws(0))
    assert after.bit_std == ADAPTIVE.bit_std and after.clip_norm != ADAPTIVE.clip_norm
    assert after.noise_std == pytest.approx(ADAPTIVE.update_multiplier * after.clip_norm)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"clip_norm": 0.0}, "clip_norm > 0"),
        ({"noise_multiplier": -1.0}, "noise_multiplier > 0"),
        ({"target_quantile": 1.0}, "target_quantile"),
        ({"clip_learning_rate": 0.0}, "clip_learning_rate > 0"),
        ({"noise_multiplier": 3.0, "bit_noise": 1.5}, "bit_noise > 1.5"),
    ],
)
def test_what_cannot_be_is_refused(settings: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        AdaptiveDPFedAvg(**{"clip_norm": 1.0, "noise_multiplier": 1.0, **settings})
