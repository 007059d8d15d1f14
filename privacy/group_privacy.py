"""Group privacy: what a guarantee for one record says of a person with several."""

import math
from dataclasses import replace
from typing import TypeVar

from privacy.guarantee import (
    SEVERAL_RECORDS,
    Entry,
    Guarantee,
    MetricGuarantee,
    rounded_up,
)

E = TypeVar("E", bound=Entry)


def of_group(epsilon: float, delta: float, count: int) -> tuple[float, float] | None:
    """Return the epsilon and delta for so many units together; None where nothing is left.

    Epsilon is count times as large, delta times the sum of e^(i epsilon) for i below count.

    Reference: Vadhan (2017), The complexity of differential privacy, lemma 2.2.

    >>> of_group(0.5, 0.0, 3)
    (1.5, 0.0)
    >>> of_group(8.0, 1e-5, 7) is None
    True
    """
    together = count * epsilon
    try:
        times = math.expm1(together) / math.expm1(epsilon) if epsilon > 0 else float(count)
    except OverflowError:
        times = math.inf
    spent = delta * times if delta > 0 else 0.0
    return (together, spent) if spent < 1 else None


def for_persons(entry: E, rows: int | None) -> E:
    """Return a claim that says what it holds for a person with up to so many records.

    Its unit stays what it is. Nothing is added where nobody told whose the records are (None), nor
    to a claim for clients, which hold persons whole. The curve of a claim is left out where persons
    have several records: attacks then tell persons, of whom it says nothing.
    """
    if rows is None or not isinstance(entry, Guarantee | MetricGuarantee) or entry.unit == "client":
        return entry
    others = tuple(each for each in entry.exclusions if each != SEVERAL_RECORDS)
    told = _person(entry, rows)
    found = replace(entry, exclusions=(told, *others) if told else others)
    return replace(found, tradeoff=None) if isinstance(found, Guarantee) and rows > 1 else found


def _person(entry: Guarantee | MetricGuarantee, rows: int) -> str:
    """Return what the claim leaves uncovered of a person; nothing of one with one record."""
    if entry.unit == "token":
        return "a person as a whole, whose texts have many tokens"
    if rows == 1:
        return ""
    whole = f"a person as a whole, who may have {rows} records"
    if isinstance(entry, MetricGuarantee):
        return whole
    left = of_group(entry.epsilon, entry.delta, rows)
    if left is None:
        return f"{whole}, for whom group privacy leaves no guarantee"
    epsilon, delta = map(rounded_up, left)
    return f"{whole}, for whom group privacy leaves epsilon {epsilon} and delta {delta}"
