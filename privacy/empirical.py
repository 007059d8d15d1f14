"""Quantisation and feature dropout: coarser messages that give no guarantee."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from privacy.checks import open_unit, positive, whole
from privacy.mechanism import Cost, Unit, clip_rows
from privacy.noise import NoiseModel
from privacy.randomness.draws import Draws
from privacy.rows import checked_rows

MOST_BITS = 16  # the levels stay apart in float32


@dataclass(frozen=True)
class Quantise:
    """Clips each row to `clip_norm` in L2 and rounds every value to one of 2**bits levels.

    The levels are spread evenly over [-clip_norm, clip_norm], both ends included; 0 is none of
    them. Rounding is fixed, so equal inputs give equal outputs; the gradient passes as if the value
    had not been rounded.

    Guarantee: none.

    | input | outcome |
    |---|---|
    | `bits` no integer from 1 to 16 | `ValueError` |
    | `clip_norm` zero, negative, infinite or NaN | `ValueError` |
    | records with NaN or infinity, to `clip` or `add_noise` | `ValueError` that names how many |
    | a value outside the levels, rows not having been clipped | the nearest end |
    """

    bits: int
    clip_norm: float

    def __post_init__(self) -> None:
        """Check every field."""
        whole("bits", self.bits)
        if not 1 <= self.bits <= MOST_BITS:
            raise ValueError(f"expected 1 <= bits <= {MOST_BITS}, got bits={self.bits}")
        positive("clip_norm", self.clip_norm)

    @property
    def unit(self) -> Unit:
        """A token: one row is one token's values."""
        return "token"

    @property
    def noise_std(self) -> float:
        """0.0: the rounding is no noise."""
        return 0.0

    def clip(self, records: Tensor) -> Tensor:
        """The rows `[record, value]`, each with an L2 norm of at most `clip_norm`."""
        return clip_rows(records, self.clip_norm)

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        """The records with each value at its nearest level; nothing is drawn."""
        checked_rows(records)
        top = 2**self.bits - 1
        with torch.no_grad():
            index = (records / self.clip_norm + 1.0).mul_(top / 2.0).round_().clamp_(0, top)
            rounded = index.mul_(2.0 / top).sub_(1.0).mul_(self.clip_norm)
        return rounded + (records - records.detach())  # plus 0, which carries the gradient

    def noise_model(self) -> NoiseModel:
        """The errors of rounding, as if spread evenly over a step, and taken for Gaussian."""
        step = 2 * self.clip_norm / (2**self.bits - 1)
        return NoiseModel("gaussian", step / math.sqrt(12), independent=False)

    def cost(self) -> Cost | None:
        """None: no guarantee."""
        return None


@dataclass(frozen=True)
class FeatureDropout:
    """Sets each value to zero with probability `rate` and scales the others by 1 / (1 - rate).

    Guarantee: none. What is not dropped is sent exactly, and a record sent again shows what was
    dropped before.

    | input | outcome |
    |---|---|
    | `rate` not strictly between 0 and 1 | `ValueError` |
    | records with NaN or infinity, to `clip` or `add_noise` | `ValueError` that names how many |
    """

    rate: float

    def __post_init__(self) -> None:
        """Check every field."""
        open_unit("rate", self.rate)

    @property
    def unit(self) -> Unit:
        """A token: one row is one token's values."""
        return "token"

    @property
    def clip_norm(self) -> float | None:
        """None: rows are not clipped."""
        return None

    @property
    def noise_std(self) -> float:
        """0.0: what is not dropped is exact."""
        return 0.0

    def clip(self, records: Tensor) -> Tensor:
        """The very same rows `[record, value]`, once they are found to be finite."""
        return checked_rows(records)

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        """The records with values dropped, independently for every value and every call."""
        checked_rows(records)
        dropped = torch.from_numpy(draws.bernoulli(self.rate, tuple(records.shape)))
        return records * (~dropped).to(records).div_(1.0 - self.rate)

    def noise_model(self) -> NoiseModel:
        """No noise, and dropout at `rate`."""
        return NoiseModel(dropout=self.rate)

    def cost(self) -> Cost | None:
        """None: no guarantee."""
        return None
