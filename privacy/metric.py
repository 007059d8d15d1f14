"""Metric (d_chi) privacy: inputs are hidden the better, the closer they lie to each other."""

import math
from dataclasses import dataclass

from torch import Tensor

from privacy.checks import positive, whole
from privacy.events import MetricEvent
from privacy.mechanism import Cost, Unit
from privacy.noise import NoiseModel
from privacy.randomness.draws import Draws
from privacy.randomness.release import add_noise
from privacy.rows import checked_rows


@dataclass(frozen=True)
class Metric:
    """Adds to each token's row of `width` values noise with density proportional to exp(-eta |z|).

    Its length is drawn from a Gamma distribution with shape `width` and scale 1 / `eta`, its
    direction uniformly from the unit sphere, both afresh for every row: z = r * u. Drawing a
    Gamma per coordinate is another noise, longer by the square root of width / 3, and one for
    another metric.

    `nearest_word` says that the client replaces the noised row by the nearest row of its word
    table before sending it (post-processing); the mechanism itself only carries the wish.

    Guarantee: metric privacy for a token, for each release: for two inputs at L2 distance d every
    outcome's probabilities differ by a factor of at most exp(eta * d), and of
    exp((width + 1) * 2**-26) besides, as both are cut to a grid. Rows are not clipped, so no finite
    epsilon covers every pair: this is never an (epsilon, delta), nor calibrated to one.

    | input | outcome |
    |---|---|
    | `eta` zero, negative, infinite or NaN; `width` no integer of at least 1 | `ValueError` |
    | rows that are not `width` values long | `ValueError` |
    | records with NaN or infinity, to `clip` or `add_noise` | `ValueError` that names how many |
    | a row of zeros | noised like any other |

    Reference: Feyisetan, Balle, Drake, Diethe (2020), "Privacy- and utility-preserving textual
    analysis via calibrated multivariate perturbations", section 3; Qu et al. (2021), "Natural
    language understanding with privacy-preserving BERT".
    """

    eta: float
    width: int
    nearest_word: bool = False

    def __post_init__(self) -> None:
        """Check every field."""
        positive("eta", self.eta)
        whole("width", self.width)
        positive("width", self.width)

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
        """Root mean square of the noise on each value: sqrt(width + 1) / eta."""
        return math.sqrt(self.width + 1.0) / self.eta

    def clip(self, records: Tensor) -> Tensor:
        """The very same rows `[record, value]`, once they are found to be finite and of `width`."""
        if records.ndim == 2 and records.shape[1] != self.width:
            raise ValueError(f"expected rows of width={self.width} values, got {records.shape[1]}")
        return checked_rows(records)

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        """The records plus a vector r * u per row, independent for every row and every call."""
        self.clip(records)
        rows = len(records)
        radius = draws.gamma((rows, 1), float(self.width), self.eta)  # [record, 1]
        noise = draws.sphere(rows, self.width).mul_(radius)
        return add_noise(records, noise, self.noise_std)

    def noise_model(self) -> NoiseModel:
        """Metric noise of `noise_std` on each value."""
        return NoiseModel("metric", self.noise_std)

    def cost(self) -> Cost | None:
        """One release under metric privacy, replace-one token."""
        return Cost(MetricEvent(self.eta), "token", "replace-one")
