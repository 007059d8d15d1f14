"""Estimates widened to hold with others: never less than the exact interval at that confidence."""

import numpy as np
import pytest

from evaluation.metrics.intervals import clopper_pearson, share
from reports.estimate import Estimate


@pytest.mark.parametrize("n", [20, 64, 400, 5000])
@pytest.mark.parametrize("numbers", [2, 20, 200, 5000])
def test_rates_keep_their_confidence_near_nought_too(n: int, numbers: int) -> None:
    """Of 0 of 64 the upper end among 200 numbers is .13; growth by normal quantiles has .10."""
    for hits in np.unique([*range(min(n, 25)), n // 4, n // 2, n - n // 20, n - 1, n]).tolist():
        low, high = clopper_pearson(hits, n)
        wide = Estimate(hits / n, low, high, n).widened(numbers)
        exact = clopper_pearson(hits, n, wide.confidence)
        assert wide.low <= exact[0] + 1e-9 and exact[1] <= wide.high + 1e-9, (hits, wide, exact)
        longer = max(hits / n - exact[0], exact[1] - hits / n)
        assert max(wide.high - wide.value, wide.value - wide.low) <= 1.6 * longer


def test_even_intervals_grow_as_a_normal_distribution_does() -> None:
    wide = Estimate(0.0, -1.959964, 1.959964, 9).widened(5)
    assert wide.high == pytest.approx(2.575829) == -wide.low and wide.confidence == 0.99
    assert Estimate(0.5, 0.5, 0.5, 9).widened(7).low == 0.5
    assert share(0, 10).widened(1) == share(0, 10)
