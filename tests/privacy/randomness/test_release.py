"""Noise on records: one grid, one rounding, and low-order bits that tell no neighbours apart."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from privacy.randomness.draws import Draws
from privacy.randomness.key_stream import CHUNK, KeyStream
from privacy.randomness.release import (
    add_gaussian,
    add_gaussian_into,
    add_laplace,
    add_noise,
    cut,
    grid_shift,
    grid_step,
    widened,
)
from privacy.randomness.tables import noise_table
from tests.privacy.randomness.scripted import Scripted
from tests.privacy.statistics import FALSE_ALARM, follows, gaussian_scale, laplace_scale

COUNT = CHUNK + 1001
STEP = grid_step(1.0)
Release = Callable[[Tensor, int], Tensor]


def draws(seed: int) -> Draws:
    return Draws(KeyStream(seed.to_bytes(32, "big")))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_added_has_the_stated_law(dtype: torch.dtype) -> None:
    records = torch.randn((3, COUNT // 3), generator=torch.Generator().manual_seed(0), dtype=dtype)
    gaussian = (add_gaussian(records, 0.7, draws(1)).double() - records.double()) / 0.7
    laplace = (add_laplace(records, 0.7, draws(2)).double() - records.double()) / 0.7
    assert follows(gaussian, stats.norm.cdf) and gaussian_scale(gaussian, 1.0)
    assert follows(laplace, stats.laplace.cdf) and laplace_scale(laplace, math.sqrt(2))


@pytest.mark.parametrize("std", [1e-3, 1.0, 3.3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_float64_sum_on_the_grid_rounded_once(std: float, dtype: torch.dtype) -> None:
    records = torch.randn(COUNT, generator=torch.Generator().manual_seed(0), dtype=dtype)
    step = grid_step(std)
    noise = draws(3).gaussian((COUNT,), std / step)  # in steps, as it is drawn
    exact = (torch.trunc(records.double() / step) + torch.round(noise)) * step
    released = add_gaussian(records, std, draws(3))
    assert released.dtype == dtype and torch.equal(released, exact.to(dtype))
    assert torch.equal(add_noise(records, noise * step, std), released)
    assert float((released.double() - records.double() - noise * step).abs().max()) <= (
        1.5 * step + float(released.abs().max()) * torch.finfo(dtype).eps
    )


@given(st.floats(1e-150, 1e150))
def test_the_grid_is_a_power_of_two_far_below_the_noise(std: float) -> None:
    step = grid_step(std)
    assert math.frexp(step)[0] == 0.5 and std * 2.0**-27 < step <= std * 2.0**-26


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.floats(1e-3, 1e3))
def test_a_clipped_row_stays_within_its_clip(seed: int, std: float) -> None:
    """Cutting goes towards zero; two sums of rows move apart by no more than is stated."""
    rng = np.random.default_rng(seed)
    zero, values = Scripted(*[0] * 60), 30
    row = torch.from_numpy(rng.normal(size=(2, values)))
    cut = add_noise(row, torch.zeros_like(row), std)
    assert bool((cut.abs() <= row.abs()).all()) and zero.asked == 0
    moved = float((cut[0] - cut[1]).norm() - (row[0] - row[1]).norm())
    assert abs(moved) <= grid_shift(values) * std


def low_bits(released: NDArray[np.float64], unit: float) -> NDArray[np.int64]:
    """Return how often each of the 16 last digits occurs among values near zero."""
    near = released[np.abs(released) < 0.25]
    assert len(near) > 4000
    return np.bincount((near / unit).astype(np.int64) % 16, minlength=16)


def told_apart(release: Release, unit: float, dtype: torch.dtype = torch.float64) -> bool:
    """Whether the last digits of two neighbours' releases, at 0 and at 1, differ (chi-square)."""
    found = [
        release(torch.full((40_000,), record, dtype=dtype), seed).double().numpy()
        for record, seed in ((0.0, 5), (1.0, 6))
    ]
    counts = np.stack([low_bits(each, unit) for each in found])
    counts = counts[:, counts.sum(0) > 0]
    if counts.shape[1] == 1:
        return False
    return bool(stats.chi2_contingency(counts).pvalue < FALSE_ALARM)


def on_the_grid(records: Tensor, seed: int) -> Tensor:
    return add_gaussian(records, 1.0, draws(seed))


def plain_sum(records: Tensor, seed: int) -> Tensor:
    return records + draws(seed).gaussian(tuple(records.shape)).to(records.dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("unit", [STEP, STEP / 2, STEP / 16, 2.0**-55])
def test_low_order_bits_do_not_tell_neighbours_apart(unit: float, dtype: torch.dtype) -> None:
    assert not told_apart(on_the_grid, unit, dtype)


@pytest.mark.parametrize(("dtype", "unit"), [(torch.float32, 2.0**-27), (torch.float64, 2.0**-55)])
def test_low_order_bits_of_a_plain_sum_do(unit: float, dtype: torch.dtype) -> None:
    """Around 1 a float has fewer digits than around 0: the sum shows where it began."""
    assert told_apart(plain_sum, unit, dtype)


@pytest.mark.parametrize("record", [0.0, 1.0, 0.1, -7.3])
def test_the_last_digits_on_the_grid_are_uniform(record: float) -> None:
    released = on_the_grid(torch.full((60_000,), record, dtype=torch.float64), 7).numpy()
    steps = released / STEP
    assert np.array_equal(steps, np.rint(steps))
    counts = np.bincount(steps.astype(np.int64) % 64, minlength=64)
    assert stats.chisquare(counts).pvalue > FALSE_ALARM


def test_gradients_pass_and_records_stay() -> None:
    records = torch.randn(4, 5, requires_grad=True)
    before = records.detach().clone()
    weights = torch.arange(20.0).view(4, 5)
    released = add_gaussian(records, 1.0, draws(8))
    (released * weights).sum().backward()
    assert records.grad is not None and torch.equal(records.grad, weights)
    assert torch.equal(records.detach(), before)
    assert torch.equal(released.detach(), add_gaussian(before, 1.0, draws(8)))


def test_rows_that_are_not_contiguous_are_read_in_order() -> None:
    records = torch.arange(12.0).view(3, 4).T
    assert torch.equal(
        add_gaussian(records, 1.0, draws(9)), add_gaussian(records.contiguous(), 1.0, draws(9))
    )
    assert add_gaussian(torch.zeros(0, 3), 1.0, Draws(Scripted())).shape == (0, 3)


def test_records_far_beyond_the_noise_are_still_rounded_as_a_sum() -> None:
    """Above 2**53 steps float64 rounds; the result stays a function of the sum alone."""
    released = add_gaussian(torch.tensor([1e12, -1e30]), 1e-6, draws(10))
    assert released.tolist() == torch.tensor([1e12, -1e30]).tolist()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_records_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(ValueError, match="finite"):
        add_gaussian(torch.tensor([0.0, bad]), 1.0, draws(0))


def test_other_types_and_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="float32 or float64"):
        add_gaussian(torch.zeros(2, dtype=torch.float16), 1.0, draws(0))
    for noise in (torch.zeros(3, dtype=torch.float64), torch.zeros(2)):
        with pytest.raises(ValueError, match="float64 noise"):
            add_noise(torch.zeros(2), noise, 1.0)
    for std in (0.0, math.nan, 1e200):
        with pytest.raises(ValueError, match="std"):
            add_gaussian(torch.zeros(2), std, draws(0))


@settings(max_examples=50)
@given(st.integers(0, 2**32), st.floats(1e-3, 1e3))
def test_sums_of_cut_rows_move_apart_by_one_row_alone(seed: int, std: float) -> None:
    """The releases of neighbouring sums of rows that were cut one by one differ by that row."""
    rows = cut(torch.from_numpy(np.random.default_rng(seed).normal(size=(9, 30))), std)
    whole, less = (add_gaussian(part.sum(0), std, draws(seed)) for part in (rows, rows[1:]))
    noise = add_gaussian(torch.zeros(30, dtype=torch.float64), std, draws(seed))
    assert torch.equal((whole - noise) - (less - noise), rows[0])
    assert torch.equal(cut(rows, std), rows) and torch.equal(cut(rows, 0.0), rows)


def test_wider_noise_makes_up_for_the_shift_of_cut_sums() -> None:
    for multiplier, values in ((0.3, 10), (1.0, 4_400_000), (8.0, 110_000_000)):
        std = multiplier * widened(multiplier, values)  # the sensitivity is 1
        assert (1.0 + grid_shift(values) * std) / std == pytest.approx(1.0 / multiplier, rel=1e-12)
    with pytest.raises(ValueError, match="expected a noise multiplier below"):
        widened(1e6, 10_000)


@pytest.mark.parametrize("shape", [(), (3, 7), (COUNT,)])
def test_in_place_and_apart_are_the_same(shape: tuple[int, ...]) -> None:
    records = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    apart = add_gaussian(records, 0.7, draws(4))
    add_gaussian_into(records, records, 0.7, draws(4))
    assert torch.equal(records, apart)
    turned = torch.zeros(5, 3).T  # not contiguous
    add_gaussian_into(turned, turned, 1.0, draws(5))
    assert torch.equal(turned, add_gaussian(torch.zeros(3, 5), 1.0, draws(5)))
    with pytest.raises(ValueError, match="expected room like the records"):
        add_gaussian_into(torch.zeros(3), torch.zeros(4), 1.0, draws(6))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("std", [1e-37, 1e-3, 1.0, 1e30])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_no_way_of_scaling_loses_a_digit(dtype: torch.dtype, std: float, scale: float) -> None:
    rng = torch.Generator().manual_seed(3)
    records = (torch.randn(COUNT, generator=rng, dtype=torch.float64) * scale).to(dtype)
    step = grid_step(std)
    noise = draws(7).gaussian((COUNT,), std / step).round()
    whole = (records.double() / step).trunc()
    expected = ((whole + noise) * step).to(dtype)
    assert torch.equal(add_gaussian(records, std, draws(7)), expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_table_of_few_records_is_noised_like_the_whole_of_it(dtype: torch.dtype) -> None:
    rng = torch.Generator().manual_seed(4)
    rows = torch.tensor([0, 3, 255, 256, 700, 998])
    records = torch.randn(len(rows), 128, generator=rng, dtype=torch.float64).to(dtype)
    whole, out = (torch.zeros(999, 128, dtype=dtype) for _ in range(2))
    whole[rows] = records
    noise_table(out, rows, records, 0.7, draws(8))
    assert torch.equal(out, add_gaussian(whole, 0.7, draws(8)))
    turned = torch.ones(128, 999, dtype=dtype).T  # not contiguous
    noise_table(turned, rows, records, 0.7, draws(8))
    assert torch.equal(turned, out)


@pytest.mark.parametrize(
    ("rows", "value", "message"),
    [
        ([2, 1], 0.0, "ascending rows"),
        ([1, 1], 0.0, "ascending rows"),
        ([1, 9], 0.0, "ascending rows"),
        ([-1, 1], 0.0, "ascending rows"),
        ([1], 0.0, "one for each row"),
        ([1, 2], float("inf"), "non-finite"),
        ([1, 2], float("nan"), "non-finite"),
    ],
)
def test_a_table_refuses(rows: list[int], value: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        noise_table(torch.zeros(9, 4), torch.tensor(rows), torch.full((2, 4), value), 1.0, draws(9))
