"""Laplace: an L1 clip that never exceeds its bound, noise of its scale, pure epsilon."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from privacy.events import PureEvent
from privacy.laplace import Laplace, clip_rows_l1
from privacy.mechanism import Cost
from privacy.randomness.release import grid_step
from tests.privacy.drawn import draws
from tests.privacy.statistics import (
    FALSE_ALARM,
    dependent,
    follows,
    generator,
    laplace_scale,
    noise_of,
)

FLOATS = {"allow_nan": False, "allow_infinity": False}
MATRICES = st.sampled_from([np.float32, np.float64]).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.floats(-(2.0**90), 2.0**90, width=np.dtype(dtype).itemsize * 8, **FLOATS),
    )
)


def exact_norms(records: torch.Tensor) -> list[float]:
    return [math.fsum(abs(value) for value in row) for row in records.double().tolist()]


@settings(max_examples=150)
@given(MATRICES, st.floats(1e-6, 1e6))
def test_l1_norms_never_exceed_the_bound_and_directions_stay(records, clip_norm):
    clipped = clip_rows_l1(torch.from_numpy(records), clip_norm)
    rows = zip(clipped.tolist(), records.tolist(), exact_norms(clipped), strict=True)
    for row, before, norm in rows:
        assert norm <= clip_norm
        old = math.fsum(abs(value) for value in before)
        expected = np.array(before) * min(1.0, clip_norm / old if old else 1.0)
        rtol = 8 * np.finfo(records.dtype).eps + 1e-11
        np.testing.assert_allclose(row, expected, rtol=rtol, atol=1e-40)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("values", [64, 20_000])
def test_l1_norms_of_long_rows_reach_the_bound_and_not_beyond(values, dtype):
    records = torch.randn(16, values, generator=generator(1), dtype=dtype) * 11.3
    norms = exact_norms(clip_rows_l1(records, 1.0))
    assert max(norms) <= 1.0
    assert min(norms) >= 1.0 - 1e-6


def test_rows_within_the_bound_and_rows_of_zeros_stay_bit_for_bit():
    records = torch.tensor([[0.0, -0.0, 0.0], [-3.0, 1.5, 0.5], [1e-30, 0.0, 0.0]])
    clipped = clip_rows_l1(records, 5.0)
    assert torch.equal(clipped, records)
    assert torch.equal(torch.signbit(clipped), torch.signbit(records))
    assert exact_norms(clip_rows_l1(torch.tensor([[3.0, 4.0]]), 5.0))[0] < 7.0  # L2 is within


def test_the_gradient_is_the_true_one():
    records = torch.randn(6, 5, generator=generator(2), dtype=torch.float64)
    records[:3] *= 0.05  # three rows within the bound, three beyond
    records.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: clip_rows_l1(x, 1.0), (records,))
    (gradient,) = torch.autograd.grad(clip_rows_l1(records, 1.0)[3:].abs().sum(), records)
    assert float(gradient.abs().max()) < 1e-12  # the norm of a clipped row is fixed
    zeros = torch.zeros(2, 3, requires_grad=True)
    (gradient,) = torch.autograd.grad(clip_rows_l1(zeros, 1.0).sum(), zeros)
    assert torch.equal(gradient, torch.ones(2, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("clip_norm", [0.1, 1.0, 7.0])
def test_the_noise_has_its_scale_and_neither_two_thirds_nor_three_halves(clip_norm, dtype):
    # Three checks of 1e-5 each.
    noise = noise_of(Laplace(clip_norm, 1.6), seed=11, dtype=dtype)
    std = math.sqrt(2) * 2 * clip_norm / 1.6
    assert laplace_scale(noise, std)
    assert not laplace_scale(noise, std * 2 / 3)
    assert not laplace_scale(noise, std * 3 / 2)


def test_the_noise_is_laplace_its_tails_and_its_centre_included():
    zeros = torch.zeros(400, 500, dtype=torch.float64)
    noise = Laplace(1.0, 2.0).add_noise(zeros, draws(12))  # scale 1
    assert follows(noise, "laplace")
    assert not follows(noise + 0.02, "laplace")
    assert not follows(torch.randn(200_000, generator=generator(1)), "laplace")
    # On the grid's steps draws meet as often as the density says (its square integrates to 1/4).
    expected = noise.numel() ** 2 / 2 * grid_step(math.sqrt(2)) / 4
    low, high = stats.poisson.interval(1 - FALSE_ALARM, expected)
    assert low <= noise.numel() - len(noise.flatten().unique()) <= high
    beyond = int((noise.abs() > 9.0).sum())  # 24.7 expected of 200,000
    low, high = stats.binom.interval(1 - FALSE_ALARM, 200_000, math.exp(-9.0))
    assert low <= beyond <= high


def test_rows_values_and_calls_are_independent():
    # Three checks of 2e-5 each.
    mechanism, shared = Laplace(1.0, 2.0), draws(13)
    first, second = (mechanism.add_noise(torch.zeros(40, 500), shared) for _ in range(2))
    assert not dependent(first, second)
    assert not dependent(first[:-1], first[1:])
    assert not dependent(first[:, :-1], first[:, 1:])
    assert dependent(first, first + second)
    assert dependent(first, second.abs() * first.abs().sign() * first)  # the test can fail


@pytest.mark.parametrize(("claimed", "holds"), [(1.0, True), (0.5, False)])
def test_the_worst_neighbours_show_their_epsilon_and_no_more(claimed, holds):
    # The rate of "above the higher neighbour" differs by e^epsilon exactly. False alarm 1e-5.
    mechanism = Laplace(0.5, 1.0)
    trials, counts = 200_000, []
    for seed, value in ((21, 100.0), (22, -100.0)):
        records = torch.tensor([[value]], dtype=torch.float64).repeat(trials, 1)
        noised = mechanism.add_noise(mechanism.clip(records), draws(seed))
        counts.append(int((noised > 0.5).sum()))
    low = stats.beta.ppf(FALSE_ALARM / 2, counts[0], trials - counts[0] + 1)
    high = stats.beta.isf(FALSE_ALARM / 2, counts[1] + 1, trials - counts[1])
    assert (math.log(low / high) <= claimed) == holds


@pytest.mark.parametrize("target", [8.0, 0.1, 1.7])
@pytest.mark.parametrize("releases", [1, 3, 11, 49])  # 0.1 / 11 * 11 > 0.1
def test_calibrated_shares_the_target_out(target, releases):
    mechanism = Laplace.calibrated(target, clip_norm=3.0, releases=releases, unit="sequence")
    assert mechanism.epsilon * releases <= target
    assert mechanism.epsilon * releases == pytest.approx(target, rel=1e-12)
    assert mechanism.noise_std == pytest.approx(math.sqrt(2) * 6 * releases / target)
    assert mechanism.cost() == Cost(PureEvent(mechanism.epsilon), "sequence", "replace-one")


@pytest.mark.parametrize("bad", [0.0, -1.0, math.nan, math.inf])
def test_epsilon_and_clip_norm_must_be_positive_and_finite(bad):
    with pytest.raises(ValueError, match="got epsilon="):
        Laplace(1.0, bad)
    with pytest.raises(ValueError, match="got clip_norm="):
        Laplace(bad, 1.0)
    with pytest.raises(ValueError, match="got target_epsilon="):
        Laplace.calibrated(bad, clip_norm=1.0)


def test_releases_and_units_are_checked():
    for bad in (0, -1, 1.5, True):
        with pytest.raises(ValueError, match="got releases="):
            Laplace.calibrated(1.0, clip_norm=1.0, releases=bad)
    with pytest.raises(ValueError, match="expected unit to be one of"):
        Laplace(1.0, 1.0, unit="word")


def test_bad_records_are_refused_by_both_verbs():
    mechanism = Laplace(1.0, 1.0)
    verbs = (mechanism.clip, lambda records: mechanism.add_noise(records, draws(0)))
    for verb in verbs:
        with pytest.raises(ValueError, match="got 1 non-finite of 2 values"):
            verb(torch.tensor([[1.0, math.nan]]))
        with pytest.raises(ValueError, match=r"expected records \[record, value\], got shape="):
            verb(torch.ones(3))
        with pytest.raises(ValueError, match="expected records of float32 or float64, got dtype="):
            verb(torch.ones(2, 3, dtype=torch.float16))
    with pytest.raises(ValueError, match="norm beyond float64"):
        mechanism.clip(torch.full((1, 2), 1.7e308, dtype=torch.float64))
