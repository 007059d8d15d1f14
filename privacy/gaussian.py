"""Gaussian noise on records clipped in L2, with one record replaced by another."""

from dataclasses import dataclass

from torch import Tensor

from privacy.calibration import multiplier_beside
from privacy.checks import one_of, positive
from privacy.events import GaussianEvent
from privacy.mechanism import UNITS, Cost, Unit, clip_rows
from privacy.noise import NoiseModel
from privacy.randomness.draws import Draws
from privacy.randomness.release import add_gaussian
from privacy.risk import Target


@dataclass(frozen=True)
class Gaussian:
    """Clips each row to `clip_norm` and adds Gaussian noise to every value.

    Two clipped rows lie up to 2 * clip_norm apart. That is the sensitivity, and
    `noise_multiplier` counts in it: noise_std = noise_multiplier * 2 * clip_norm.

    Guarantee: replace-one, for one unit, for each release of the clipped and noised row; without
    a claim about sampling. `clip` must come before `add_noise`, on one row per unit.

    | input | outcome |
    |---|---|
    | `clip_norm` or `noise_multiplier` zero, negative, infinite or NaN | `ValueError` |
    | records with NaN or infinity, to `clip` or `add_noise` | `ValueError` that names how many |
    | a row of zeros | clipped to zeros, then noised like any other |

    Without noise use `ClipOnly`; without either `Identity`.

    Reference: Balle and Wang (2018), "Improving the Gaussian mechanism for differential privacy".
    """

    clip_norm: float
    noise_multiplier: float
    unit: Unit = "token"

    def __post_init__(self) -> None:
        """Check every field."""
        positive("clip_norm", self.clip_norm)
        positive("noise_multiplier", self.noise_multiplier)
        one_of("unit", self.unit, UNITS)

    @classmethod
    def calibrated(
        cls,
        target: Target,
        delta: float,
        clip_norm: float,
        releases: int = 1,
        unit: Unit = "token",
        beside: float = 0.0,
    ) -> "Gaussian":
        """The mechanism with the least noise for which `releases` releases meet the target.

        target: an epsilon at delta, or a risk. beside: the epsilon of a pure release about the same
        unit with each of them, such as that of its label, which the target includes.

        >>> round(Gaussian.calibrated(8.0, 1e-5, clip_norm=1.0).noise_std, 6)
        1.200458

        Raises:
            ValueError: an epsilon or clip_norm not positive and finite, delta not strictly
                between 0 and 1, or releases below 1 (there is nothing to calibrate to).
        """
        multiplier = multiplier_beside(target, delta, releases, beside)
        return cls(clip_norm=clip_norm, noise_multiplier=multiplier, unit=unit)

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise on each value: noise_multiplier * 2 * clip_norm."""
        return self.noise_multiplier * 2.0 * self.clip_norm

    def clip(self, records: Tensor) -> Tensor:
        """The rows `[record, value]`, each with an L2 norm of at most `clip_norm`."""
        return clip_rows(records, self.clip_norm)

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        """The records plus noise of `noise_std`, independent for every value and every call."""
        return add_gaussian(records, self.noise_std, draws)

    def noise_model(self) -> NoiseModel:
        """Gaussian noise of `noise_std` on every value."""
        return NoiseModel("gaussian", self.noise_std)

    def cost(self) -> Cost | None:
        """One Gaussian release, replace-one."""
        return Cost(GaussianEvent(self.noise_multiplier), self.unit, "replace-one")
