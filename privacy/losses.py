"""Privacy loss distributions of dp-accounting, of one mechanism and of many steps of it.

The delta of each at an epsilon is an upper bound, on a coarse grid of losses as on a fine one.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np

# The most steps that are composed at once.
AT_ONCE = 10_000


@lru_cache(maxsize=8)  # epsilon and the trade-off curve of a claim ask for the same, a second each
def composed_loss(noise_multiplier: float, sample_rate: float, steps: int, interval: float) -> Any:
    """dp-accounting's privacy loss of so many steps: its delta at an epsilon is an upper bound."""
    from dp_accounting.pld import privacy_loss_distribution

    one = privacy_loss_distribution.from_gaussian_mechanism(
        noise_multiplier, value_discretization_interval=interval, sampling_prob=sample_rate
    )
    return self_composed(one, steps)


def mixture_loss(
    noise_multiplier: float, sample_rate: float, steps: int, records: int, interval: float
) -> Any:
    """The privacy loss of so many steps for a user whose every record is drawn by itself."""
    return self_composed(_mixture(noise_multiplier, sample_rate, records, interval), steps)


@lru_cache(maxsize=8)  # seconds each, and asked for again after every round of a training
def _mixture(noise_multiplier: float, sample_rate: float, records: int, interval: float) -> Any:
    """The privacy loss of one step for a user."""
    from dp_accounting.pld import privacy_loss_distribution
    from scipy.stats import binom

    together = np.arange(records + 1)
    return privacy_loss_distribution.from_mixture_gaussian_mechanism(
        noise_multiplier,
        sensitivities=together.tolist(),
        sampling_probs=binom.pmf(together, records, sample_rate).tolist(),
        value_discretization_interval=interval,
    )


def gaussian_loss(noise_multiplier: float, interval: float) -> Any:
    """The privacy loss of one Gaussian release."""
    from dp_accounting.pld import privacy_loss_distribution

    return privacy_loss_distribution.from_gaussian_mechanism(
        noise_multiplier, value_discretization_interval=interval
    )


def pure_loss(epsilon: float, releases: int, interval: float) -> Any:
    """The privacy loss of so many pure releases, each dominated by randomised response."""
    from dp_accounting.pld import common, privacy_loss_distribution

    one = privacy_loss_distribution.from_privacy_parameters(
        common.DifferentialPrivacyParameters(epsilon, 0.0), value_discretization_interval=interval
    )
    return self_composed(one, releases)


def self_composed(one: Any, steps: int) -> Any:
    """The privacy loss of so many steps, in two stages where they are many.

    dp-accounting raises an integer to the power of the steps, which takes longer than the rest.
    """
    if steps <= AT_ONCE:
        return one.self_compose(steps)
    stage = math.isqrt(steps)
    rounds, rest = divmod(steps, stage)
    most = one.self_compose(stage).self_compose(rounds)
    return most.compose(one.self_compose(rest)) if rest else most
