"""Laplace noise on records clipped in L1: pure differential privacy."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from privacy.checks import one_of, positive, whole
from privacy.events import PureEvent
from privacy.mechanism import UNITS, Cost, Unit
from privacy.noise import NoiseModel
from privacy.randomness.draws import Draws
from privacy.randomness.release import add_laplace
from privacy.risk import Risk, Target, pure_epsilon
from privacy.rows import checked_rows

# Relative head room for the rounding of a sum of absolute values in float64.
SUM_MARGIN = 1e-12


@dataclass(frozen=True)
class Laplace:
    """Clips each row to an L1 norm of `clip_norm` and adds Laplace noise to every value.

    Two clipped rows lie up to 2 * clip_norm apart in L1, so noise of scale 2 * clip_norm / epsilon
    on every value gives `epsilon` for one release. `clip_norm` bounds the L1 norm, which is up to
    sqrt(values) times the L2 norm.

    Guarantee: pure epsilon (delta 0), replace-one, for one unit, for each release of the clipped
    and noised row, but for what the grid and the tails of drawn noise leave open (`randomness`).
    `clip` must come before `add_noise`, on one row per unit.

    | input | outcome |
    |---|---|
    | `clip_norm` or `epsilon` zero, negative, infinite or NaN | `ValueError` |
    | records with NaN or infinity, to `clip` or `add_noise` | `ValueError` that names how many |
    | a row with an L1 norm of at most `clip_norm` (a row of zeros too) | unchanged, bit for bit |
    | a row of zeros | clipped to zeros, then noised like any other |

    Reference: Dwork, McSherry, Nissim, Smith (2006), "Calibrating noise to sensitivity in private
    data analysis".
    """

    clip_norm: float
    epsilon: float
    unit: Unit = "token"

    def __post_init__(self) -> None:
        """Check every field."""
        positive("clip_norm", self.clip_norm)
        positive("epsilon", self.epsilon)
        one_of("unit", self.unit, UNITS)

    @classmethod
    def calibrated(
        cls,
        target: Target,
        clip_norm: float,
        releases: int = 1,
        unit: Unit = "token",
        beside: float = 0.0,
    ) -> "Laplace":
        """The mechanism whose `releases` releases add up to the target, delta 0, or keep to a risk.

        beside: as for `Gaussian`.

        >>> round(Laplace.calibrated(8.0, clip_norm=1.0, releases=4).noise_std, 6)
        1.414214

        Raises:
            ValueError: an epsilon or clip_norm not positive and finite, or releases not an
                integer of at least 1.
        """
        if isinstance(target, Risk):
            return cls(clip_norm, pure_epsilon(target, releases, beside), unit)
        positive("target_epsilon", target)
        whole("releases", releases)
        positive("releases", releases)
        share = target / releases
        if share * releases > target:  # by a rounding
            share = math.nextafter(share, 0.0)
        if beside:
            if share <= beside:
                raise ValueError(
                    f"expected target_epsilon > {beside * releases:g}, which labels take alone, "
                    f"got target_epsilon={target:g}"
                )
            share = math.nextafter(share - beside, 0.0)
        return cls(clip_norm=clip_norm, epsilon=share, unit=unit)

    @property
    def scale(self) -> float:
        """The noise's scale b, its mean absolute value: 2 * clip_norm / epsilon."""
        return 2.0 * self.clip_norm / self.epsilon

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise on each value: sqrt(2) times its scale."""
        return math.sqrt(2.0) * self.scale

    def clip(self, records: Tensor) -> Tensor:
        """The rows `[record, value]`, each with an L1 norm of at most `clip_norm`."""
        return clip_rows_l1(records, self.clip_norm)

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        """The records plus noise of `noise_std`, independent for every value and every call."""
        return add_laplace(checked_rows(records), self.scale, draws)

    def noise_model(self) -> NoiseModel:
        """Independent Laplace noise of `noise_std` on every value."""
        return NoiseModel("laplace", self.noise_std)

    def cost(self) -> Cost | None:
        """One pure release, replace-one."""
        return Cost(PureEvent(self.epsilon), self.unit, "replace-one")


def clip_rows_l1(records: Tensor, clip_norm: float) -> Tensor:
    """The rows `[record, value]`, each scaled down to an L1 norm of at most `clip_norm`.

    Norms are summed in float64. A row that is too long is divided by norm / clip_norm, rounded in
    its own type; the target lies two machine epsilons below `clip_norm`, and `SUM_MARGIN`, which
    is more than all roundings can add. Differentiable, through the norm as well; where a value is
    0 its absolute value counts as flat.

    Raises:
        ValueError: not `[record, value]` of float32 or float64, or a value is not finite.
    """
    checked_rows(records)
    norms = torch.linalg.vector_norm(records, ord=1, dim=1, keepdim=True, dtype=torch.float64)
    if not bool(torch.isfinite(norms).all()):
        raise ValueError("expected rows with a finite norm, got a norm beyond float64")
    target = clip_norm * (1.0 - 2.0 * torch.finfo(records.dtype).eps - SUM_MARGIN)
    divisors = torch.where(norms > clip_norm, norms / target, 1.0)
    return records / divisors.to(records.dtype)  # [record, value] / [record, 1]
