"""Two-sided tests of noise: each accepts what is right and can be seen to reject what is not.

Every one of them raises a false alarm with a probability of at most FALSE_ALARM; a test that makes
up to ten of them stays within 1e-4. Seeds are explicit, so what passes once passes always.
"""

import math
from typing import Any

import numpy as np
import torch
from scipy import stats

from tests.privacy.drawn import draws

FALSE_ALARM = 1e-5


def generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise_of(mechanism, seed: int, shape=(40, 500), dtype=torch.float32) -> torch.Tensor:
    """The noise on records that are not zero."""
    records = torch.randn(shape, generator=generator(seed + 1), dtype=dtype)
    return mechanism.add_noise(records, draws(seed)) - records


def likely(statistic: float, law: Any) -> bool:
    """Whether one draw from a law of scipy.stats may be this."""
    return bool(law.ppf(FALSE_ALARM / 2) <= statistic <= law.isf(FALSE_ALARM / 2))


def follows(sample: Any, cdf: Any) -> bool:
    """Whether independent draws fit a distribution function (Kolmogorov-Smirnov)."""
    return bool(stats.kstest(np.asarray(sample).ravel(), cdf).pvalue > FALSE_ALARM)


def gaussian_scale(noise: torch.Tensor, std: float) -> bool:
    """Whether independent normal noise has this standard deviation (chi-square)."""
    return likely(float(noise.double().square().sum()) / std**2, stats.chi2(noise.numel()))


def laplace_scale(noise: torch.Tensor, std: float) -> bool:
    """Whether independent Laplace noise has this standard deviation (a sum of exponentials)."""
    absolute = float(noise.double().abs().sum()) / (std / math.sqrt(2))
    return likely(absolute, stats.gamma(noise.numel()))


def radius_scale(noise: torch.Tensor, eta: float) -> bool:
    """Whether the lengths of the rows are Gamma(row's values, 1 / eta) (their sum)."""
    return likely(float(noise.double().norm(dim=1).sum()) * eta, stats.gamma(noise.numel()))


def correlated(one: torch.Tensor, two: torch.Tensor) -> bool:
    """Whether two samples of as many draws correlate (Pearson, normal approximation).

    For draws that are independent within each sample.
    """
    a, b = (x.double().flatten() - x.double().mean() for x in (one, two))
    score = float((a * b).sum() / (a.norm() * b.norm())) * math.sqrt(a.numel())
    return abs(score) > stats.norm.isf(FALSE_ALARM / 2)


def dependent(one: torch.Tensor, two: torch.Tensor) -> bool:
    """Whether two samples correlate in their values or in their absolute values."""
    return correlated(one, two) or correlated(one.abs(), two.abs())
