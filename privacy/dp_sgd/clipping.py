"""Clip factors from the squared norms of gradients, and the check that a clipped sum is one."""

from collections.abc import Mapping

import torch
from torch import Tensor

from privacy.checks import positive

# Norms are upper bounds. Clipping aims this much lower still: one record changes how the sum of all
# others is rounded, by up to 5e-5 of the clip norm in batches of 4,096 whose gradients all agree.
MARGIN = 1e-4
SLACK = 1e-3  # of the check, which adds up squares in float32


def clip_factors(squared_norms: Tensor, clip_norm: float) -> Tensor:
    """The factors [example] float64 that bring gradients of these squared norms to the clip norm.

    The squared norms are those of whole gradients: the sum over all parties. A gradient of zeros
    has factor 1.

    >>> clip_factors(torch.tensor([0.0, 0.01, 4.0]), 1.0)
    tensor([1.0000, 1.0000, 0.5000], dtype=torch.float64)

    Raises:
        ValueError: a squared norm is negative or not finite, or the clip norm not positive.
    """
    positive("clip_norm", clip_norm)
    bad = int((~torch.isfinite(squared_norms) | (squared_norms < 0)).sum())
    if bad:
        raise ValueError(f"expected finite squared norms >= 0, got {bad} others")
    norms = squared_norms.double().sqrt()
    target = clip_norm * (1.0 - MARGIN)
    return torch.where(norms > target, target / norms, 1.0)


def check_sum(clipped: Mapping[str, Tensor], most: float) -> None:
    """Check that a party's clipped sum, before noise, is at most so long.

    Raises:
        RuntimeError: it is longer, or not finite.
    """
    norms = [torch.linalg.vector_norm(value).double().cpu() for value in clipped.values()]
    length = float(torch.stack(norms).square().sum().sqrt()) if norms else 0.0
    if not length <= most * (1.0 + SLACK) + torch.finfo(torch.float32).tiny:
        raise RuntimeError(f"expected a clipped sum of at most {most}, got {length}")
