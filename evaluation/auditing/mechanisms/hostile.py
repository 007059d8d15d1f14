"""Gradients with one record and without it, by which a clipped sum moves as far as it will.

A sum without noise is a function: how far a record moves it can be seen. Of many candidates the
pair is taken that moves it most; whether that is too far is for the noise to show.
"""

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

RECORDS, VALUES = 16, 40
FAR = 1e3  # the length of a record, in clips
FEW = 0.1  # of all others together, where they are small
SHORT, NEAR = (
    0.3,
    1e-3,
)  # lengths of the others that are short, and of a record that is next to none

Pair = tuple[Tensor, Tensor]


def worst_pair(clipped_sum: Callable[[Tensor, float], Tensor], clip_norm: float) -> Pair:
    """Return gradients [record, value] with and without the record that moves the sum most.

    The first of those that move it alike: a clip that is right is tried as it always was.
    """
    best, farthest = None, -1.0
    for pair in pairs(clip_norm):
        sums = [clipped_sum(data.clone(), clip_norm).double() for data in pair]
        moved = float(torch.linalg.vector_norm(sums[0] - sums[1])) / clip_norm
        if best is None or moved > farthest * (1 + 1e-3):
            best, farthest = pair, moved
    if best is None:
        raise ValueError("expected candidates")
    return best


def pairs(clip_norm: float) -> Iterator[Pair]:
    """Yield candidates: a far record at every place, among small ones, and one that tips others.

    Where the clip is a quantile of the batch's lengths, one record more on the far side of it lets
    others through. The others then point one way.
    """
    small = torch.full((RECORDS, VALUES), -FEW * clip_norm / math.sqrt(VALUES)).double()
    for place in (3, *range(RECORDS)):
        yield _with(small, torch.full((VALUES,), FAR * clip_norm).double(), place)
    one = torch.zeros(VALUES, dtype=torch.float64)
    one[0] = FAR * clip_norm
    for place in (0, RECORDS - 1):
        yield _with(small, one, place)
    for short in range(1, RECORDS):
        lengths = torch.full((RECORDS,), FAR * clip_norm, dtype=torch.float64)
        lengths[:short] = SHORT * clip_norm
        others = lengths[:, None] * torch.full((VALUES,), 1 / math.sqrt(VALUES)).double()
        for length in (FAR, NEAR):
            yield _with(others, torch.full((VALUES,), length * clip_norm).double(), 0)


def _with(others: Tensor, record: Tensor, place: int) -> Pair:
    """Return the others with a record in the place of one of them, and without it."""
    there = others.clone()
    there[place] = record
    return there, torch.cat([there[:place], there[place + 1 :]])
