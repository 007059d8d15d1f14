"""Message and label of a record as one release: Gaussian noise beside randomised response.

The label's answer dominates, and is dominated by, a coin that is right with probability
e^epsilon / (1 + e^epsilon): its privacy loss is epsilon or minus epsilon. So the delta of the pair
at an epsilon is the mean of the Gaussian's deltas at the epsilons that the coin leaves, in closed
form; nothing is discretised. Less than the sum of two epsilons, often by a tenth and more.

Reference: Kairouz, Oh, Viswanath (2015), "The composition theorem for differential privacy",
theorem 3.3; Balle and Wang (2018), theorem 8.
"""

import math

import numpy as np
from numpy.typing import NDArray

from privacy.checks import open_unit, positive, whole

MOST_EPSILON = 10_000.0
MARGIN = 1e-9
"""Relative head room over root searches, whose tolerance is 1e-12."""


def gaussian_delta(epsilons: NDArray[np.float64], mu: float) -> NDArray[np.float64]:
    """The delta of two unit Gaussians at distance mu, at epsilons of either sign [epsilon]."""
    from scipy.special import log_ndtr, ndtr

    second = np.exp(epsilons + log_ndtr(-mu / 2 - epsilons / mu))
    found: NDArray[np.float64] = ndtr(mu / 2 - epsilons / mu) - second
    return found


def message_delta(
    epsilons: NDArray[np.float64], noise_multiplier: float, label_epsilon: float, releases: int = 1
) -> NDArray[np.float64]:
    """The delta of so many messages with their labels, at epsilons [epsilon]; replace-one.

    Raises:
        ValueError: noise_multiplier or label_epsilon not positive and finite, or releases below 1.
    """
    positive("noise_multiplier", noise_multiplier)
    positive("label_epsilon", label_epsilon)
    whole("releases", releases)
    positive("releases", releases)
    from scipy.stats import binom

    mu = math.sqrt(releases) / noise_multiplier
    wrong = np.arange(releases + 1)  # answers that are not the label
    chances = binom.pmf(wrong, releases, 1 / (1 + math.exp(min(label_epsilon, 700.0))))
    losses = label_epsilon * (releases - 2.0 * wrong)
    found = np.zeros(len(epsilons))
    for chance, loss in zip(chances, losses, strict=True):
        found += chance * gaussian_delta(epsilons - loss, mu)
    return np.clip(found, 0.0, 1.0)


def message_epsilon(
    noise_multiplier: float, label_epsilon: float, releases: int, delta: float
) -> float:
    """The epsilon of so many messages with their labels at a delta; 0.0 for none.

    >>> round(message_epsilon(0.7440, 2.0, 1, 1e-5), 2)  # 6.19 for the message, 2 for the label
    8.15

    Raises:
        ValueError: as `message_delta`, or delta not strictly between 0 and 1.
    """
    open_unit("delta", delta)
    whole("releases", releases)
    if releases == 0:
        return 0.0
    from scipy.optimize import brentq

    def above(epsilon: float) -> float:
        at = np.array([epsilon])
        return float(message_delta(at, noise_multiplier, label_epsilon, releases)[0]) - delta

    if above(0.0) <= 0:
        return 0.0
    high = 1.0
    while above(high) > 0:
        if high > MOST_EPSILON:
            raise ValueError(f"expected an epsilon below {MOST_EPSILON}, got none at delta={delta}")
        high *= 2
    return float(brentq(above, 0.0, high, xtol=1e-12, rtol=1e-12)) * (1.0 + MARGIN)


def message_multiplier(
    target_epsilon: float, delta: float, label_epsilon: float, releases: int = 1
) -> float:
    """The least noise, in sensitivities, with which messages and labels meet a target together.

    >>> round(message_multiplier(8.0, 1e-5, label_epsilon=2.0), 4)
    0.7595

    Raises:
        ValueError: target_epsilon not above label_epsilon times releases, of which the labels
            alone would take all; or as `message_epsilon`.
    """
    positive("target_epsilon", target_epsilon)
    if target_epsilon <= label_epsilon * releases:
        raise ValueError(
            f"expected target_epsilon > {label_epsilon * releases:g}, which the labels take alone, "
            f"got target_epsilon={target_epsilon:g}"
        )
    from scipy.optimize import brentq

    aim = target_epsilon * (1.0 - 3 * MARGIN)  # `message_epsilon` adds one; noise may do little

    def above(log_multiplier: float) -> float:
        multiplier = math.exp(log_multiplier)
        at = np.array([aim])
        return float(message_delta(at, multiplier, label_epsilon, releases)[0]) - delta

    open_unit("delta", delta)
    low, high = math.log(1e-3), math.log(1e6)
    if above(high) > 0:
        raise ValueError(
            f"expected target_epsilon well above {label_epsilon * releases:g}, of which the labels "
            f"leave something, got target_epsilon={target_epsilon:g}"
        )
    if above(low) <= 0:
        return math.exp(low)
    found = brentq(above, low, high, xtol=1e-12, rtol=1e-12)
    return math.exp(float(found)) * (1.0 + 10 * MARGIN)
