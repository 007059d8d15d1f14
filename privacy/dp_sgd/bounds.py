"""Rounding bounds: norms of gradients that are never below the true ones, whatever cancels.

A clip is a guarantee only if the norm it goes by is an upper bound. Where the rows of an example
cancel, a norm formed in float32 comes out too small by any factor, and so does the sum that the
example enters. Both errors are bounded by T, what the norm would be if nothing cancelled:

    |g_i| <= sqrt(found_i + gamma(n) T_i^2) + gamma(SUMMED) T_i,      gamma(n) = n u / (1 - n u),

n products in a row and u the unit roundoff. Where that is not tight, the example's norm is formed
again in float64. What underflows is added as well: `TINY` for every product.

Reference: Higham (2002), "Accuracy and stability of numerical algorithms", section 3.1.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

# As many rows as one product adds up; sums of more are made in pieces (`add_product`).
SUMMED = 4096
ROWS_AT_ONCE = 2048
TOGETHER = 256  # examples whose gradients are added up in float32

# How far a bound on a squared norm may lie above what float32 found, before float64 is asked; and
# what is too short to matter.
LOOSE = 0.02
NEGLIGIBLE = 1e-24

# The smallest normal float32; below it, products may be lost.
TINY = float(torch.finfo(torch.float32).tiny)

# What rounding takes off a value that is cut to the 8 bits of bf16, at most.
CUT = 2.0**-8

# Values whose squares are added up in one go, and gradients that float64 may form whole.
CHUNK = 1024
LARGEST = 4 * 2**20


def gamma(count: int, dtype: torch.dtype) -> float:
    """The relative error of a sum of so many products in this type, at most."""
    error = count * torch.finfo(dtype).eps / 2
    return error / (1.0 - error)


def squares(rows: Tensor) -> Tensor:
    """Squared L2 norms [batch] float64 of rows [batch, value], never below the true ones."""
    count, width = rows.shape
    whole = width - width % CHUNK
    found = torch.zeros(count, dtype=torch.float64, device=rows.device)
    if whole:
        chunks = rows[:, :whole].reshape(count, -1, CHUNK)
        found += torch.linalg.vector_norm(chunks, dim=2).double().square().sum(1)
    if whole < width:
        found += torch.linalg.vector_norm(rows[:, whole:], dim=1).double().square()
    found *= 1.0 + gamma(CHUNK + 8, rows.dtype)
    return found.add_(width * TINY)


def lengths(rows: Tensor) -> Tensor:
    """L2 norms [..., row] float64 of rows [..., row, value], never below the true ones."""
    found: Tensor = torch.linalg.vector_norm(rows, dim=-1).double()
    found *= 1.0 + gamma(rows.shape[-1] + 8, rows.dtype)
    return found.add_(float(rows.shape[-1] * TINY) ** 0.5)


def with_summing(
    squared: Tensor, uncancelled: Tensor, dtype: torch.dtype, cut: bool = False
) -> Tensor:
    """Squared norms [batch] of what enters a sum made in this type: its rounding included.

    cut: the scaled side of each product is rounded to bf16 before (`add_product`).
    """
    error = gamma(SUMMED, dtype) + (CUT * (1.0 + gamma(SUMMED, dtype)) if cut else 0.0)
    return (squared.sqrt() + error * uncancelled).square()


def loose(squared: Tensor, error: Tensor) -> Tensor:
    """Which examples [batch] need float64: the error is not small, or nothing is known at all."""
    return ~(error <= (LOOSE * squared).clamp(min=NEGLIGIBLE))


def exact_square(value: Tensor, grad: Tensor, plus_one: bool) -> Tensor:
    """The squared norm of G^T (A, 1), or of G^T A, in float64 and never below the true one.

    value A [row, in], grad G [row, out].
    """
    value, grad = value.double(), grad.double()
    if plus_one:
        value = torch.cat([value, value.new_ones(len(value), 1)], dim=1)
    uncancelled = (lengths(value) * lengths(grad)).sum()
    area = value.shape[1] * grad.shape[1]
    if area <= LARGEST:
        found = (grad.T @ value).square().sum()
        error = gamma(len(value) + 8, torch.float64) * uncancelled
        return (found.sqrt() * (1.0 + gamma(area, torch.float64)) + error).square()
    found = ((value @ value.T) * (grad @ grad.T)).sum().clamp(min=0.0)
    count = value.shape[1] + grad.shape[1] + len(value) ** 2
    return found + gamma(count, torch.float64) * uncancelled**2


def inner_products(rows: Tensor) -> tuple[Tensor, int]:
    """Inner products [row, row] of rows [row, value], and of how many products each is a sum.

    Long rows are multiplied in pieces whose products are added in float64.
    """
    count, width = rows.shape
    if width <= CHUNK:
        return rows @ rows.T, width
    whole = width - width % CHUNK
    pieces = rows[:, :whole].reshape(count, -1, CHUNK).transpose(0, 1)  # [piece, row, value]
    found = torch.bmm(pieces, pieces.transpose(1, 2)).sum(0, dtype=torch.float64)
    rest = rows[:, whole:]
    return found + rest @ rest.T, CHUNK


def parts_of(count: int) -> list[slice]:
    """The parts in which so many examples are added up: one, unless they are many.

    Each part is rounded by itself and the parts are added in float64, so that what rounding does to
    a sum hardly grows with the batch.
    """
    starts = range(0, max(count, 1), TOGETHER)
    return [slice(start, min(start + TOGETHER, count)) for start in starts]


def add_product(out: Tensor, left: Tensor, right: Tensor, narrow: bool = False) -> None:
    """Add left^T right to out, `ROWS_AT_ONCE` rows at a time; narrow: see `products_in`."""
    with products_in(narrow):
        for start in range(0, len(left), ROWS_AT_ONCE):
            piece = slice(start, start + ROWS_AT_ONCE)
            out.addmm_(left[piece].T, right[piece])


@contextmanager
def products_in(narrow: bool) -> Iterator[None]:
    """Let a processor that multiplies bf16 do so where float32 matrices hold bf16 values.

    Such products are exact, and are added up in float32: nothing but the speed is another. Values
    that are not bf16 would be rounded to it, once each.
    """
    settings: Any = getattr(torch.backends.mkldnn, "matmul", None)
    before = getattr(settings, "fp32_precision", None)
    if not narrow or before is None:
        yield
        return
    settings.fp32_precision = "bf16"
    try:
        yield
    finally:
        settings.fp32_precision = before


def cut(values: Tensor) -> Tensor:
    """The values, each rounded to bf16, in the type that they came in."""
    return values.bfloat16().to(values.dtype)


def widened(values: Tensor) -> Tensor:
    """The same values, those of bf16 in float32."""
    return values.float() if values.dtype == torch.bfloat16 else values
