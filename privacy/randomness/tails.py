"""Tails of drawn noise: the largest value, the mass beyond it, and what that adds to delta."""

import math
from typing import Literal, get_args

from scipy.special import gammaincc, ndtr, ndtri_exp

from privacy.checks import one_of, positive, whole

TAIL_LOG = -10.0 * math.log(2.0)  # both edges, as the log of a one-sided probability
DIGITS, STAGES = 53, 32
# The smallest uniform of `log_uniform`: every stage came out as zeros, and the least mantissa.
LEAST_LOG = -(STAGES * DIGITS + 1) * math.log(2.0)
TailKind = Literal["gaussian", "laplace"]
TAIL_KINDS: tuple[TailKind, ...] = get_args(TailKind)


def largest(kind: TailKind) -> float:
    """Return the largest |value| that can be drawn, in standard deviations or Laplace scales.

    It is the transform's value at the smallest probability that its words can spell.

    >>> round(largest("gaussian"), 3), round(largest("laplace"), 3)
    (48.547, 1183.202)

    Reference: `transforms`; the words themselves are counted as random.
    """
    one_of("kind", kind, TAIL_KINDS)
    if kind == "gaussian":
        return float(-ndtri_exp(TAIL_LOG + LEAST_LOG))
    return -(TAIL_LOG + LEAST_LOG)


def tail_mass(kind: TailKind, shift: float = 0.0) -> float:
    """Return the probability of a value beyond what a neighbour `shift` away can ever draw.

    shift: in standard deviations (Gaussian) or scales (Laplace). 0.0 where it lies below the
    smallest float64.

    >>> tail_mass("gaussian", 40.0) < 1e-16 < tail_mass("gaussian", 42.0)
    True
    """
    if not (shift >= 0 and math.isfinite(shift)):
        raise ValueError(f"expected a finite shift >= 0, got shift={shift}")
    reach, far = largest(kind) - shift, largest(kind) + shift
    if kind == "gaussian":
        return float(ndtr(-reach) + ndtr(-far))
    near = 0.5 * math.exp(-reach) if reach >= 0 else 1.0 - 0.5 * math.exp(reach)
    return near + 0.5 * math.exp(-far)


def tail_delta(kind: TailKind, releases: int, values: int, shift: float) -> float:
    """Return what the cut tails add to delta: releases x values x the mass beyond the tail.

    An outcome is impossible under the neighbour only where one of its values lies beyond the
    neighbour's reach. shift: the sensitivity over the standard deviation (Gaussian) or over the
    scale (Laplace); no single value is shifted by more.

    >>> tail_delta("gaussian", releases=1000, values=400_000, shift=1 / 0.6)
    0.0

    Raises:
        ValueError: releases or values that are no integers >= 0, a shift that is negative.
    """
    whole("releases", releases)
    whole("values", values)
    return min(1.0, releases * values * tail_mass(kind, shift))


def gamma_tail_mass(alpha: float, shift: float = 0.0) -> float:
    """Return the probability of a Gamma radius beyond the largest one less `shift` (rate 1).

    For the length of metric noise, whose two inputs lie `shift` apart times its rate.

    >>> gamma_tail_mass(768.0, shift=100.0)
    0.0
    """
    positive("alpha", alpha)
    if not shift >= 0:
        raise ValueError(f"expected shift >= 0, got shift={shift}")
    third = alpha - 1.0 / 3.0
    reach = third * (1.0 + largest("gaussian") / math.sqrt(9.0 * third)) ** 3
    return float(gammaincc(alpha, max(0.0, reach - shift)))


def why_below_floor(delta: float, floor: float) -> str:
    """Return why a claim at this delta does not stand, or "" where it does.

    A claim of delta 0 stands on a floor that lies below the smallest float64.

    >>> why_below_floor(1e-9, 2e-5)
    'expected delta > 2e-05, which the cut tails of the noise take alone, got delta=1e-09'
    >>> why_below_floor(1e-5, 1e-300), why_below_floor(0.0, 0.0)
    ('', '')
    """
    if delta > floor or floor == 0.0:
        return ""
    return (
        f"expected delta > {floor:.3g}, which the cut tails of the noise take alone, "
        f"got delta={delta:g}"
    )
