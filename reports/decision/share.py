"""Share of a gain that is kept: a ratio of two measured gains, with the interval that it has."""

import math
from collections.abc import Sequence

from reports.comparison import gain
from reports.estimate import Estimate
from reports.records import CellResult

METHOD = "ratio of mean gains over seeds; errors of both added in quadrature"


def gained(seeds: Sequence[CellResult], metric: str, numbers: int) -> Estimate | None:
    """What trainings that differ in their seed alone gain over the baseline.

    The mean over seeds of value and ends, each seed's interval made to hold together with those of
    `numbers` in all: where all hold, so does the mean of the trainings that were run, whatever they
    have to do with each other. None where a seed has no gain or nobody knows the baseline.
    """
    found = [gain(record, metric) for record in seeds if record.status == "done"]
    known = [each.widened(numbers) for each in found if each is not None]
    if not known or len(known) < len(found):
        return None
    value, low, high = (
        math.fsum(ends) / len(known)
        for ends in zip(*((each.value, each.low, each.high) for each in known), strict=True)
    )
    confidence = min(each.confidence for each in known)
    return Estimate(value, low, high, min(each.n for each in known), confidence)


def share(part: Estimate, whole: Estimate) -> Estimate | None:
    """The ratio of two gains; None where the whole's interval does not lie above 0.

    The limits are those ratios s at which the interval of part - s * whole ends at 0, where that
    interval's ends are the distances of both estimates' own ends, added in quadrature (MOVER, Zou
    and Donner 2008; of ratios Donner and Zou 2012). That supposes errors which are independent, or
    go together, as those of two trainings judged on the same examples do.

    >>> half = share(Estimate(0.1, 0.08, 0.12, n=9), Estimate(0.2, 0.2, 0.2, n=9))
    >>> [round(x, 3) for x in (half.value, half.low, half.high)]
    [0.5, 0.4, 0.6]
    """
    if whole.low <= 0:
        return None
    below, above = part.value - part.low, part.high - part.value
    less, more = whole.value - whole.low, whole.high - whole.value
    low = _limit(part.value, below, whole.value, more if part.low >= 0 else less, -1)
    high = _limit(part.value, above, whole.value, less if part.high >= 0 else more, 1)
    value = part.value / whole.value
    confidence = min(part.confidence, whole.confidence)
    n = min(part.n, whole.n)
    return Estimate(value, min(low, value), max(high, value), n, confidence, METHOD)


def _limit(part: float, half: float, whole: float, other: float, sign: int) -> float:
    """The s at which (part - s whole)^2 = half^2 + s^2 other^2, below the ratio or above it.

    sign: -1 for the one below, 1 for the one above. Where the leading term vanishes, or is
    negative, the root is taken by the other one, which does not need it.
    """
    lead, last = whole**2 - other**2, part**2 - half**2
    root = math.sqrt(max(0.0, (part * whole) ** 2 - lead * last))
    here, there = part * whole + sign * root, part * whole - sign * root
    if abs(there) > abs(here):
        return last / there
    return here / lead
