"""Student's t: its quantile in closed form for whole degrees of freedom, without scipy's start-up.

Source: Abramowitz and Stegun (1964), 26.7.3 and 26.7.4.
"""

import math


def quantile(confidence: float, degrees: int) -> float:
    """The t beyond which, on both sides together, lies 1 - `confidence`.

    >>> round(quantile(0.95, 1), 3), round(quantile(0.95, 2), 3), round(quantile(0.9, 30), 3)
    (12.706, 4.303, 1.697)

    Raises: ValueError unless 0 < confidence < 1 and degrees >= 1.
    """
    if not (0 < confidence < 1 and degrees >= 1):
        raise ValueError(f"expected 0 < confidence < 1, degrees >= 1, got {confidence}, {degrees}")
    low, high = 0.0, math.pi / 2
    while low < (middle := (low + high) / 2) < high:
        if _between(middle, degrees) < confidence:
            low = middle
        else:
            high = middle
    return math.sqrt(degrees) * math.tan(middle)


def _between(angle: float, degrees: int) -> float:
    """The probability of |t| < sqrt(degrees) tan(angle)."""
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = degrees % 2
    term, terms = cosine if odd else 1.0, []
    for each in range(2 + odd, degrees + 1, 2):
        terms.append(term)
        term *= (each - 1) / each * cosine**2
    series = sine * math.fsum(terms)
    return 2 / math.pi * (angle + series) if odd else series
