"""Comparison of a pair's two texts: what of their vectors a message is made of."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fedbert.config import Config
from fedbert.data.pairs import PairFrame, pair_frame

LEAST = 1e-12  # of a vector's norm


def compared(first: Tensor, second: Tensor) -> Tensor:
    """Return how alike two vectors are, value by value [..., 2 hidden] float32, in either order.

    Of the unit vectors u and v of the two [..., hidden]: sqrt(hidden) u v beside |u - v|. The first
    half's sum over sqrt(hidden) is the cosine. What both halves hold has a norm of a few units
    whatever the vectors are; the projection's clip bounds what is sent.

    >>> both = compared(torch.tensor([3.0, 4.0]), torch.tensor([0.0, 1.0]))
    >>> [round(value, 3) for value in both.tolist()]
    [0.0, 1.131, 0.6, 0.2]
    """
    u, v = (_unit(each.double()) for each in (first, second))
    return torch.cat([u.shape[-1] ** 0.5 * u * v, (u - v).abs()], dim=-1).float()


def cosines(compared_pairs: np.ndarray) -> np.ndarray:
    """Return the cosines [pair] of pairs, of what `compared` made of each [pair, 2 hidden].

    >>> both = compared(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 1.0]]))
    >>> cosines(both.numpy()).round(3).tolist()
    [0.8]
    """
    products = compared_pairs[:, : compared_pairs.shape[1] // 2].astype(np.float64)
    found: np.ndarray = products.sum(1) / products.shape[1] ** 0.5
    return found


def _unit(vectors: Tensor) -> Tensor:
    norms = torch.linalg.vector_norm(vectors, dim=-1, keepdim=True)
    found: Tensor = vectors / norms.clamp(min=LEAST)
    return found


def frame_of(config: Config, tokenizer: Any) -> PairFrame | None:
    """Return how pairs are taken apart to be compared; None where an example is read as it is."""
    return pair_frame(tokenizer) if config.compares else None


def between_texts(config: Config, tokenizer: Any) -> tuple[int, ...]:
    """Return the ids between the two texts of pairs that are compared; none of other examples."""
    frame = frame_of(config, tokenizer)
    return () if frame is None else frame.middle
