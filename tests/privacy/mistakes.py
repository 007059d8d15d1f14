"""Mistakes of published code, each as small as it can be, for tests (and audits) to catch.

Nothing here may be used for anything else. The classes are mechanisms that claim a cost which
they do not keep; the functions clip or account wrongly.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from privacy.accountants import poisson_gaussian_epsilon
from privacy.dp_sgd.mechanism import DPSGD
from privacy.events import GaussianEvent, MetricEvent
from privacy.gaussian import Gaussian
from privacy.mechanism import Cost, clip_rows
from privacy.metric import Metric
from privacy.noise import NoiseModel
from privacy.randomness.draws import Draws
from privacy.randomness.release import add_gaussian


@dataclass(frozen=True)
class SensitivityOfOneClip:
    """Clips to C and measures its noise in C, while two clipped rows lie 2 C apart."""

    clip_norm: float
    noise_multiplier: float
    unit = "token"

    @classmethod
    def calibrated(cls, target_epsilon: float, delta: float, clip_norm: float):
        sound = Gaussian.calibrated(target_epsilon, delta, clip_norm)
        return cls(clip_norm, sound.noise_multiplier)

    @property
    def noise_std(self) -> float:
        return self.noise_multiplier * self.clip_norm

    def clip(self, records: Tensor) -> Tensor:
        return clip_rows(records, self.clip_norm)

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        return add_gaussian(records, self.noise_std, draws)

    def noise_model(self) -> NoiseModel:
        return NoiseModel("gaussian", self.noise_std)

    def cost(self) -> Cost:
        return Cost(GaussianEvent(self.noise_multiplier), "token", "replace-one")


@dataclass(frozen=True)
class NoiseRegardlessOfTheClip(SensitivityOfOneClip):
    """Noise for a clip of 1, whatever the clip is."""

    @property
    def noise_std(self) -> float:
        return self.noise_multiplier * 2.0


@dataclass(frozen=True)
class NoiseOverALength(SensitivityOfOneClip):
    """Divides the noise by the record's own norm: short records are drowned, long ones bare."""

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        noise = add_gaussian(torch.zeros_like(records), 2 * self.noise_std, draws)
        return records + noise / records.norm(dim=1, keepdim=True).clamp_min(1e-9)


@dataclass(frozen=True)
class PartOfTheNoise(SensitivityOfOneClip):
    """Claims noise for a distance of 2 C, and adds a `part` of it."""

    part: float = 1 / 3

    @property
    def noise_std(self) -> float:
        return self.noise_multiplier * 2.0 * self.clip_norm

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        return add_gaussian(records, self.part * self.noise_std, draws)


@dataclass(frozen=True)
class GammaPerCoordinate:
    """Metric noise as a Gamma times a uniform in every coordinate, not radius x direction."""

    eta: float
    width: int
    unit = "token"
    clip_norm = None

    def clip(self, records: Tensor) -> Tensor:
        return records

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        gamma = draws.gamma(tuple(records.shape), float(self.width), self.eta)
        uniform = torch.from_numpy(draws.uniform(tuple(records.shape))) * 2 - 1
        return records + (gamma * uniform).to(records)

    def noise_model(self) -> NoiseModel:
        return NoiseModel("unknown")

    def cost(self) -> Cost:
        return Cost(MetricEvent(self.eta), "token", "replace-one")


@dataclass(frozen=True)
class OneRadius(Metric):
    """Metric noise with a direction for every row, and one length for the whole batch."""

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        radius = draws.gamma((1,), float(self.width), self.eta)
        return records + draws.sphere(len(records), self.width).mul_(radius).to(records)


# Clipped sums: of gradients [record, value], whose removal may move the sum by clip_norm at most.


def clip_after_averaging(gradients: Tensor, clip_norm: float) -> Tensor:
    """The sum [value] that comes of clipping the mean: as if that bounded every record."""
    return clip_rows(gradients.mean(dim=0, keepdim=True), clip_norm)[0] * len(gradients)


def clip_per_layer(gradients: Tensor, clip_norm: float, layers: int = 4) -> Tensor:
    """The sum [value] of gradients whose every layer is clipped to the norm of the whole."""
    parts = [clip_rows(part, clip_norm) for part in gradients.chunk(layers, dim=1)]
    return torch.cat(parts, dim=1).sum(dim=0)


def nothing_clipped(gradients: Tensor, clip_norm: float) -> Tensor:
    """The sum [value] as ghost clipping leaves it if the loss it re-weights is not the one used.

    The model reduced its loss itself, so the factors of the second pass reach nothing.
    """
    factors = (clip_norm / gradients.norm(dim=1)).clamp_max(1.0)  # computed, reported, unused
    return (torch.ones_like(factors)[:, None] * gradients).sum(dim=0)


def tied_weight_counted_twice(uses: Tensor, clip_norm: float) -> Tensor:
    """The sum [value] for a weight used twice, from its gradients `[record, use, value]`.

    The norm is taken as if the uses were two weights: their cross term is left out.
    """
    norms = uses.square().sum(dim=(1, 2)).sqrt()
    return ((clip_norm / norms).clamp_max(1.0)[:, None] * uses.sum(dim=1)).sum(dim=0)


# Accounting.


def amplified_against_the_server(
    noise_multiplier: float, epochs: int, records: int, delta: float
) -> float:
    """The epsilon claimed as if the server did not see whose message each one is."""
    return poisson_gaussian_epsilon(noise_multiplier, 1 / records, epochs * records, delta)


def shuffled_batches(records: int, batch_size: int, seed: int) -> Iterator[np.ndarray]:
    """Batches of a fixed size that see every record once an epoch, called Poisson samples."""
    rng = np.random.default_rng(seed)
    while True:
        yield from rng.permutation(records).reshape(-1, batch_size)


def shuffled_epsilon_at_least(noise_multiplier: float, steps: int, delta: float) -> float:
    """A lower bound on the epsilon of one epoch of shuffled batches, from one event.

    Every other record adds -C to its batch; the record in question adds C, or is empty. Relative
    to the other batches its own is then raised by 2 C or by C, and the event is that the highest of
    the sums lies above a threshold (Chua et al., 2024, "How private are DP-SGD implementations?").
    """
    from scipy.stats import norm

    thresholds = np.linspace(0.0, 8.0 * max(1.0, noise_multiplier), 2000) / noise_multiplier

    def reached(raised: float) -> np.ndarray:
        below = norm.logcdf(thresholds - raised / noise_multiplier)
        return -np.expm1((steps - 1) * norm.logcdf(thresholds) + below)

    present, absent = reached(2.0), reached(1.0)
    ratios = np.maximum(present - delta, 1e-300) / np.maximum(absent, 1e-300)
    return float(math.log(max(ratios.max(), 1.0)))


# Noise that is right in one call, and not from call to call, place to place, or value to value.


@dataclass(frozen=True)
class NoiseOfAState(Gaussian):
    """Gaussian noise by a wrong `noise(shape, draws)`, which may keep a state from call to call."""

    state: dict = field(default_factory=dict, compare=False)

    def fresh(self, shape, draws: Draws) -> Tensor:
        return draws.gaussian(tuple(shape), self.noise_std)

    def noise(self, shape, draws: Draws) -> Tensor:
        raise NotImplementedError

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        self.state["calls"] = self.state.get("calls", 0) + 1
        return (records.double() + self.noise(records.shape, draws)).to(records.dtype)


class NoiseKept(NoiseOfAState):
    """Draws its noise once for a shape, and adds it to every batch of that shape."""

    def noise(self, shape, draws: Draws) -> Tensor:
        if shape not in self.state:
            self.state[shape] = self.fresh(shape, draws)
        return self.state[shape]


class NoiseReseeded(NoiseOfAState):
    """Seeds its generator anew in every call."""

    def noise(self, shape, draws: Draws) -> Tensor:
        drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
        return drawn * self.noise_std


class NoiseThatRepeats(NoiseOfAState):
    """Has noise for 50 calls, and begins again."""

    def noise(self, shape, draws: Draws) -> Tensor:
        seed = torch.Generator().manual_seed(self.state["calls"] % 50)
        return torch.randn(*shape, generator=seed, dtype=torch.float64) * self.noise_std


class NoiseThatLasts(NoiseOfAState):
    """Noise of the right size, nine tenths of which are those of the call before."""

    def noise(self, shape, draws: Draws) -> Tensor:
        fresh, before = self.fresh(shape, draws), self.state.get(shape)
        made = fresh if before is None else 0.9 * before + math.sqrt(1 - 0.81) * fresh
        self.state[shape] = made
        return made


class FirstCallBare(NoiseOfAState):
    """Adds nothing to what is sent first."""

    def noise(self, shape, draws: Draws) -> Tensor:
        return self.fresh(shape, draws) * (self.state["calls"] > 1)


class ValuesWithoutNoise(NoiseOfAState):
    """Leaves the last value of every row bare."""

    def noise(self, shape, draws: Draws) -> Tensor:
        made = self.fresh(shape, draws)
        made[:, -1] = 0
        return made


class NoiseAlike(NoiseOfAState):
    """One draw for all values of a row, each of the right size."""

    def noise(self, shape, draws: Draws) -> Tensor:
        return self.fresh((shape[0], 1), draws).expand(*shape)


class NoiseOfFewValues(NoiseOfAState):
    """Noise rounded to whole standard deviations, on records that are not."""

    def noise(self, shape, draws: Draws) -> Tensor:
        return (self.fresh(shape, draws) / self.noise_std).round() * self.noise_std


class NoiseByTheBatch(NoiseOfAState):
    """Noise of the right size for a batch of 64, and in proportion to the batch."""

    def noise(self, shape, draws: Draws) -> Tensor:
        return self.fresh(shape, draws) * min(1.0, shape[0] / 64)


class LastRowBare(NoiseOfAState):
    """Leaves the last row of a batch without noise."""

    def noise(self, shape, draws: Draws) -> Tensor:
        made = self.fresh(shape, draws)
        made[-1] = 0
        return made


class NoiseBeforeTheClip(NoiseOfAState):
    """Clips what is noised, and not the record."""

    def clip(self, records: Tensor) -> Tensor:
        return records

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        return clip_rows(records.double() + self.fresh(records.shape, draws), self.clip_norm)


# Clipped sums whose clip depends on the batch, or on the place in it.


def clip_to_the_median(gradients: Tensor, clip_norm: float) -> Tensor:
    """The sum [value] clipped to the batch's own median length, if that is below the clip."""
    norms = gradients.norm(dim=1)
    return clip_rows(gradients, min(clip_norm, float(norms.quantile(0.5)))).sum(dim=0)


def clip_to_the_mean(gradients: Tensor, clip_norm: float) -> Tensor:
    """The sum [value] clipped to the batch's own mean length."""
    return clip_rows(gradients, float(gradients.norm(dim=1).mean())).sum(dim=0)


def last_not_clipped(gradients: Tensor, clip_norm: float) -> Tensor:
    """The sum [value] of a batch in parts of five, the last of which is left as it is."""
    whole = len(gradients) // 5 * 5
    return clip_rows(gradients[:whole], clip_norm).sum(dim=0) + gradients[whole:].sum(dim=0)


def first_not_clipped(gradients: Tensor, clip_norm: float) -> Tensor:
    """The sum [value] of a batch whose first record is left as it is."""
    return gradients[0] + clip_rows(gradients[1:], clip_norm).sum(dim=0)


@dataclass(frozen=True)
class LastOfTheBatchUnclipped(DPSGD):
    """DP-SGD whose factor is 1 for the last record of a batch."""

    def factors(self, squared_norms: Tensor) -> Tensor:
        found = super().factors(squared_norms)
        found[-1:] = 1.0
        return found


@dataclass(frozen=True)
class ClippedToTheMedian(DPSGD):
    """DP-SGD with the batch's own median as clip norm, if that is below the clip."""

    largest_factor = 1.0

    def factors(self, squared_norms: Tensor) -> Tensor:
        norms = squared_norms.sqrt()
        clip = min(self.clip_norm, float(norms.quantile(0.5))) if len(norms) else self.clip_norm
        return (clip * (1 - 1e-4) / norms.clamp_min(1e-12)).clamp_max(1.0)
