"""Risk as a target: what an attack may reach at most, and the least noise that keeps it there.

The noise is found on the very curve that a claim states, rounded up as a record keeps it. An
(epsilon, delta) on the way would cost noise: many curves pass below its one line, and the line
allows far more than they do.

Reference: Kulynych, Gomez, Kaissis, Hayes, Balle, Calmon (2024), "Attack-aware noise calibration
for differential privacy", section 3.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from privacy.accountants import PLD_STEPS
from privacy.allowed import curve_of, up
from privacy.checks import one_of, positive, whole
from privacy.events import (
    Event,
    GaussianEvent,
    MessageEvent,
    PoissonGaussianEvent,
    PureEvent,
)
from privacy.least_noise import least_noise
from privacy.losses import composed_loss
from privacy.tradeoff import Curve, ever_drawn, loss_interval

Measure = Literal["tpr_at_1pct", "advantage"]
MEASURES: tuple[Measure, ...] = get_args(Measure)

FPR = 0.01
"""The false-positive rate of `tpr_at_1pct`."""
CHANCE = {"tpr_at_1pct": FPR, "advantage": 0.0}
CALLS = 60
LOWEST_START = 0.2  # of the noise of DP-SGD: below, the formula says nothing
SAMPLED_CALLS = 12  # a curve of DP-SGD takes a second
COARSE = 16.0  # of the grid on the way there, times the usual one
EPSILONS = tuple(0.08 * each for each in range(60))  # at which that is read: up to -log(FPR)
EDGE = 1e-12  # of a target, from what guessing reaches and from certainty
SHY = 1e-9  # relative head room of the closed forms, for rounding


@dataclass(frozen=True)
class Risk:
    """The most that an attack on neighbours may reach: `measure` at most `most`.

    tpr_at_1pct: the true-positive rate where one in a hundred of the others is accused. advantage:
    the largest true-positive rate less the false-positive rate.

    Raises:
        ValueError: another measure, or a target no better than guessing, or one that says nothing.
    """

    measure: Measure
    most: float

    def __post_init__(self) -> None:
        """Check both fields."""
        one_of("measure", self.measure, MEASURES)
        chance, name = CHANCE[self.measure], f"target_{self.measure}"
        if not (chance < self.most < 1 and self.kept > chance):
            least = f"{chance:g} < {name} < 1 ({chance:g} is what guessing reaches)"
            raise ValueError(f"expected {least}, got {name}={self.most}")
        if not chance + EDGE <= self.most <= 1 - EDGE:
            least = f"{chance:g} + {EDGE:g} <= {name} <= 1 - {EDGE:g} (beyond, rounding decides)"
            raise ValueError(f"expected {least}, got {name}={self.most}")

    @property
    def kept(self) -> float:
        """The target in six figures, not above it: what a record's own six figures can meet."""
        figures = math.ceil(-math.log10(self.most)) + 5
        rounded = round(self.most, figures)
        return rounded if rounded <= self.most else round(rounded - 10.0**-figures, figures)

    @property
    def name(self) -> str:
        """The target as a grid writes it."""
        return f"target_{self.measure}"

    def of(self, curve: Curve) -> float:
        """The measure of a curve, rounded up as a record keeps it."""
        return up(curve.tpr_at(FPR) if self.measure == "tpr_at_1pct" else curve.advantage())

    def of_event(self, event: Event, releases: int) -> float:
        """The measure of so many events, as their claim states it."""
        return self.of(curve_of(event, releases)[0])

    def over(self, found: float) -> float:
        """What is found beyond chance, as a share of what the target leaves; 1 at most is met."""
        chance = CHANCE[self.measure]
        if found <= self.most:
            return min(1.0, max(0.0, found - chance) / (self.most - chance))
        return max(math.nextafter(1.0, 2.0), (found - chance) / (self.most - chance))


Target = float | Risk
"""An epsilon, or a risk."""


@lru_cache(maxsize=1024)  # the cells of a grid ask for the same again
def gaussian_noise(risk: Risk, releases: int) -> float:
    """The least noise, in sensitivities, with which so many Gaussian releases keep to a risk.

    >>> round(gaussian_noise(Risk("advantage", 0.3829), releases=1), 3)
    1.0

    Raises:
        ValueError: releases not an integer of at least 1.
    """
    whole("releases", releases)
    positive("releases", releases)
    start = math.sqrt(releases) / gaussian_mu(risk)
    return _least(risk, lambda noise: GaussianEvent(noise), releases, start, CALLS)


def gaussian_mu(risk: Risk) -> float:
    """The distance of the two unit Gaussians of which just this much can be made.

    >>> round(gaussian_mu(Risk("tpr_at_1pct", 0.0924)), 3)
    1.0
    """
    from scipy.stats import norm

    if risk.measure == "advantage":
        return float(2 * norm.ppf((1 + risk.most) / 2))
    return float(norm.ppf(risk.most) - norm.ppf(FPR))


@lru_cache(maxsize=1024)
def message_noise(risk: Risk, label_epsilon: float, releases: int) -> float:
    """The least noise with which messages and their labels beside them keep to a risk together.

    Raises:
        ValueError: a risk that the labels alone reach, or an argument out of range.
    """
    _left(risk, label_epsilon, releases)
    start = gaussian_noise(risk, releases)
    return _least(risk, lambda noise: MessageEvent(noise, label_epsilon), releases, start, CALLS)


@lru_cache(maxsize=256)
def sampled_noise(risk: Risk, sample_rate: float, steps: int) -> float:
    """The least noise, in clip norms, with which so many steps of DP-SGD keep to a risk.

    Least to a relative 1e-4, by the curve of the claim; add-or-remove-one record.

    Raises:
        ValueError: sample_rate not above 0 and at most 1, steps not an integer of at least 1, or a
            risk that sampling keeps without any noise.
    """
    if not 0 < sample_rate <= 1:
        raise ValueError(f"expected 0 < sample_rate <= 1, got sample_rate={sample_rate}")
    whole("steps", steps)
    positive("steps", steps)

    def event(noise: float) -> Event:
        return PoissonGaussianEvent(noise, sample_rate)

    if sample_rate == 1:
        return _least(risk, event, steps, gaussian_noise(risk, steps), CALLS)
    bare = risk.of(Curve((0.0,), (ever_drawn(sample_rate, steps),)))
    if bare <= risk.most:
        raise ValueError(
            f"expected {risk.name} < {bare:g}, which sampling keeps without any noise, "
            f"got {risk.name}={risk.most:g}"
        )
    # many steps are nearly Gaussian: mu^2 = steps rate^2 (e^(1 / noise^2) - 1)
    ratio = gaussian_mu(risk) / (sample_rate * math.sqrt(steps))
    start = max(LOWEST_START, math.log1p(ratio**2) ** -0.5)
    near = least_noise(_coarse(risk, sample_rate, steps), risk.over, start, CALLS).sigma
    return _least(risk, event, steps, near, SAMPLED_CALLS)


def _coarse(risk: Risk, sample_rate: float, steps: int) -> Callable[[float], float]:
    """About what DP-SGD allows at a noise multiplier: by a coarse loss, read at few epsilons."""

    def found(noise: float) -> float:
        interval = COARSE * loss_interval(noise, sample_rate, steps)
        if steps > PLD_STEPS or interval > 1:
            return risk.of_event(PoissonGaussianEvent(noise, sample_rate), steps)
        loss = composed_loss(noise, sample_rate, steps, interval)
        tried = (0.0,) if risk.measure == "advantage" else EPSILONS
        deltas = [float(loss.get_delta_for_epsilon(each)) for each in tried]
        return risk.of(Curve(tried, tuple(deltas)))

    return found


@lru_cache(maxsize=1024)
def pure_epsilon(risk: Risk, releases: int = 1, beside: float = 0.0) -> float:
    """The largest epsilon with which so many pure releases keep to a risk; one in closed form.

    beside: the epsilon of another pure release with each of them, which the target includes.

    >>> round(pure_epsilon(Risk("advantage", 0.462117)), 4)
    1.0

    Raises:
        ValueError: releases not an integer of at least 1, or a risk that the other alone reaches.
    """
    whole("releases", releases)
    positive("releases", releases)
    if beside:
        _left(risk, beside, releases)
    if risk.measure == "advantage":
        once = math.log((1 + risk.kept) / (1 - risk.kept))
    else:
        once = max(math.log(risk.kept / FPR), math.log((1 - FPR) / (1 - risk.kept)))
    once *= 1 - SHY
    if releases > 1:  # noise: the reciprocal of epsilon
        start = math.sqrt(releases) / once
        once = 1 / _least(risk, lambda noise: PureEvent(1 / noise), releases, start, CALLS)
    return once - beside if not beside else math.nextafter((once - beside) * (1 - SHY), 0.0)


def _least(
    risk: Risk, event: Callable[[float], Event], releases: int, start: float, calls: int
) -> float:
    """The least noise of these events that keeps to a risk."""

    def found(noise: float) -> float:
        return risk.of_event(event(noise), releases)

    return least_noise(found, risk.over, start, calls).sigma


def _left(risk: Risk, label_epsilon: float, releases: int) -> None:
    """Refuse a risk of which labels alone leave nothing."""
    alone = risk.of_event(PureEvent(label_epsilon), releases)
    if risk.most <= alone:
        raise ValueError(
            f"expected {risk.name} > {alone:g}, which the labels take alone, "
            f"got {risk.name}={risk.most:g}"
        )
