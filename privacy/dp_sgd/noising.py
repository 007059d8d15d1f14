"""Noise on clipped sums: every value of every parameter, from one stream, each rounded once."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from privacy.dp_sgd.uses import Summed
from privacy.randomness.draws import Draws
from privacy.randomness.release import add_gaussian_into
from privacy.randomness.tables import noise_table

SMALL = 4096  # values: tensors up to here are noised side by side, as each call costs time


def noise_sums(
    out: Mapping[str, Tensor], sums: Mapping[str, Summed], std: float, draws: Draws
) -> None:
    """Overwrite every tensor of `out` with its clipped sum plus Gaussian noise.

    A parameter that has no sum gets the noise alone (an empty batch is noised like any other).

    Raises:
        ValueError: as `release.add_gaussian_into`.
    """
    small: dict[tuple[torch.dtype, torch.device], list[tuple[Tensor, Tensor]]] = {}
    for name, room in out.items():
        summed = sums.get(name)
        values = room.zero_() if summed is None else summed.values
        if summed is not None and summed.rows is not None:
            noise_table(room, summed.rows, values, std, draws)
        elif room.numel() <= SMALL and (room.shape, room.dtype) == (values.shape, values.dtype):
            small.setdefault((values.dtype, values.device), []).append((room, values))
        else:
            add_gaussian_into(room, values, std, draws)
    for pairs in small.values():
        _noise_together(pairs, std, draws)


def _noise_together(pairs: Sequence[tuple[Tensor, Tensor]], std: float, draws: Draws) -> None:
    """Overwrite the first of each pair with the second plus noise."""
    flat = torch.cat([values.reshape(-1) for _, values in pairs])
    add_gaussian_into(flat, flat, std, draws)
    sizes = [values.numel() for _, values in pairs]
    for (room, _), noisy in zip(pairs, flat.split(sizes), strict=True):
        room.copy_(noisy.view(room.shape))
