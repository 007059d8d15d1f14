"""Estimates: measured numbers, each with the interval that it comes with."""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

from reports import checks


@dataclass(frozen=True)
class Estimate:
    """A measured number with the interval that it comes with.

    `n` counts what was judged (examples, tokens, candidates); `method` says how the interval was
    made.

    Raises: ValueError unless low <= value <= high, all finite, n >= 1 and 0 < confidence < 1.

    >>> Estimate(0.8, 0.7, 0.9, n=100).value
    0.8
    """

    value: float
    low: float
    high: float
    n: int
    confidence: float = 0.95
    method: str = ""

    def __post_init__(self) -> None:
        """Refuses what is no estimate."""
        for name in ("value", "low", "high", "confidence"):
            number = checks.number(getattr(self, name), f"estimate.{name}")
            object.__setattr__(self, name, number)
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"expected low <= value <= high, "
                f"got low={self.low}, value={self.value}, high={self.high}"
            )
        checks.count(self.n, "n", 1)
        if not 0 < self.confidence < 1:
            raise ValueError(f"expected 0 < confidence < 1, got confidence={self.confidence}")
        checks.text(self.method, "estimate.method", empty=True)

    def widened(self, numbers: int) -> "Estimate":
        """The same number, its interval to hold together with those of so many numbers in all.

        Bonferroni: each has 1 / `numbers` of the allowed error. Half-widths grow as a normal
        distribution's do; the longer of two unequal ones, as that of a rate near 0, as far towards
        the growth of an exponential tail as they are unequal.

        >>> Estimate(0.5, 0.4, 0.6, n=100).widened(1).low
        0.4
        """
        if numbers == 1:
            return self
        error = (1 - self.confidence) / 2
        normal, below, above = NormalDist(), self.value - self.low, self.high - self.value
        least = normal.inv_cdf(1 - error / numbers) / normal.inv_cdf(1 - error)
        most = math.log(error / numbers) / math.log(error)

        def grown(half: float, other: float) -> float:
            even = min(1.0, (other / half) ** 2) if half > 0 else 1.0
            return half * (least + (most - least) * (1 - even))

        return replace(
            self,
            low=self.value - grown(below, above),
            high=self.value + grown(above, below),
            confidence=1 - 2 * error / numbers,
        )

    def less(self, constant: float) -> "Estimate":
        """The difference from a constant, with the same interval around it.

        >>> Estimate(0.75, 0.5, 1.0, n=100).less(0.25).low
        0.25
        """
        ends = {name: getattr(self, name) - constant for name in ("value", "low", "high")}
        return replace(self, **ends)

    def to_json(self) -> dict[str, Any]:
        """The estimate as plain JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "Estimate":
        """The estimate that `to_json` wrote; ValueError for anything else."""
        names = tuple(each.name for each in dataclasses.fields(cls))
        if not isinstance(values, Mapping) or not set(values) <= set(names):
            raise ValueError(f"expected an estimate with {', '.join(names)}, got {values!r}")
        checks.has_keys(values, names[:4], "an estimate")
        return cls(**values)
