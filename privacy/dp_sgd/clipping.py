"""Clip factors from the squared norms of gradients, and the check that a clipped sum is one."""

from collections.abc import Mapping

import torch
from torch import Tensor

from privacy.checks import positive
from privacy.mechanism import row_norms

# Norms are upper bounds. Clipping aims this much lower still: one record changes how the sum of all
# others is rounded, by up to 5e-5 of the clip norm in batches of 4,096 whose gradients all agree.
# That holds for examples whose width does not depend on their mates' (decision 0015).
MARGIN = 1e-4
SLACK = 1e-3  # of the check, which adds up squares in float32

CLIPPING = ("flat", "automatic")
STABILITY = 0.01  # what is added to the norm under automatic clipping
STRETCH = 1e6  # the most that automatic clipping may enlarge a gradient: products stay in float32


def clip_factors(squared_norms: Tensor, clip_norm: float) -> Tensor:
    """The factors [example] float64 that bring gradients of these squared norms to the clip norm.

    The squared norms are those of whole gradients: the sum over all parties. A gradient of zeros
    has factor 1.

    >>> clip_factors(torch.tensor([0.0, 0.01, 4.0]), 1.0)
    tensor([1.0000, 1.0000, 0.5000], dtype=torch.float64)

    Raises:
        ValueError: a squared norm is negative or not finite, or the clip norm not positive.
    """
    norms, target = _norms(squared_norms, clip_norm)
    return torch.where(norms > target, target / norms, 1.0)


def automatic_factors(squared_norms: Tensor, clip_norm: float, stability: float) -> Tensor:
    """The factors [example] float64 that bring gradients of any length near the clip norm.

    clip_norm / (norm + stability): what comes out is shorter than the clip norm, whatever the
    norm, and a gradient much shorter than `stability` keeps its share of it. As with
    `clip_factors` the norms are those of whole gradients, or upper bounds. A gradient of zeros has
    the largest factor there is, and stays zero.

    >>> automatic_factors(torch.tensor([0.0, 0.01, 4.0]), 1.0, 0.1)
    tensor([9.9990, 4.9995, 0.4761], dtype=torch.float64)

    Raises:
        ValueError: as `clip_factors`, or stability not positive and finite.
    """
    positive("stability", stability)
    norms, target = _norms(squared_norms, clip_norm)
    return target / (norms + stability)


def _norms(squared_norms: Tensor, clip_norm: float) -> tuple[Tensor, float]:
    """Norms [example] float64, and the length that clipping aims at."""
    positive("clip_norm", clip_norm)
    bad = int((~torch.isfinite(squared_norms) | (squared_norms < 0)).sum())
    if bad:
        raise ValueError(f"expected finite squared norms >= 0, got {bad} others")
    return squared_norms.double().sqrt(), clip_norm * (1.0 - MARGIN)


def scale_rows(records: Tensor, clip_norm: float, stability: float) -> Tensor:
    """The rows `[record, value]`, each times clip_norm / (norm + stability).

    None is longer than `clip_norm`: the target lies further below it than rounding adds.

    Raises:
        ValueError: as `privacy.mechanism.clip_rows`.
    """
    target = clip_norm * (1.0 - 4 * torch.finfo(records.dtype).eps)
    return records * (target / (row_norms(records) + stability)).to(records.dtype)


def check_sum(clipped: Mapping[str, Tensor], most: float) -> None:
    """Check that a party's clipped sum, before noise, is at most so long.

    Raises:
        RuntimeError: it is longer, or not finite.
    """
    norms = [torch.linalg.vector_norm(value).double().cpu() for value in clipped.values()]
    length = float(torch.stack(norms).square().sum().sqrt()) if norms else 0.0
    if not length <= most * (1.0 + SLACK) + torch.finfo(torch.float32).tiny:
        raise RuntimeError(f"expected a clipped sum of at most {most}, got {length}")
