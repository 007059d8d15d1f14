"""DP-SGD: per-example clipping, Poisson sampling, noise on the sum."""

from dataclasses import dataclass

import torch
from torch import Tensor

from privacy.checks import one_of, positive
from privacy.dp_sgd.clipping import (
    CLIPPING,
    STABILITY,
    STRETCH,
    automatic_factors,
    clip_factors,
    scale_rows,
)
from privacy.events import PoissonGaussianEvent
from privacy.mechanism import Cost, Unit, clip_rows
from privacy.noise import NoiseModel
from privacy.randomness.draws import Draws
from privacy.randomness.release import add_gaussian
from privacy.risk import Target


@dataclass(frozen=True)
class DPSGD:
    """Clips each example's whole gradient to `clip_norm` and noises the sum of a Poisson sample.

    noise_std = noise_multiplier * clip_norm, on the sum.

    clipping: "flat" shortens a gradient that is longer than `clip_norm` to it. "automatic" scales
    every gradient by clip_norm / (norm + stability): each comes out shorter than `clip_norm`, so
    the sensitivity is the same, and no clip norm has to be found; it scales steps and noise
    alike, which AdamW undoes. stability: the norm below which a gradient counts for less.

    Guarantee: add-or-remove-one record, per step, for whoever sees only the noised sums or what is
    computed from them (the released model). It holds if

    - every record is drawn into every batch by itself, with probability `sample_rate` (Poisson
      sampling: no shuffled fixed batches, no filling up, no dropping of the last);
    - a step whose batch came out empty adds noise and updates like any other;
    - one example's gradient is that over every trained parameter of E, T and H together, clipped
      once: the parties add their squared norms and use the same factor;
    - losses are of one example alone and scaled by fixed numbers, never by the batch's size or by
      another example's number of masked words;
    - noise is added once to the sum, on every value: on all rows of the embedding tables, and on
      parameters that no gradient reached;
    - the sum is divided by the expected batch size, never by that which came out.

    The scalars that the parties exchange (squared norms and factors) and the messages A, Z, G_Z
    and G_A are seen by the server and carry no guarantee.

    | input | outcome |
    |---|---|
    | `clip_norm` or `noise_multiplier` zero, negative, infinite or NaN | `ValueError` |
    | `sample_rate` not above 0 and at most 1 | `ValueError` |
    | another `clipping`; `stability` given with flat clipping | `ValueError` |
    | `stability` not positive and finite, or below a millionth of `clip_norm` | `ValueError` |
    | a gradient of zeros | stays zero, under either clipping |
    | gradients with NaN or infinity | `ValueError` that names how many values |
    | no records | the noise alone |

    References: Abadi et al. (2016), "Deep learning with differential privacy"; Bu, Wang, Zha,
    Karypis (2023), "Automatic clipping: differentially private deep learning made easier and
    stronger".
    """

    clip_norm: float
    noise_multiplier: float
    sample_rate: float
    clipping: str = "flat"
    stability: float = STABILITY

    def __post_init__(self) -> None:
        """Check every field."""
        positive("clip_norm", self.clip_norm)
        one_of("clipping", self.clipping, CLIPPING)
        positive("stability", self.stability)
        if self.clipping == "flat" and self.stability != STABILITY:
            told = f"got stability={self.stability} with clipping='flat'"
            raise ValueError(f"expected stability with clipping automatic alone, {told}")
        if self.clipping == "automatic" and self.stability * STRETCH < self.clip_norm:
            told = f"got stability={self.stability}"
            raise ValueError(f"expected stability >= clip_norm / {STRETCH:,.0f}, {told}")
        PoissonGaussianEvent(self.noise_multiplier, self.sample_rate)

    @classmethod
    def calibrated(
        cls,
        target: Target,
        delta: float,
        clip_norm: float,
        sample_rate: float,
        steps: int,
        clipping: str = "flat",
        stability: float = STABILITY,
    ) -> "DPSGD":
        """The mechanism with the least noise for which `steps` steps meet the target.

        Raises:
            ValueError: an epsilon or clip_norm not positive and finite, delta not strictly
                between 0 and 1, sample_rate not above 0 and at most 1, steps below 1, clipping
                or stability as they may not be.
        """
        from privacy.calibration import sampled_multiplier  # accountants: only when asked

        multiplier = sampled_multiplier(target, delta, sample_rate, steps)
        return cls(clip_norm, multiplier, sample_rate, clipping, stability)

    @property
    def unit(self) -> Unit:
        """A record: one row is one example's whole gradient."""
        return "record"

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise on each value of the sum."""
        return self.noise_multiplier * self.clip_norm

    def factors(self, squared_norms: Tensor) -> Tensor:
        """The factors [example] float64 that clip gradients of these squared norms, or of less.

        Raises:
            ValueError: a squared norm is negative or not finite.
        """
        if self.clipping == "automatic":
            return automatic_factors(squared_norms, self.clip_norm, self.stability)
        return clip_factors(squared_norms, self.clip_norm)

    @property
    def largest_factor(self) -> float:
        """The factor of a gradient of zeros: no other has a larger one."""
        return float(self.factors(torch.zeros(1)))

    def clip(self, records: Tensor) -> Tensor:
        """The gradients `[example, value]`, each with an L2 norm of at most `clip_norm`.

        For gradients that are there one by one; the engine clips without forming them.
        """
        if self.clipping == "automatic":
            return scale_rows(records, self.clip_norm, self.stability)
        return clip_rows(records, self.clip_norm)

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        """The sum of the clipped gradients, of any shape, plus noise of `noise_std`."""
        return add_gaussian(records, self.noise_std, draws)

    def noise_model(self) -> NoiseModel:
        """Gaussian noise of `noise_std` on every value of the sum."""
        return NoiseModel("gaussian", self.noise_std)

    def cost(self) -> Cost | None:
        """One step on a Poisson sample, add-or-remove-one record."""
        event = PoissonGaussianEvent(self.noise_multiplier, self.sample_rate)
        return Cost(event, "record", "add-or-remove-one")
