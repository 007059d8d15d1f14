"""Trade-off curves: the largest true-positive rate a mechanism allows at a false-positive rate.

Whoever tells two neighbouring data sets apart with a false-positive rate a finds at most the
smallest e^epsilon a + delta(epsilon) over all epsilons. delta(epsilon) comes in closed form where
there is one, else from dp-accounting's privacy loss distribution, whose delta is an upper bound.
The loss distribution's own tail is not read: it comes out on the unsafe side where many steps
compose. Any set of epsilons gives an upper bound; a finer one gives a closer one.

Reference: Dong, Roth, Su (2022), "Gaussian differential privacy", proposition 2.12.
"""

import math
from dataclasses import dataclass

import numpy as np

from privacy.accountants import FOURIER_DELTA, PLD_STEPS, best_bound, composed_loss
from privacy.checks import positive, whole

# Epsilons tried: dense where attacks live. Beyond the greatest, false alarms of 1e-26 count.
EPSILONS = 4000
MOST_EPSILON = 60.0

# The grid of the loss distribution: this fine, or a share of the losses where those are large.
# Beyond the last it is not made.
FINEST = 1e-4
SHARE = 1e-5
MOST_LOSS = 10_000.0


@dataclass(frozen=True)
class Curve:
    """delta [point] at epsilons [point], both directions in one: upper bounds.

    epsilons rise from 0.
    """

    epsilons: tuple[float, ...]
    deltas: tuple[float, ...]

    def tpr_at(self, fpr: float) -> float:
        """The largest true-positive rate at this false-positive rate: from `fpr` to 1.

        Raises:
            ValueError: fpr outside [0, 1].
        """
        if not 0 <= fpr <= 1:
            raise ValueError(f"expected 0 <= fpr <= 1, got fpr={fpr}")
        epsilons, deltas = np.array(self.epsilons), np.array(self.deltas)
        above = np.exp(epsilons) * fpr + deltas
        # the other direction, turned round: 1 - fpr <= e^epsilon (1 - tpr) + delta
        below = 1.0 - np.exp(-epsilons) * (1.0 - fpr - deltas)
        return float(min(1.0, max(fpr, min(above.min(), below.min()))))

    def advantage(self) -> float:
        """The largest true-positive rate less the false-positive rate: delta at epsilon 0."""
        return min(1.0, max(0.0, self.deltas[0]))

    def points(self, fprs: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
        """Pairs (false-positive rate, largest true-positive rate), as a record keeps them."""
        return tuple((fpr, self.tpr_at(fpr)) for fpr in fprs)


def gaussian_curve(noise_multiplier: float, releases: int = 1) -> Curve:
    """The curve of Gaussian releases, in closed form. No releases allow nothing beyond chance.

    >>> curve = gaussian_curve(1.0)  # two unit Gaussians at distance 1
    >>> round(curve.tpr_at(0.01), 4), round(curve.advantage(), 4)
    (0.0924, 0.3829)

    Raises:
        ValueError: the noise multiplier is not positive and finite, or a negative count.
    """
    from scipy.special import log_ndtr, ndtr

    positive("noise_multiplier", noise_multiplier)
    whole("releases", releases)
    mu = math.sqrt(releases) / noise_multiplier
    if mu == 0:
        return Curve((0.0,), (0.0,))
    epsilons = _epsilons(mu)
    first = ndtr(mu / 2 - epsilons / mu)
    second = np.exp(epsilons + log_ndtr(-mu / 2 - epsilons / mu))
    return _curve(epsilons, first - second)


def pure_curve(epsilon: float, releases: int = 1) -> Curve:
    """The curve of releases under pure differential privacy, their epsilons summed.

    >>> round(pure_curve(1.0).tpr_at(0.01), 5), round(pure_curve(1.0).advantage(), 5)
    (0.02718, 0.46212)

    Raises:
        ValueError: epsilon is not positive and finite, or a negative count.
    """
    positive("epsilon", epsilon)
    whole("releases", releases)
    total = epsilon * releases
    advantage = math.tanh(total / 2)  # the delta at epsilon 0 of randomised response
    return Curve((0.0, total), (advantage, 0.0)) if total else Curve((0.0,), (0.0,))


def poisson_gaussian_curve(noise_multiplier: float, sample_rate: float, steps: int) -> Curve:
    """The curve of the Poisson-subsampled Gaussian (DP-SGD), add-or-remove-one.

    Nothing beyond chance for no steps or a rate of 0. At a rate of 1 the closed form, and also,
    sampling not counted, beyond a million steps. No step may draw the record at all: that bounds
    the curve, and alone where little noise leaves nothing else.

    Raises:
        ValueError: an argument out of range.
    """
    positive("noise_multiplier", noise_multiplier)
    whole("steps", steps)
    if not 0 <= sample_rate <= 1:
        raise ValueError(f"expected 0 <= sample_rate <= 1, got sample_rate={sample_rate}")
    if steps == 0 or sample_rate == 0:
        return Curve((0.0,), (0.0,))
    if sample_rate == 1 or steps > PLD_STEPS:
        return gaussian_curve(noise_multiplier, steps)
    unsampled = gaussian_curve(noise_multiplier, steps)
    epsilons = np.array(unsampled.epsilons)
    ever = -math.expm1(steps * math.log1p(-sample_rate))  # of a record: that any step draws it
    deltas = np.minimum(unsampled.deltas, ever)
    whole_loss = best_bound(noise_multiplier, sample_rate, steps, FOURIER_DELTA, "rdp").epsilon
    one_loss = 0.5 / noise_multiplier**2 + 10.0 / noise_multiplier
    largest = max(whole_loss, one_loss)
    if largest <= MOST_LOSS:
        loss = composed_loss(noise_multiplier, sample_rate, steps, max(FINEST, SHARE * largest))
        deltas = np.minimum(deltas, loss.get_delta_for_epsilon(epsilons.tolist()))
    return _curve(epsilons, deltas)


def _epsilons(mu: float) -> np.ndarray:
    """Epsilons from 0 to what matters at this mu, denser near 0."""
    most = min(MOST_EPSILON, mu * mu / 2 + 10 * mu)
    return most * np.linspace(0.0, 1.0, EPSILONS) ** 2


def _curve(epsilons: np.ndarray, deltas: np.ndarray) -> Curve:
    """The curve of these upper bounds, rounding undone: deltas fall and lie within [0, 1]."""
    falling = np.minimum.accumulate(np.clip(deltas + 1e-15, 0.0, 1.0))
    return Curve(tuple(epsilons.tolist()), tuple(falling.tolist()))
