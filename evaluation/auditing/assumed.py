"""Mechanism assumed behind a claim, and how well its neighbours can be told apart."""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr, ndtri

from fedbert.errors import expect
from privacy.calibration import gaussian_sigma, poisson_noise_multiplier
from privacy.one_message import message_multiplier
from privacy.tradeoff import Curve, gaussian_curve, message_curve, poisson_gaussian_curve

Sampling = tuple[float, int] | float
"""Of DP-SGD: the chance of a record at a step, and how many steps. Of a message with its label:
the label's epsilon.
"""


@dataclass(frozen=True)
class Assumed:
    """The mechanism behind a claim of this epsilon: its name, its curve, and mu if Gaussian."""

    name: str
    curve: Curve
    mu: float | None

    def tpr_at(self, fprs: np.ndarray) -> np.ndarray:
        """Return the true-positive rates [rate] that are to be expected at false-positive rates."""
        if self.mu is not None:
            return np.asarray(ndtr(ndtri(fprs) + self.mu))
        return np.array([self.curve.tpr_at(float(each)) for each in fprs])


def assumed(epsilon: float, delta: float, sampling: Sampling | None = None) -> Assumed:
    """Return the mechanism of a claim: that of this sampling, else a Gaussian one.

    Raises:
        InputError: for a sampling out of range.
    """
    if sampling is None:
        mu = 1 / gaussian_sigma(epsilon, delta, 1.0)
        return Assumed("Gaussian", gaussian_curve(1 / mu), mu)
    if not isinstance(sampling, tuple):
        own = f"0 < label_epsilon < epsilon ({epsilon:g})"
        expect(0 < sampling < epsilon, own, "label_epsilon", sampling)
        multiplier = message_multiplier(epsilon, delta, sampling)
        return Assumed("a message with its label", message_curve(multiplier, sampling), None)
    rate, steps = sampling
    expect(0 < rate <= 1, "0 < sample_rate <= 1", "sample_rate", rate)
    expect(steps >= 1, "steps >= 1", "steps", steps)
    noise = poisson_noise_multiplier(epsilon, delta, rate, steps)
    return Assumed("DP-SGD", poisson_gaussian_curve(noise, rate, steps), None)
