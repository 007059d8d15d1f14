"""Matrix Gaussian noise has the covariance that is published and hides what it says it hides."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from privacy.accountants import gaussian_epsilon
from privacy.events import GaussianEvent
from privacy.matrix_gaussian import MatrixGaussian
from privacy.mechanism import Cost
from privacy.randomness.release import grid_step
from tests.privacy.drawn import draws
from tests.privacy.statistics import (
    FALSE_ALARM,
    dependent,
    follows,
    gaussian_scale,
    generator,
)

WIDTH, LENGTH = 6, 5
PLAIN = MatrixGaussian(0.7, 0.8, WIDTH, LENGTH)
MIXED = MatrixGaussian(0.7, 0.8, WIDTH, LENGTH, row_spread=4.0, column_spread=9.0)
FEWER = MatrixGaussian(0.7, 0.8, WIDTH, LENGTH, keep=2)
BOTH = MatrixGaussian(0.7, 0.8, WIDTH, LENGTH, 3.0, 5.0, keep=4, basis_seed=3)
EVERY = [PLAIN, MIXED, FEWER, BOTH]
STD = 0.8 * 2 * 0.7  # the smallest, of all four


def projected(mechanism: MatrixGaussian, noise: torch.Tensor) -> torch.Tensor:
    """Noise [record, seq * width] as [record, seq, width or keep]."""
    noise = noise.double().view(len(noise), -1, WIDTH)
    return noise if mechanism.projection is None else noise @ mechanism.projection


def noise_of(mechanism, seq: int, seed: int, records=3000, dtype=torch.float64) -> torch.Tensor:
    zeros = torch.zeros(records, seq * WIDTH, dtype=dtype)
    return projected(mechanism, mechanism.add_noise(zeros, draws(seed)))


def whitened(mechanism: MatrixGaussian, noise: torch.Tensor) -> torch.Tensor:
    """The noise freed of its covariance, as an adversary who knows the factors does it."""
    half = torch.linalg.solve(mechanism.row_factor(noise.shape[1]), noise)
    return torch.linalg.solve(mechanism.column_factor, half.mT).mT


def least_noisy(mechanism: MatrixGaussian, seq: int) -> torch.Tensor:
    """The direction [seq, width] of length 1 in which there is least noise."""
    factors = (mechanism.row_factor(seq), mechanism.column_factor)
    row, column = (torch.linalg.svd(factor)[0][:, -1] for factor in factors)
    return row[:, None] * column


@pytest.mark.parametrize("mechanism", EVERY, ids=["plain", "mixed", "fewer", "both"])
@pytest.mark.parametrize("seq", [1, 3, LENGTH])
def test_whitening_leaves_independent_noise_of_the_smallest_deviation(mechanism, seq):
    # At most five checks of 2e-5 each.
    white = whitened(mechanism, noise_of(mechanism, seq, seed=11))
    assert gaussian_scale(white, STD)
    assert not gaussian_scale(white, STD * 2 / 3)
    assert not gaussian_scale(white, STD * 3 / 2)
    assert follows(white / STD, "norm")
    assert not dependent(white[:, :, :-1], white[:, :, 1:])
    assert not dependent(white[:-1], white[1:])
    if seq > 1:
        assert not dependent(white[:, :-1], white[:, 1:])


def test_without_the_right_factors_the_noise_is_not_white():
    raw = noise_of(MIXED, LENGTH, seed=11)
    assert not gaussian_scale(raw, STD)
    assert dependent(raw[:, :, 0], raw[:, :, 1]) and dependent(raw[:, 0], raw[:, 1])
    other = MatrixGaussian(0.7, 0.8, WIDTH, LENGTH, 4.0, 9.0, basis_seed=1)
    assert not gaussian_scale(whitened(other, raw), STD)


def test_two_calls_are_independent():
    shared, zeros = draws(12), torch.zeros(900, LENGTH * WIDTH)  # two checks of 1e-5 each
    noises = [projected(MIXED, MIXED.add_noise(zeros, shared)) for _ in range(2)]
    first, second = (whitened(MIXED, noise) for noise in noises)
    assert not dependent(first, second)
    assert dependent(first, first + second)


@pytest.mark.parametrize("mechanism", EVERY, ids=["plain", "mixed", "fewer", "both"])
@pytest.mark.parametrize("seq", [1, 2, 3, 4, LENGTH])
def test_no_direction_has_less_noise_than_the_cost_says(mechanism, seq):
    rows = np.linalg.svd(mechanism.row_factor(seq).numpy(), compute_uv=False)
    columns = np.linalg.svd(mechanism.column_factor.numpy(), compute_uv=False)
    assert rows.min() >= 1 - 1e-12 and columns.min() >= 1 - 1e-12
    assert rows.max() <= mechanism.row_spread + 1e-9
    if seq == LENGTH:
        expected = np.geomspace(1, mechanism.row_spread, LENGTH)
        np.testing.assert_allclose(np.sort(rows), expected, rtol=1e-10)
    expected = np.geomspace(1, mechanism.column_spread, len(columns))
    np.testing.assert_allclose(np.sort(columns), expected, rtol=1e-10)
    assert mechanism.smallest_std == pytest.approx(STD, rel=1e-12)


def test_whitening_shrinks_every_difference_to_the_sensitivity():
    # Differences of 2 C in random directions, and in the direction that has least noise.
    white_row, white_column = map(torch.linalg.inv, (MIXED.row_factor(3), MIXED.column_factor))
    random = torch.randn(200, 3, WIDTH, generator=generator(1), dtype=torch.float64)
    for difference in (*random, least_noisy(MIXED, seq=3)):
        step = 2 * 0.7 * difference / difference.norm()
        assert float((white_row @ step @ white_column.T).norm()) / STD <= 1 / 0.8 + 1e-12
    white_row = torch.linalg.inv(MIXED.row_factor(LENGTH))
    step = 2 * 0.7 * least_noisy(MIXED, LENGTH)
    distance = float((white_row @ step @ white_column.T).norm()) / STD
    assert distance == pytest.approx(1 / 0.8, rel=1e-9)  # reached: no noise is wasted


@pytest.mark.parametrize("seq", [1, 3, LENGTH])
def test_the_covariance_is_that_of_the_first_rows_of_r_g_k(seq):
    # R anew, by its definition: symmetric, so the root of the published covariance.
    covariance = (MIXED.row_factor(LENGTH) @ MIXED.row_factor(LENGTH).T).numpy()
    values, basis = np.linalg.eigh(covariance)
    symmetric = basis * np.sqrt(values) @ basis.T
    ours = MIXED.row_factor(seq)
    np.testing.assert_allclose((ours @ ours.T).numpy(), (symmetric @ symmetric.T)[:seq, :seq])
    assert torch.allclose(MIXED.column_factor, MIXED.column_factor.T)


@pytest.mark.parametrize("mechanism", EVERY, ids=["plain", "mixed", "fewer", "both"])
def test_noise_std_is_the_root_mean_square_over_full_sequences(mechanism):
    # The square of a Gaussian vector: mean tr S, variance 2 tr S^2; 5 standard errors, 6e-7.
    factors = (mechanism.row_factor(LENGTH), mechanism.column_factor)
    rows, columns = (factor @ factor.T for factor in factors)
    spread = 2 * float(torch.trace(rows @ rows) * torch.trace(columns @ columns)) * STD**4
    noise = mechanism.add_noise(torch.zeros(4000, LENGTH * WIDTH), draws(13)).double()
    mean = float(noise.square().sum(dim=1).mean())
    expected = mechanism.noise_std**2 * LENGTH * WIDTH
    assert abs(mean - expected) < 5 * math.sqrt(spread / 4000)
    assert abs(mean - expected * 4 / 9) > 5 * math.sqrt(spread / 4000)


def on_the_grid(mechanism):
    """How far one value may move as records are cut, before they are lifted back."""
    return math.sqrt(mechanism.width) * grid_step(mechanism.smallest_std)


@pytest.mark.parametrize("mechanism", [FEWER, BOTH], ids=["fewer", "both"])
def test_the_projection_keeps_what_it_keeps_and_lifts_it_back(mechanism):
    projection = mechanism.projection
    identity = torch.eye(mechanism.keep, dtype=torch.float64)
    torch.testing.assert_close(projection.T @ projection, identity, rtol=0, atol=1e-12)
    records = torch.randn(4, 3 * WIDTH, generator=generator(1), dtype=torch.float64)
    noise = mechanism.add_noise(torch.zeros_like(records), draws(2))
    noised = mechanism.add_noise(records, draws(2))
    tokens = records.view(4, 3, WIDTH)
    expected = (tokens @ projection @ projection.T).flatten(1) + noise
    torch.testing.assert_close(noised, expected, rtol=0, atol=on_the_grid(mechanism))
    assert np.linalg.matrix_rank(noised.view(-1, WIDTH).numpy(), tol=1e-9) == mechanism.keep
    float_noised = mechanism.add_noise(records.float(), draws(2))
    assert float_noised.dtype == torch.float32
    torch.testing.assert_close(float_noised.double(), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("mechanism", EVERY, ids=["plain", "mixed", "fewer", "both"])
def test_the_gradient_passes_and_the_noise_does_not_depend_on_the_records(mechanism):
    records = torch.randn(2, 2 * WIDTH, generator=generator(1), dtype=torch.float64)
    records.requires_grad_()
    out = mechanism.add_noise(records, draws(2))
    (gradient,) = torch.autograd.grad(out.sum(), records)
    through = torch.ones(2, 2, WIDTH, dtype=torch.float64)
    if mechanism.projection is not None:
        through = through @ mechanism.projection @ mechanism.projection.T
    torch.testing.assert_close(gradient, through.flatten(1))
    more = mechanism.add_noise(records.detach() * 0 + 1.0, draws(2))
    less = mechanism.add_noise(records.detach() * 0, draws(2))
    torch.testing.assert_close(more - less, through.flatten(1), rtol=0, atol=on_the_grid(mechanism))


@pytest.mark.parametrize(("claimed", "holds"), [(2.0, True), (1.0, False)])
def test_the_guarantee_withstands_neighbours_in_the_least_noisy_direction(claimed, holds):
    # A fixed threshold on the least noisy direction; both rates by Clopper-Pearson, 1e-5 in all.
    delta, trials = 1e-5, 200_000
    mechanism = MatrixGaussian.calibrated(2.0, delta, 0.5, 2, 2, row_spread=3.0, column_spread=7.0)
    direction = least_noisy(mechanism, seq=2).flatten()
    counts = []
    for seed, sign in ((21, 1.0), (22, -1.0)):
        records = (sign * 100.0 * direction).expand(trials, -1)
        noised = mechanism.add_noise(mechanism.clip(records), draws(seed))
        seen = noised @ direction  # an eigenvector: the other directions tell nothing of it
        counts.append(int((seen > -0.5 + 2.8 * mechanism.smallest_std).sum()))
    low = stats.beta.ppf(FALSE_ALARM / 2, counts[0], trials - counts[0] + 1)
    high = stats.beta.isf(FALSE_ALARM / 2, counts[1] + 1, trials - counts[1])
    assert (math.log((low - delta) / high) <= claimed) == holds


def test_calibrated_meets_its_target_with_the_smallest_deviation():
    mechanism = MatrixGaussian.calibrated(
        2.0, 1e-5, 3.0, WIDTH, LENGTH, releases=4, row_spread=2.0, column_spread=3.0, keep=2
    )
    assert mechanism.smallest_std == pytest.approx(1.993812 * 2 * 3.0 * 2.0, rel=1e-6)
    multiplier = mechanism.noise_multiplier
    assert mechanism.cost() == Cost(GaussianEvent(multiplier), "sequence", "replace-one")
    assert gaussian_epsilon(multiplier, 4, 1e-5) == pytest.approx(2.0, abs=1e-6)
    assert (mechanism.row_spread, mechanism.column_spread, mechanism.keep) == (2.0, 3.0, 2)


def test_the_matrices_are_public_and_fixed():
    twin = MatrixGaussian(9.0, 2.0, WIDTH, LENGTH, 3.0, 5.0, keep=4, basis_seed=3)
    for read in (
        lambda mechanism: mechanism.row_factor(4),
        lambda mechanism: mechanism.column_factor,
        lambda mechanism: mechanism.projection,
    ):
        before = read(BOTH).clone()
        assert torch.equal(read(twin), before)
        read(BOTH).zero_()  # a copy: what a caller does to it changes nothing
        assert torch.equal(read(BOTH), before)
    other = MatrixGaussian(9.0, 2.0, WIDTH, LENGTH, 3.0, 5.0, keep=4, basis_seed=4)
    assert not torch.allclose(other.projection, twin.projection)


def test_settings_out_of_range_are_refused():
    for name, bad in (
        [(n, v) for n in ("clip_norm", "noise_multiplier") for v in (0.0, -1.0, math.nan, math.inf)]
        + [(n, v) for n in ("row_spread", "column_spread") for v in (0.9, math.nan, 1e7)]
        + [(n, v) for n in ("width", "length") for v in (0, -1, 2.5, True)]
        + [("keep", v) for v in (0, -1, WIDTH, 1.5, True)]
        + [("basis_seed", -1)]
    ):
        fields = {"clip_norm": 1.0, "noise_multiplier": 1.0, "width": WIDTH, "length": LENGTH}
        with pytest.raises(ValueError, match=f"got {name}=|got keep="):
            MatrixGaussian(**(fields | {name: bad}))


def test_bad_records_are_refused():
    for mechanism in EVERY:
        noise = draws(0)
        with pytest.raises(ValueError, match="expected at most length=5 tokens, got seq=6"):
            mechanism.add_noise(torch.ones(2, 6 * WIDTH), noise)
        with pytest.raises(
            ValueError, match="expected rows of a multiple of width=6 values, got 7"
        ):
            mechanism.add_noise(torch.ones(2, 7), noise)
        bad = torch.ones(2, WIDTH)
        bad[1, 3] = math.nan
        for verb in (mechanism.clip, lambda x, m=mechanism: m.add_noise(x, draws(0))):
            with pytest.raises(ValueError, match="got 1 non-finite of 12 values"):
                verb(bad)
        assert mechanism.add_noise(torch.ones(3, 0), noise).shape == (3, 0)
        assert mechanism.add_noise(torch.ones(0, WIDTH), noise).shape == (0, WIDTH)
