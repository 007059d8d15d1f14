"""Adaptive clipping: central DP-FedAvg whose clip follows a quantile of the clients' norms."""

import math
from dataclasses import dataclass, replace

import torch

from privacy.calibration import noise_multiplier_for
from privacy.checks import open_unit, positive
from privacy.client_updates import ClientUpdates
from privacy.events import GaussianEvent
from privacy.mechanism import Cost
from privacy.randomness.draws import Draws
from privacy.randomness.release import add_gaussian
from privacy.risk import Target

SHARE = 1.05
"""Without a say, the noise on the updates is so much larger than without the count of bits."""


@dataclass(frozen=True)
class AdaptiveDPFedAvg(ClientUpdates):
    """Clips whole updates to a norm that is learnt on the way, and noises their sum.

    Each round also releases, under noise, how many updates were not clipped; the next clip is
    clip * exp(-rate * (share - target_quantile)), so that it settles at that quantile of the norms.
    `clip_norm` is the round's clip; a training starts from the one given and passes on `after`.

    Guarantee: add-or-remove-one client, per round, as `DPFedAvg`, for the sum and the count
    together: each client adds its bit minus 1/2 (sensitivity 1/2) under noise of standard deviation
    `bit_noise`, and the sum of updates under `update_multiplier` times the clip, where
    noise_multiplier^-2 = update_multiplier^-2 + (2 bit_noise)^-2. The divisor is fixed.

    | input | outcome |
    |---|---|
    | `clip_norm`, `noise_multiplier`, `clip_learning_rate` not positive and finite | `ValueError` |
    | `target_quantile` not strictly between 0 and 1 | `ValueError` |
    | `bit_noise` at most noise_multiplier / 2: the count alone costs more | `ValueError` |
    | a noisy share below 0 or above 1 | used as it is |

    Reference: Andrew, Thakkar, McMahan, Ramaswamy (2021), "Differentially private learning with
    adaptive clipping", theorem 1.
    """

    target_quantile: float = 0.5
    clip_learning_rate: float = 0.2
    bit_noise: float | None = None

    def __post_init__(self) -> None:
        """Check every field."""
        super().__post_init__()
        positive("clip_learning_rate", self.clip_learning_rate)
        open_unit("target_quantile", self.target_quantile)
        if self.bit_noise is not None:
            positive("bit_noise", self.bit_noise)
            if 2 * self.bit_noise <= self.noise_multiplier:
                least = self.noise_multiplier / 2
                raise ValueError(f"expected bit_noise > {least}, got bit_noise={self.bit_noise}")

    @classmethod
    def calibrated(
        cls,
        target: Target,
        delta: float,
        clip_norm: float,
        rounds: int,
        target_quantile: float = 0.5,
        clip_learning_rate: float = 0.2,
    ) -> "AdaptiveDPFedAvg":
        """The mechanism with the least noise for which `rounds` rounds meet the target.

        Raises:
            ValueError: as in the table, or for a target, delta or rounds out of range.
        """
        multiplier = noise_multiplier_for(target, delta, rounds)
        return cls(clip_norm, multiplier, target_quantile, clip_learning_rate)

    @property
    def bit_std(self) -> float:
        """Standard deviation of the noise on the count of updates that were not clipped."""
        if self.bit_noise is not None:
            return self.bit_noise
        return self.noise_multiplier / (2.0 * math.sqrt(1.0 - SHARE**-2))

    @property
    def update_multiplier(self) -> float:
        """The noise on the sum of updates, in clips."""
        return 1.0 / math.sqrt(self.noise_multiplier**-2 - (2.0 * self.bit_std) ** -2)

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise on each value of the sum."""
        return self.update_multiplier * self.clip_norm

    def at(self, clip_norm: float) -> "AdaptiveDPFedAvg":
        """The same mechanism with another clip."""
        return replace(self, clip_norm=clip_norm, bit_noise=self.bit_std)

    def after(
        self, unclipped: int, answered: int, participants: int, draws: Draws
    ) -> "AdaptiveDPFedAvg":
        """The mechanism of the next round, when so many of those who answered were not clipped.

        Who did not answer adds nothing, not a bit of 0: that would be 1/2 less than nothing.
        """
        centred = torch.tensor([unclipped - answered / 2], dtype=torch.float64)
        noisy = float(add_gaussian(centred, self.bit_std, draws))
        share = noisy / participants + 0.5
        step = self.clip_learning_rate * (share - self.target_quantile)
        return self.at(self.clip_norm * math.exp(-step))

    def cost(self) -> Cost | None:
        """One Gaussian release of sum and count together, add-or-remove-one client."""
        return Cost(GaussianEvent(self.noise_multiplier), "client", "add-or-remove-one")
