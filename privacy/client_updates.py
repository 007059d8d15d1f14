"""Client updates, clipped whole and noised: what every DP-FedAvg does with them."""

from dataclasses import dataclass

from torch import Tensor

from privacy.checks import positive
from privacy.mechanism import Unit, clip_rows
from privacy.noise import NoiseModel
from privacy.randomness.draws import Draws
from privacy.randomness.release import add_gaussian


@dataclass(frozen=True)
class ClientUpdates:
    """Clips each client's whole update to `clip_norm`, and adds Gaussian noise in clips.

    Guarantee: none by itself. What is noised, how often, and what moves when a client is left out
    or replaced is said by the mechanisms that are made of it, in `cost` and their docstrings.

    Raises:
        ValueError: `clip_norm` or `noise_multiplier` zero, negative, infinite or NaN.
    """

    clip_norm: float
    noise_multiplier: float

    def __post_init__(self) -> None:
        """Check both fields."""
        positive("clip_norm", self.clip_norm)
        positive("noise_multiplier", self.noise_multiplier)

    @property
    def unit(self) -> Unit:
        """A client: one row is one client's whole update."""
        return "client"

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise on each value."""
        return self.noise_multiplier * self.clip_norm

    def clip(self, records: Tensor) -> Tensor:
        """The updates `[client, value]`, each with an L2 norm of at most `clip_norm`."""
        return clip_rows(records, self.clip_norm)

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        """Clipped updates or their sum, of any shape, plus noise of `noise_std` on every value."""
        return add_gaussian(records, self.noise_std, draws)

    def noise_model(self) -> NoiseModel:
        """Gaussian noise of `noise_std` on every value."""
        return NoiseModel("gaussian", self.noise_std)
