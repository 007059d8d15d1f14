"""Trade-off curves: the largest true-positive rate a mechanism allows at a false-positive rate.

Whoever tells two neighbouring data sets apart with a false-positive rate a finds at most the
smallest e^epsilon a + delta(epsilon) over all epsilons. delta(epsilon) comes in closed form where
there is one, else from dp-accounting's privacy loss distribution, whose delta is an upper bound.
The loss distribution's own tail is not read: it comes out on the unsafe side where many steps
compose. Any set of epsilons gives an upper bound; a finer one gives a closer one.

Reference: Dong, Roth, Su (2022), "Gaussian differential privacy", proposition 2.12.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from privacy.accountants import FOURIER_DELTA, PLD_STEPS, best_bound
from privacy.checks import open_unit, positive, whole
from privacy.losses import composed_loss
from privacy.one_message import gaussian_delta, message_delta

# Epsilons tried: dense where attacks live. Beyond the greatest, false alarms of 1e-26 count.
EPSILONS = 1500
KNOTS = 32  # of a line that says which epsilons of a loss distribution are worth a look
FALSE_ANSWERS = 4000  # of randomised responses, at most so many counts of them
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
        return float(self.tprs_at(np.array([fpr]))[0])

    def tprs_at(self, fprs: np.ndarray) -> np.ndarray:
        """The largest true-positive rates [rate] at false-positive rates within [0, 1]."""
        epsilons, deltas = np.array(self.epsilons), np.array(self.deltas)
        rates = fprs[:, None]  # [rate, epsilon]
        above = np.exp(np.minimum(epsilons, 700.0)) * rates + deltas  # beyond, 1 and more
        # the other direction, turned round: 1 - fpr <= e^epsilon (1 - tpr) + delta
        below = 1.0 - np.exp(-epsilons) * (1.0 - rates - deltas)
        least = np.minimum(above.min(1), below.min(1))
        found: np.ndarray = np.minimum(1.0, np.maximum(fprs, least))
        return found

    def epsilon_at(self, delta: float) -> float:
        """The least of the curve's epsilons whose delta is at most this one; inf for none."""
        found = np.searchsorted(-np.array(self.deltas), -delta)
        return self.epsilons[found] if found < len(self.epsilons) else math.inf

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
    positive("noise_multiplier", noise_multiplier)
    whole("releases", releases)
    mu = math.sqrt(releases) / noise_multiplier
    if mu == 0:
        return Curve((0.0,), (0.0,))
    epsilons = _epsilons(mu)
    return made(epsilons, gaussian_delta(epsilons, mu))


def pure_curve(epsilon: float, releases: int = 1) -> Curve:
    """The curve of releases under pure differential privacy: of so many randomised responses.

    >>> round(pure_curve(1.0).tpr_at(0.01), 5), round(pure_curve(1.0).advantage(), 5)
    (0.02718, 0.46212)

    Reference: Kairouz, Oh, Viswanath (2015), "The composition theorem for differential privacy",
    theorem 3.3: randomised response dominates every mechanism of its epsilon.

    Raises:
        ValueError: epsilon is not positive and finite, or a negative count.
    """
    positive("epsilon", epsilon)
    whole("releases", releases)
    from scipy.stats import binom

    if releases == 0:
        return Curve((0.0,), (0.0,))
    # false answers of so many; with each the loss is lower by 2 epsilon
    most = np.unique(
        np.linspace(0, releases // 2, min(releases // 2 + 1, FALSE_ANSWERS)).astype(int)
    )
    losses = np.append(epsilon * (releases - 2.0 * most), 0.0)
    fewer = np.append(most - 1, (releases - 1) // 2)  # false answers whose loss is above that
    below = binom.logcdf(fewer, releases, 1 / (1 + math.exp(epsilon)))
    other = binom.logcdf(fewer, releases, 1 / (1 + math.exp(-epsilon)))
    order = np.argsort(losses, kind="stable")
    return made(losses[order], (np.exp(below) - np.exp(losses + other))[order])


def message_curve(noise_multiplier: float, label_epsilon: float, releases: int = 1) -> Curve:
    """The curve of messages with their labels beside them, in closed form.

    Raises:
        ValueError: an argument out of range.
    """
    whole("releases", releases)
    if releases == 0:
        return Curve((0.0,), (0.0,))
    mu = math.sqrt(releases) / noise_multiplier
    epsilons = _epsilons(mu, releases * label_epsilon)
    return made(epsilons, message_delta(epsilons, noise_multiplier, label_epsilon, releases))


def line_curve(epsilon: float, delta: float) -> Curve:
    """The curve of one (epsilon, delta), where nothing else is known of the mechanism.

    Looser than that of any mechanism with such a claim, by a factor of ten and more where many
    steps compose.

    >>> line = line_curve(4.0, 1e-5)
    >>> round(line.tpr_at(0.01), 6), round(line.advantage(), 6)
    (0.545992, 0.964028)

    Raises:
        ValueError: epsilon is not positive and finite, or delta not strictly between 0 and 1.
    """
    positive("epsilon", epsilon)
    open_unit("delta", delta)
    corner = math.tanh(epsilon / 2) + delta * (1 - math.tanh(epsilon / 2))  # where lines meet
    return Curve((0.0, epsilon), (corner, delta))


@lru_cache(maxsize=64)  # half a second each
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
    ever = ever_drawn(sample_rate, steps)
    deltas = np.minimum(unsampled.deltas, ever)
    delta_of = poisson_gaussian_delta(noise_multiplier, sample_rate, steps)
    if delta_of is not None:
        told, found = of_loss(delta_of, _reach(noise_multiplier, sample_rate, steps))
        epsilons, deltas = np.append(epsilons, told), np.append(deltas, found)
    order = np.lexsort((deltas, epsilons))  # of two at one epsilon the lower first
    return made(epsilons[order], deltas[order])


def ever_drawn(sample_rate: float, steps: int) -> float:
    """The probability that any step draws a record."""
    return 1.0 if sample_rate == 1 else -math.expm1(steps * math.log1p(-sample_rate))


def poisson_gaussian_delta(
    noise_multiplier: float, sample_rate: float, steps: int
) -> Callable[[float], float] | None:
    """The delta of DP-SGD at an epsilon, by its loss distribution; None where there is none.

    None for what `poisson_gaussian_curve` has in closed form, or where losses are too large.
    """
    if steps == 0 or sample_rate in (0, 1) or steps > PLD_STEPS:
        return None
    interval = loss_interval(noise_multiplier, sample_rate, steps)
    if interval > SHARE * MOST_LOSS:
        return None
    loss = composed_loss(noise_multiplier, sample_rate, steps, interval)
    return lambda epsilon: float(loss.get_delta_for_epsilon(epsilon))


def loss_interval(noise_multiplier: float, sample_rate: float, steps: int) -> float:
    """How fine the loss of DP-SGD is discretised: a share of its losses where those are large."""
    reach = _reach(noise_multiplier, sample_rate, steps)
    largest = max(reach, 0.5 / noise_multiplier**2 + 10.0 / noise_multiplier)
    return max(FINEST, SHARE * largest)


@lru_cache(maxsize=64)
def _reach(noise_multiplier: float, sample_rate: float, steps: int) -> float:
    """The epsilon beyond which the deltas of DP-SGD are rounding."""
    return best_bound(noise_multiplier, sample_rate, steps, FOURIER_DELTA, "rdp").epsilon


def of_loss(delta_of: Callable[[float], float], most: float) -> tuple[np.ndarray, np.ndarray]:
    """The epsilons up to `most` that tell something, and their deltas [epsilon].

    Every delta takes a pass over the loss distribution. So a few of them, and a smooth line through
    these, say at which epsilon each of the stored rates, and one between each two, is bounded best;
    only there it is read.
    """
    from scipy.interpolate import CubicSpline

    def deltas(epsilons: np.ndarray) -> np.ndarray:
        return np.array([float(delta_of(float(each))) for each in epsilons])

    knots = most * np.linspace(0.0, 1.0, KNOTS) ** 2
    read = deltas(knots)
    line = CubicSpline(knots, np.log(np.maximum(read, 1e-16)))
    tried = most * np.linspace(0.0, 1.0, EPSILONS) ** 2
    guessed, fprs = np.exp(line(tried)), 10 ** np.linspace(-7, 0, 85)[:, None]
    above = (np.exp(np.minimum(tried, 700.0)) * fprs + guessed).argmin(1)
    below = (1.0 - np.exp(-tried) * (1.0 - fprs - guessed)).argmin(1)
    best = tried[np.unique(np.append(above, below))]
    return np.append(knots, best), np.append(read, deltas(best))


def _epsilons(mu: float, beside: float = 0.0) -> np.ndarray:
    """Epsilons from 0 to what matters at this mu, and with so much beside it; denser near 0."""
    most = min(MOST_EPSILON, mu * mu / 2 + 10 * mu + beside)
    return most * np.linspace(0.0, 1.0, EPSILONS) ** 2


def made(epsilons: np.ndarray, deltas: np.ndarray) -> Curve:
    """The curve of these upper bounds, rounding undone: deltas fall and lie within [0, 1]."""
    falling = np.minimum.accumulate(np.clip(deltas + 1e-15, 0.0, 1.0))
    return Curve(tuple(epsilons.tolist()), tuple(falling.tolist()))
