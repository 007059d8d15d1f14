"""Noise on clipped sums: every value of every parameter, in one order, from one stream."""

from collections.abc import Mapping

from torch import Tensor

from privacy.dp_sgd.uses import Summed
from privacy.randomness.draws import Draws
from privacy.randomness.release import add_gaussian_into
from privacy.randomness.rows import noise_table


def noise_sums(
    out: Mapping[str, Tensor], sums: Mapping[str, Summed], std: float, draws: Draws
) -> None:
    """Overwrite every tensor of `out` with its clipped sum plus Gaussian noise.

    A parameter that has no sum gets the noise alone (an empty batch is noised like any other).

    Raises:
        ValueError: as `release.add_gaussian_into`.
    """
    for name, room in out.items():
        summed = sums.get(name)
        if summed is None:
            add_gaussian_into(room, room.zero_(), std, draws)
        elif summed.rows is None:
            add_gaussian_into(room, summed.values, std, draws)
        else:
            noise_table(room, summed.rows, summed.values, std, draws)
