"""Clip factors from norms, and the check that a clipped sum is one."""

from collections.abc import Mapping

import torch
from torch import Tensor

from privacy.checks import positive

# Squared norms formed in float32 agree with float64 to about 1e-5; clipping aims this much lower,
# so that no example's clipped gradient exceeds the bound.
MARGIN = 1e-4


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


def check_clipped(
    clipped: Mapping[str, Tensor], squared_norms: Tensor, factors: Tensor, clip_norm: float
) -> None:
    """Check a party's clipped sum, before noise, against its squared norms and the factors.

    Raises:
        RuntimeError: an example contributes more than the clip norm, or the sum is longer than
            the clipped gradients together can be.
    """
    lengths = factors.double() * squared_norms.double().sqrt()
    if bool((lengths > clip_norm).any()):
        raise RuntimeError(f"expected norms of at most {clip_norm}, got {float(lengths.max())}")
    parts = [torch.linalg.vector_norm(v, dtype=torch.float64) for v in clipped.values()]
    length, most = float(sum(p.square() for p in parts)) ** 0.5, float(lengths.sum())
    if length > most * (1.0 + MARGIN) + torch.finfo(torch.float32).tiny:
        raise RuntimeError(f"expected a clipped sum of at most {most}, got {length}")
