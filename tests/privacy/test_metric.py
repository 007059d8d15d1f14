"""Metric privacy: the length of the noise is Gamma, its direction uniform, each row its own."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from privacy.events import MetricEvent
from privacy.mechanism import Cost
from privacy.metric import Metric
from tests.privacy.drawn import draws
from tests.privacy.statistics import (
    FALSE_ALARM,
    dependent,
    follows,
    generator,
    noise_of,
    radius_scale,
)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("eta", "width"), [(0.3, 1), (2.0, 3), (50.0, 64)])
def test_the_length_has_its_scale_and_neither_two_thirds_nor_three_halves(eta, width, dtype):
    # Three checks of 1e-5 each.
    noise = noise_of(Metric(eta, width), seed=11, shape=(4000, width), dtype=dtype)
    assert radius_scale(noise, eta)
    assert not radius_scale(noise, eta * 2 / 3)
    assert not radius_scale(noise, eta * 3 / 2)


@pytest.mark.parametrize("width", [1, 2, 3, 64])
def test_the_length_is_gamma_and_not_that_of_a_normal_vector(width):
    noise = noise_of(Metric(5.0, width), seed=12, shape=(5000, width), dtype=torch.float64)
    lengths = noise.norm(dim=1).numpy()
    assert follows(lengths, stats.gamma(width, scale=1 / 5.0).cdf)
    assert not follows(lengths, stats.gamma(width + 1, scale=1 / 5.0).cdf)
    normal = noise_of_length_chi(width).numpy()  # as long on average
    assert not follows(normal, stats.gamma(width, scale=1 / 5.0).cdf)


def noise_of_length_chi(width: int) -> torch.Tensor:
    noise = torch.randn(5000, width, generator=generator(2), dtype=torch.float64)
    return noise.norm(dim=1) * (width / 5.0) / stats.chi(width).mean()


@pytest.mark.parametrize("width", [2, 3, 64])
def test_directions_are_uniform(width):
    noise = noise_of(Metric(5.0, width), seed=13, shape=(8000, width), dtype=torch.float64)
    directions = noise / noise.norm(dim=1, keepdim=True)
    # A coordinate u of a uniform direction: (u + 1) / 2 is Beta((width - 1) / 2, same).
    half = (width - 1) / 2
    for axis in (torch.eye(width)[0], torch.ones(width) / math.sqrt(width)):
        assert follows(directions @ axis.double() / 2 + 0.5, stats.beta(half, half).cdf)
    spiked = torch.randn(8000, width, generator=generator(3), dtype=torch.float64) ** 3
    spiked /= spiked.norm(dim=1, keepdim=True)  # towards the axes
    assert not follows(spiked[:, 0] / 2 + 0.5, stats.beta(half, half).cdf)
    assert not follows(directions[:, 0].abs() / 2 + 0.5, stats.beta(half, half).cdf)


def test_rows_and_calls_are_independent_in_length_and_direction():
    # Five checks of at most 2e-5 each.
    mechanism, shared = Metric(1.0, 4), draws(14)
    first, second = (mechanism.add_noise(torch.zeros(5000, 4), shared) for _ in range(2))
    assert not dependent(first, second)
    assert not dependent(first[:-1], first[1:])
    lengths = first.norm(dim=1)
    assert not dependent(lengths, second.norm(dim=1))
    assert not dependent(lengths[:-1], lengths[1:])
    assert not dependent(lengths, (first / lengths[:, None])[:, 0])
    assert dependent(lengths, first.abs().sum(dim=1))  # the test can fail


def test_the_root_mean_square_is_noise_std():
    for eta, width in ((2.0, 1), (3.0, 5), (10.0, 768)):
        noise = noise_of(Metric(eta, width), seed=15, shape=(20_000, width))
        squares = noise.double().square().sum(dim=1)
        expected = width * Metric(eta, width).noise_std ** 2
        law = stats.gamma(width, scale=1 / eta)  # its fourth moment gives the standard error
        error = math.sqrt((law.moment(4) - law.moment(2) ** 2) / len(squares))
        assert abs(float(squares.mean()) - expected) < 5 * error  # 6e-7 each, about
    assert Metric(2.0, 3).noise_std == 1.0


@pytest.mark.parametrize(("claimed", "holds"), [(1.0, True), (0.5, False)])
def test_neighbours_at_a_distance_show_eta_times_it_and_no_more(claimed, holds):
    # Width 1 is Laplace: the rate beyond the higher one differs by e^(eta d). False alarm 1e-5.
    trials, counts = 200_000, []
    for seed, value in ((21, 0.25), (22, -0.25)):
        records = torch.full((trials, 1), value, dtype=torch.float64)
        counts.append(int((Metric(2.0, 1).add_noise(records, draws(seed)) > 0.25).sum()))
    low = stats.beta.ppf(FALSE_ALARM / 2, counts[0], trials - counts[0] + 1)
    high = stats.beta.isf(FALSE_ALARM / 2, counts[1] + 1, trials - counts[1])
    assert (math.log(low / high) <= claimed) == holds
    assert math.log(counts[0] / counts[1]) == pytest.approx(1.0, abs=0.05)


def test_the_gamma_is_drawn_in_full_precision_from_the_generator_for_large_shapes():
    noise = Metric(1.0, 30_000).add_noise(torch.zeros(100, 30_000), draws(16))
    scores = (noise.double().norm(dim=1).numpy() - 30_000) / math.sqrt(30_000)
    assert follows(scores, "norm")
    state = torch.get_rng_state()
    one, two = (Metric(1.0, 9).add_noise(torch.zeros(1, 9), draws(16)) for _ in range(2))
    assert torch.equal(one, two)
    assert torch.equal(torch.get_rng_state(), state)  # the global generator plays no part


def test_a_direction_of_length_zero_does_not_divide(monkeypatch):
    zeros = torch.zeros(2, 3, dtype=torch.float64)
    monkeypatch.setattr(torch, "randn", lambda *args, **kwargs: zeros.clone())
    assert torch.isfinite(Metric(1.0, 3).add_noise(torch.ones(2, 3), draws(0))).all()


def test_clip_leaves_rows_alone_and_the_cost_is_of_its_own_kind():
    mechanism = Metric(3.0, 4, nearest_word=True)
    records = torch.randn(5, 4, generator=generator(1)) * 1e6
    assert mechanism.clip(records) is records
    assert mechanism.clip_norm is None
    assert mechanism.nearest_word and not Metric(3.0, 4).nearest_word
    assert mechanism.cost() == Cost(MetricEvent(3.0), "token", "replace-one")
    assert not hasattr(mechanism, "calibrated")


def test_bad_input_is_refused():
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="got eta="):
            Metric(bad, 3)
    for wrong in (0, -1, 2.0, True):
        with pytest.raises(ValueError, match="got width="):
            Metric(1.0, wrong)
    mechanism = Metric(1.0, 2)
    for verb in (mechanism.clip, lambda records: mechanism.add_noise(records, draws(0))):
        with pytest.raises(ValueError, match="got 1 non-finite of 2 values"):
            verb(torch.tensor([[1.0, math.nan]]))
        with pytest.raises(ValueError, match="expected rows of width=2 values, got 3"):
            verb(torch.ones(2, 3))
        with pytest.raises(ValueError, match=r"expected records \[record, value\], got shape="):
            verb(torch.ones(2))
        with pytest.raises(ValueError, match="got dtype="):
            verb(torch.from_numpy(np.ones((2, 2), dtype=np.float16)))
