"""Noise added to records: both on one grid, summed in float64, rounded once to the records' type.

What floating point gives away are low-order bits: a float64 sum shows by its last digits which
record it came from, as not every number can be a record plus a drawn value. Here records are cut
and noise is rounded to multiples of one step far below the noise's standard deviation, a power of
two. Their sum is exact where float64 holds it, and whatever is rounded then is the sum alone.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privacy.checks import positive, whole
from privacy.randomness.draws import Draws
from privacy.randomness.key_stream import CHUNK
from privacy.randomness.transforms import Floats

GRID_BITS = 26
SINGLE_BITS = 120  # powers of two up to here, and their inverses, are normal in float32
TYPES = (torch.float32, torch.float64)


def grid_step(std: float) -> float:
    """Return the step: the power of two in (std * 2**-27, std * 2**-26].

    >>> grid_step(1.0) == 2.0**-26, grid_step(1.9) == 2.0**-26
    (True, True)

    Raises:
        ValueError: std is not positive and finite, or lies beyond 2**-512 or 2**512.
    """
    positive("std", std)
    exponent = math.frexp(std)[1] - 1
    if abs(exponent) > 512:
        raise ValueError(f"expected 2**-512 < std < 2**512, got std={std}")
    return math.ldexp(1.0, exponent - GRID_BITS)


def grid_shift(values: int) -> float:
    """Return by how much cutting to the grid can move two records of so many values apart.

    In standard deviations of the noise, at most. Cutting goes towards zero, so a clipped record
    stays within its clip and two of them within twice that: this is for sums of clipped records
    alone, where neighbours are cut after they were summed.

    >>> round(grid_shift(4_400_000), 6)
    3.1e-05
    """
    whole("values", values)
    return math.sqrt(values) * 2.0**-GRID_BITS


def cut(records: Tensor, std: float) -> Tensor:
    """Return float64 records cut towards zero to the grid of noise of this standard deviation.

    A clipped record stays within its clip. Sums of cut records are exact in float64 (up to 2**53
    steps) and on the grid already, so that `add_noise` and its kin leave them as they are and
    neighbouring sums move apart by one clipped record and nothing more. Without noise (std 0) the
    records as they are.
    """
    step = grid_step(std) if std else 0.0
    return (records.double() / step).trunc_().mul_(step) if step else records.double()


def widened(multiplier: float, values: int) -> float:
    """Return the factor on the noise that makes up for cutting sums of so many values.

    multiplier: noise over sensitivity. Two sums that are cut afterwards lie up to `grid_shift`
    standard deviations further apart; with that much more noise the multiplier is kept.

    >>> widened(1.0, 4_400_000) - 1.0 < 4e-5
    True

    Raises:
        ValueError: the shift alone takes all of the noise.
    """
    positive("multiplier", multiplier)
    left = 1.0 - multiplier * grid_shift(values)
    if left <= 0:
        most = 1.0 / grid_shift(values)
        raise ValueError(f"expected a noise multiplier below {most:g}, got {multiplier}")
    return 1.0 / left


def add_gaussian_into(out: Tensor, records: Tensor, std: float, draws: Draws) -> None:
    """Overwrite `out` with records plus Gaussian noise; no gradient passes. Else as below.

    Raises:
        ValueError: shape, type or device of `out` are not those of the records.
    """
    want, got = ((list(t.shape), t.dtype, t.device) for t in (records, out))
    if want != got:
        raise ValueError(f"expected room like the records, {want}, got {got}")
    step = grid_step(std)
    room = out.detach() if out.is_contiguous() and out.device.type == "cpu" else None
    noisy = _passed(records.detach(), step, partial(_gaussian_steps, draws, std / step), room)
    if room is None:
        out.copy_(noisy)


def add_gaussian(records: Tensor, std: float, draws: Draws) -> Tensor:
    """Return the records plus Gaussian noise of this standard deviation on every value.

    Gradients pass through to the records. See `add_noise` for the rounding.

    Raises:
        ValueError: std is not positive and finite, or the records are no float32 or float64, or
            not finite.
    """
    step = grid_step(std)
    return _passed(records, step, partial(_gaussian_steps, draws, std / step))


def _gaussian_steps(draws: Draws, std: float, out: Floats, _: int) -> None:
    draws.gaussian_into(out, std)


def add_laplace(records: Tensor, scale: float, draws: Draws) -> Tensor:
    """Return the records plus Laplace noise of this scale on every value; else `add_gaussian`."""
    step = grid_step(math.sqrt(2.0) * scale)
    return _passed(records, step, lambda out, _: draws.laplace_into(out, scale / step))


def add_noise(records: Tensor, noise: Tensor, std: float) -> Tensor:
    """Return the records plus float64 noise of the same shape that was drawn already.

    std: the noise's standard deviation, or a lower one; it fixes the grid, and must be known
    without looking at records or noise.

    Raises:
        ValueError: shapes differ, the noise is not float64, or as `add_gaussian`.
    """
    if noise.shape != records.shape or noise.dtype != torch.float64:
        raise ValueError(
            f"expected float64 noise of shape {list(records.shape)}, "
            f"got {noise.dtype} of shape {list(noise.shape)}"
        )
    flat, step = noise.detach().cpu().reshape(-1).numpy(), grid_step(std)

    def fill(out: Floats, start: int) -> None:
        np.divide(flat[start : start + out.size], step, out=out)

    return _passed(records, step, fill)


def why_not_finite(records: Tensor) -> str:
    """Return how many values are not finite, or that their norm is not, as an error's line."""
    count = int((~torch.isfinite(records)).sum())
    if count == 0:
        return "expected rows with a finite norm, got a norm beyond float64"
    return f"expected finite values, got {count} non-finite of {records.numel()} values"


def _passed(
    records: Tensor, step: float, fill: Callable[[Floats, int], None], room: Tensor | None = None
) -> Tensor:
    """Return records plus noise; `fill(out, start)` writes noise from `start` on, in steps."""
    if records.dtype not in TYPES:
        raise ValueError(f"expected records of float32 or float64, got dtype={records.dtype}")
    values = records.detach().cpu().contiguous()
    found = torch.empty_like(values) if room is None else room
    flat, target = values.view(-1).numpy(), found.view(-1).numpy()
    drawn, kept = (np.empty(min(CHUNK, flat.size)) for _ in range(2))
    single = flat.dtype == np.float32 and 2.0**-SINGLE_BITS < step < 2.0**SINGLE_BITS
    short = np.empty(kept.size if single else 0, dtype=np.float32)
    for start in range(0, flat.size, CHUNK):
        part = flat[start : start + CHUNK]
        noise, cut, out = drawn[: part.size], kept[: part.size], target[start : start + CHUNK]
        fast = single and whole_steps(part, step, short[: part.size])
        if fast:
            np.copyto(cut, short[: part.size])
        elif not whole_steps(part, step, cut):
            check_finite(part, step, records)
        fill(noise, start)
        np.rint(noise, out=noise)
        np.add(noise, cut, out=noise)  # whole numbers: exact below 2**53 steps
        write_steps(noise, step, out, fast)
    noisy = found.to(records.device)
    # The first difference is 0 and carries the gradient.
    return records - records.detach() + noisy if records.requires_grad else noisy


def whole_steps(part: NDArray[Any], step: float, out: NDArray[Any]) -> bool:
    """Overwrite `out` with records cut to whole steps; return whether all are surely finite.

    A step is a power of two: as long as nothing overflows, no type loses a digit by it.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        np.multiply(part, out.dtype.type(1.0 / step), out=out)
        np.trunc(out, out=out)
        return math.isfinite(np.dot(out, out))


def write_steps(noise: Floats, step: float, out: NDArray[Any], fast: bool) -> None:
    """Overwrite `out` with values in steps, rounded to its type; `fast`: they fit it as they are.

    Rounded before they are scaled by a power of two, or after: it makes no difference.
    """
    with np.errstate(over="ignore"):
        if fast:
            np.copyto(out, noise, casting="same_kind")
            np.multiply(out, out.dtype.type(step), out=out)
        else:
            np.multiply(noise, step, out=out, casting="same_kind")


def check_finite(part: NDArray[Any], step: float, records: Tensor) -> None:
    """Raises ValueError where a value of a part is not finite, or too many steps."""
    widest = float(np.abs(part).max())  # NaN where any is
    if not math.isfinite(widest):
        raise ValueError(why_not_finite(records))
    if not math.isfinite(widest / step):
        raise ValueError(f"expected records within 2**1023 steps of {step}, got {widest}")
