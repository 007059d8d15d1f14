"""Rounding and dropping do what they say, and claim nothing."""

import math

import pytest
import torch
from scipy import stats

from privacy.empirical import FeatureDropout, Quantise
from privacy.randomness.draws import Draws
from tests.privacy.drawn import draws
from tests.privacy.randomness.scripted import Scripted
from tests.privacy.statistics import dependent, generator, likely


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bits", [1, 2, 3, 8, 16])
def test_every_value_goes_to_its_nearest_level(bits, dtype):
    clip_norm = 1.5
    records = torch.randn(6, 40, generator=generator(1), dtype=dtype)
    records[0, :3] = torch.tensor([-clip_norm, clip_norm, 9.0])
    rounded = Quantise(bits, clip_norm).add_noise(records, draws(0))
    levels = torch.linspace(-clip_norm, clip_norm, 2**bits, dtype=torch.float64)
    gaps = (rounded.double().flatten()[:, None] - levels).abs().min(dim=1).values
    assert float(gaps.max()) < 1e-6  # on a level
    best = (records.double().flatten()[:, None] - levels).abs().min(dim=1).values
    chosen = (records.double() - rounded.double()).abs().flatten()
    assert torch.all(chosen <= best + 1e-6)  # on the nearest
    assert torch.equal(Quantise(bits, clip_norm).add_noise(rounded, draws(0)), rounded)
    assert rounded.dtype == dtype
    assert float(rounded[0, 2]) == pytest.approx(clip_norm)


def test_quantise_clips_in_l2_before_it_rounds():
    mechanism = Quantise(4, 0.5)
    records = torch.randn(5, 16, generator=generator(2)) * 3
    norms = mechanism.clip(records).double().norm(dim=1)
    assert float(norms.max()) <= 0.5 and float(norms.min()) > 0.49
    assert len(mechanism.add_noise(records * 100, draws(0)).unique()) <= 16


def test_the_gradient_passes_the_rounding_as_if_it_were_not_there():
    records = torch.randn(4, 6, generator=generator(3), requires_grad=True)
    weights = torch.randn(4, 6, generator=generator(4))
    rounded = Quantise(2, 1.0).add_noise(records, draws(0))
    (gradient,) = torch.autograd.grad((rounded * weights).sum(), records)
    assert torch.equal(gradient, weights)


def test_rounding_draws_nothing_and_leaves_its_input_alone():
    records = torch.randn(4, 6, generator=generator(6))
    before = records.clone()
    Quantise(2, 1.0).add_noise(records, Draws(Scripted()))
    assert torch.equal(records, before)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_values_drop_at_their_rate_and_the_rest_is_scaled(rate):
    # Three binomial checks of 1e-5 each.
    records = torch.randn(40, 500, generator=generator(7)) + 5.0
    dropped = FeatureDropout(rate).add_noise(records, draws(8))
    kept = dropped != 0
    torch.testing.assert_close(dropped[kept], records[kept] / (1 - rate))
    zeros = int((~kept).sum())
    assert likely(zeros, stats.binom(kept.numel(), rate))
    assert not likely(zeros, stats.binom(kept.numel(), rate * 2 / 3))
    assert not likely(zeros, stats.binom(kept.numel(), min(rate * 3 / 2, 0.99)))


def test_drops_are_independent_across_rows_values_and_calls():
    # Three checks of 1e-5 each.
    mechanism, shared = FeatureDropout(0.3), draws(9)
    first, second = (mechanism.add_noise(torch.ones(40, 500), shared) for _ in range(2))
    assert not dependent(first, second)
    assert not dependent(first[:-1], first[1:])
    assert not dependent(first[:, :-1], first[:, 1:])
    assert dependent(first, first * 0.5 + second)  # the test can fail


def test_the_gradient_of_dropping_is_that_of_what_was_kept():
    records = torch.ones(3, 50, requires_grad=True)
    dropped = FeatureDropout(0.4).add_noise(records, draws(10))
    (gradient,) = torch.autograd.grad(dropped.sum(), records)
    assert torch.equal(gradient, dropped.detach())


@pytest.mark.parametrize("mechanism", [Quantise(3, 1.0), FeatureDropout(0.2)], ids=str)
def test_there_is_no_guarantee_and_bad_records_are_refused(mechanism):
    assert mechanism.cost() is None
    assert mechanism.unit == "token" and mechanism.noise_std == 0.0
    assert not hasattr(mechanism, "calibrated")
    for verb in (mechanism.clip, lambda records: mechanism.add_noise(records, draws(0))):
        with pytest.raises(ValueError, match="got 1 non-finite of 2 values"):
            verb(torch.tensor([[1.0, math.inf]]))
        with pytest.raises(ValueError, match=r"expected records \[record, value\], got shape="):
            verb(torch.ones(3))


def test_settings_out_of_range_are_refused():
    for bits in (0, -1, 17, 2.0, True):
        with pytest.raises(ValueError, match="got bits="):
            Quantise(bits, 1.0)
    for bad in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="got clip_norm="):
            Quantise(2, bad)
    for bad in (0.0, 1.0, -0.1, math.nan):
        with pytest.raises(ValueError, match="got rate="):
            FeatureDropout(bad)
    records = torch.ones(2, 3)
    assert FeatureDropout(0.5).clip(records) is records
