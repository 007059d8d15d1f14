"""Averages over seeds: one number with an interval that owns up to both errors."""

import math
from collections.abc import Sequence

from reports import metrics, student
from reports.estimate import Estimate


def mean_estimate(estimates: Sequence[Estimate], metric: str) -> Estimate:
    """The mean over seeds; a single estimate comes back as it is.

    The interval adds two errors in quadrature: Student's t over the seeds, and the mean half-width
    of the runs' own intervals (the seeds may share their evaluation data, so their spread alone
    would leave that error out). It is cut at the metric's bounds. `n` counts seeds.

    >>> both = [Estimate(0.8, 0.8, 0.8, n=9), Estimate(0.8, 0.8, 0.8, n=9)]
    >>> mean_estimate(both, "accuracy").n
    2
    """
    if len(estimates) == 1:
        return estimates[0]
    count = len(estimates)
    confidence = min(each.confidence for each in estimates)
    mean = math.fsum(each.value for each in estimates) / count
    variance = math.fsum((each.value - mean) ** 2 for each in estimates) / (count - 1)
    spread = student.quantile(confidence, count - 1) * math.sqrt(variance / count)
    below = math.fsum(each.value - each.low for each in estimates) / count
    above = math.fsum(each.high - each.value for each in estimates) / count
    low, high = mean - math.hypot(spread, below), mean + math.hypot(spread, above)
    if metric in metrics.METRICS:
        low, high = metrics.metric(metric).clamp(low), metrics.metric(metric).clamp(high)
    methods = sorted({each.method for each in estimates if each.method})
    own = f" ({'; '.join(methods)})" if methods else ""
    return Estimate(
        value=mean,
        low=min(low, mean),
        high=max(high, mean),
        n=count,
        confidence=confidence,
        method=f"mean of {count} seeds; Student's t over seeds and the runs' own intervals{own}, "
        "added in quadrature",
    )


def mean(values: Sequence[float]) -> float | None:
    """The plain mean; None of nothing."""
    return math.fsum(values) / len(values) if values else None
