"""The quantile of Student's t against scipy's."""

import pytest
from scipy import stats

from reports.student import quantile


@pytest.mark.parametrize("degrees", [1, 2, 3, 4, 5, 9, 10, 31, 100])
def test_quantiles_are_those_of_scipy(degrees: int) -> None:
    for confidence in (0.01, 0.5, 0.9, 0.95, 0.999):
        expected = stats.t.ppf(0.5 + confidence / 2, degrees)
        assert quantile(confidence, degrees) == pytest.approx(expected, rel=1e-11)


def test_what_has_no_quantile_is_refused() -> None:
    for confidence, degrees in ((0.0, 3), (1.0, 3), (0.95, 0)):
        with pytest.raises(ValueError, match="expected 0 < confidence"):
            quantile(confidence, degrees)
