"""Clip factors from the squared norms of gradients."""

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
