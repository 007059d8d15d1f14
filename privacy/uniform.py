"""Uniform noise on clipped records: noise that gives no guarantee, however wide it is."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from privacy.checks import one_of, positive
from privacy.mechanism import UNITS, Cost, Unit, clip_rows
from privacy.noise import NoiseModel
from privacy.randomness.draws import Draws
from privacy.randomness.release import add_noise
from privacy.rows import checked_rows


@dataclass(frozen=True)
class Uniform:
    """Clips each row to `clip_norm` in L2 and adds noise drawn evenly from +-`half_width`.

    Guarantee: none. Two rows that differ can be told apart for certain whenever a value falls where
    one of them alone can have sent it, and the probability of that is bounded by no small delta.

    | input | outcome |
    |---|---|
    | `clip_norm` or `half_width` zero, negative, infinite or NaN | `ValueError` |
    | records with NaN or infinity, to `clip` or `add_noise` | `ValueError` that names how many |
    | a row of zeros | clipped to zeros, then noised like any other |
    """

    clip_norm: float
    half_width: float
    unit: Unit = "token"

    def __post_init__(self) -> None:
        """Check every field."""
        positive("clip_norm", self.clip_norm)
        positive("half_width", self.half_width)
        one_of("unit", self.unit, UNITS)

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise on each value: half_width / sqrt(3)."""
        return self.half_width / math.sqrt(3.0)

    def clip(self, records: Tensor) -> Tensor:
        """The rows `[record, value]`, each with an L2 norm of at most `clip_norm`."""
        return clip_rows(records, self.clip_norm)

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        """The records plus noise within `half_width`, independent for every value and call."""
        checked_rows(records)
        drawn = torch.from_numpy(draws.uniform(tuple(records.shape)))
        return add_noise(records, drawn.mul_(2).sub_(1).mul_(self.half_width), self.noise_std)

    def noise_model(self) -> NoiseModel:
        """Noise of a kind that no attack knows, with its root mean square."""
        return NoiseModel("unknown", self.noise_std)

    def cost(self) -> Cost | None:
        """None: no guarantee."""
        return None
