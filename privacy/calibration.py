"""The least Gaussian noise that meets a target epsilon and delta."""

import math

from privacy.mechanism import open_unit, positive, whole

# Relative head room over the root search (its tolerance is 1e-12), so that the epsilon of a
# calibrated mechanism never comes out above its target.
MARGIN = 1e-9


def gaussian_sigma(epsilon: float, delta: float, sensitivity: float) -> float:
    """The smallest standard deviation with which Gaussian noise is (epsilon, delta)-DP.

    Guarantee: one release of a function whose L2 sensitivity is `sensitivity`; the relation is
    the one under which that sensitivity holds (clipping to C and replacing one means 2 C). For n
    releases give sensitivity times sqrt(n): the composition of Gaussian releases is exactly that.

    >>> round(gaussian_sigma(8.0, 1e-5, 1.0), 6)
    0.600229

    | input | outcome |
    |---|---|
    | epsilon or sensitivity zero, negative, infinite or NaN | `ValueError` |
    | delta not strictly between 0 and 1 | `ValueError` |

    Raises:
        ValueError: as in the table.

    Reference: Balle and Wang (2018), "Improving the Gaussian mechanism for differential
    privacy", theorem 8. The classic sqrt(2 ln(1.25 / delta)) / epsilon is invalid for epsilon
    above 1 and is not used.
    """
    positive("epsilon", epsilon)
    open_unit("delta", delta)
    positive("sensitivity", sensitivity)
    from dp_accounting import get_sigma_gaussian  # heavy: only when asked

    sigma = float(get_sigma_gaussian(epsilon, delta))
    return sigma * (1.0 + MARGIN) * sensitivity


def noise_multiplier_for(target_epsilon: float, delta: float, releases: int) -> float:
    """The least noise, in sensitivities, for which `releases` Gaussian releases meet the target.

    Raises:
        ValueError: target_epsilon not positive and finite, delta not strictly between 0 and 1,
            or releases not an integer of at least 1.
    """
    positive("target_epsilon", target_epsilon)
    whole("releases", releases)
    positive("releases", releases)
    return gaussian_sigma(target_epsilon, delta, sensitivity=math.sqrt(releases))
