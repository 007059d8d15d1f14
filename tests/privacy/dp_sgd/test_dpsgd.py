"""The mechanism: what it states, what it refuses, the scale of its noise."""

import pytest
import torch

from privacy.accountants import poisson_gaussian_epsilon
from privacy.dp_sgd.mechanism import DPSGD
from privacy.events import PoissonGaussianEvent
from privacy.mechanism import Cost
from tests.privacy.drawn import draws


def test_it_states_one_step_of_a_poisson_sample() -> None:
    mechanism = DPSGD(0.5, 1.2, 0.01)
    assert mechanism.noise_std == pytest.approx(0.6)
    assert mechanism.cost() == Cost(PoissonGaussianEvent(1.2, 0.01), "record", "add-or-remove-one")
    assert Cost.from_json(mechanism.cost().to_json()) == mechanism.cost()


def test_calibrated_meets_the_target_and_little_more() -> None:
    target, delta, rate, steps = 1.0, 1e-5, 0.1, 20
    mechanism = DPSGD.calibrated(target, delta, clip_norm=2.0, sample_rate=rate, steps=steps)
    epsilon = poisson_gaussian_epsilon(mechanism.noise_multiplier, rate, steps, delta)
    assert 0.99 * target <= epsilon <= target
    assert mechanism.noise_std == mechanism.noise_multiplier * 2.0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ((0.0, 1.0, 0.1), "clip_norm"),
        ((1.0, 0.0, 0.1), "noise_multiplier"),
        ((1.0, float("inf"), 0.1), "noise_multiplier"),
        ((1.0, 1.0, 0.0), "sample_rate"),
        ((1.0, 1.0, 1.1), "sample_rate"),
    ],
)
def test_bad_numbers_are_refused(arguments, named) -> None:
    with pytest.raises(ValueError, match=named):
        DPSGD(*arguments)


def test_gradients_one_by_one_are_clipped_and_their_sum_noised() -> None:
    mechanism = DPSGD(0.5, 1.0, 0.1)
    rows = torch.tensor([[3.0, 4.0], [0.1, 0.0], [0.0, 0.0]])
    clipped = mechanism.clip(rows)
    torch.testing.assert_close(clipped, torch.tensor([[0.3, 0.4], [0.1, 0.0], [0.0, 0.0]]))
    noised = mechanism.add_noise(torch.zeros(200, 500), draws(1))
    # std of the estimate: 0.5 / sqrt(2e5) = 0.0011; six of them, false alarm 2e-9
    assert float(noised.std()) == pytest.approx(0.5, abs=0.0067)
    with pytest.raises(ValueError, match="non-finite"):
        mechanism.clip(torch.tensor([[float("nan"), 1.0]]))
