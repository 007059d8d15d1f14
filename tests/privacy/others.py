"""Mechanisms of somebody else's, as a grid names them: "module:Class"."""

from dataclasses import dataclass

import torch
from torch import Tensor

from privacy.laplace import Laplace
from privacy.mechanism import Identity
from privacy.noise import NoiseModel
from privacy.randomness.draws import Draws


@dataclass(frozen=True)
class EvenNoise(Identity):
    """Adds noise drawn evenly from [-half_width, half_width], which no kind of ours describes."""

    half_width: float = 3.0

    @property
    def noise_std(self) -> float:
        return float(self.half_width / 3**0.5)

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        drawn = torch.from_numpy(draws.uniform(tuple(records.shape))).to(records)
        return records + self.half_width * (2 * drawn - 1)

    def noise_model(self) -> NoiseModel:
        return NoiseModel("unknown", self.noise_std)


@dataclass(frozen=True)
class OwnLaplace(Laplace):
    """Ours under another name."""


class Silent:
    """Does not say what its noise is."""

    unit, clip_norm, noise_std = "token", None, 1.0

    def clip(self, records: Tensor) -> Tensor:
        return records

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        return records + draws.gaussian(tuple(records.shape)).to(records)

    def cost(self) -> None:
        return None


class Vague(Silent):
    """Says it in words."""

    def noise_model(self) -> str:
        return "Gaussian"
