"""Worst case per person: what a claim about one unit leaves of somebody with several of them."""

from dataclasses import dataclass
from typing import Any

from reports.disclosure.facts import Disclosure
from reports.tradeoff import Allowed

COUNTS = (2, 5, 10)
"""Records of one person that are told of, where nobody stated how many there are."""
ONE = ("record", "sequence")
ADVICE = "the stated number of records per person (records_per_user) gives a claim of its own"


@dataclass(frozen=True)
class Person:
    """What whoever has the released model finds of a person at most, by the claim's own curve.

    records: how many the person has; None for a unit that holds all of them, as a client.
    """

    records: int | None
    unit: str
    allows: Allowed


def persons(found: Disclosure) -> list[Person]:
    """Persons with one unit and with several; none where nothing is claimed with a curve.

    A claim about users (`records_per_user`) stands for itself. Else the curve of one record is
    passed through itself once for each further one (Dong, Roth, Su 2022, theorem 2.14).
    """
    made = []
    for promise in found.released.promises:
        if not promise.claimed or promise.allows is None:
            continue
        unit, allows = str(promise.entry["unit"]), promise.allows
        if unit in ONE:
            made.append(Person(1, unit, allows))
            made += [Person(count, unit, allows.of_group(count)) for count in COUNTS]
        elif unit in ("user", "client"):
            stated = found.part("data").get("records_per_user") if unit == "user" else None
            made.append(Person(stated, unit, allows))
    return made


def as_json(person: Person, rates: tuple[float, ...]) -> dict[str, Any]:
    """A person's worst case as plain JSON."""
    return {
        "records": person.records,
        "unit": person.unit,
        "tpr_at": {f"{rate:g}": person.allows.tpr_at(rate) for rate in rates},
        "advantage": person.allows.advantage,
    }
