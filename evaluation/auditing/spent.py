"""Event behind a claim of a manifest: what the recorded costs say that was spent on it."""

from dataclasses import dataclass, replace
from typing import Any

from evaluation.auditing.subject import Subject
from evaluation.grid.asked import SPEAKS_FOR
from evaluation.grid.defence_file import selection_of
from fedbert.setting_types import ONE_MESSAGE
from privacy.composed import Part
from privacy.events import Event
from privacy.mechanism import Cost
from privacy.message_claims import together
from privacy.selection import Selection
from privacy.users import OF_USERS


@dataclass(frozen=True)
class Spent:
    """An event, how often it took place, where its mechanism acts, and for how many records.

    records: of one user, where the claim is about users. chosen: the claim is about the best of so
    many trainings, of which this is what one spent.
    """

    event: Event
    releases: int
    place: str
    records: int = 1
    chosen: Selection | None = None

    @property
    def part(self) -> Part:
        """What was spent, to be composed."""
        return Part(self.event, self.releases, self.records)


def spent_on(subject: Subject, claim: dict[str, Any]) -> Spent | None:
    """Return what stands behind a claim by the recorded costs; None for nothing."""
    checkpoint = subject.checkpoint
    if checkpoint is None:
        return None
    config = checkpoint.config
    labels = config.message.labels if config.training.strategy == ONE_MESSAGE else None
    count = config.data.records_per_user
    found = spent_of(checkpoint.manifest["costs"], claim, labels, count)
    chosen = checkpoint.manifest["defence"].get("chosen_among")
    if found is None or chosen is None:
        return found
    return replace(found, chosen=selection_of(chosen))


def spent_of(
    costs: list[dict[str, Any]], claim: dict[str, Any], labels: str | None, count: int | None
) -> Spent | None:
    """Return what stands behind a claim by costs; None for nothing.

    labels: where those of a training by one message go; None for any other training. count: the
    most records of one user, where somebody states it.
    """
    unit = claim["unit"]
    if unit == "user" and count is None:
        return None
    units = OF_USERS if unit == "user" else (unit,)
    found = None
    if labels is not None:
        found = _on_messages(costs, "record" if unit == "user" else unit, labels)
    else:
        own = (c for c in costs if claim["view"] in _views(c) and c["unit"] in units)
        found = next(map(_of, own), None)
    if found is None or unit != "user" or count is None:
        return found
    return replace(found, records=count)


def _of(cost: dict[str, Any]) -> Spent:
    return Spent(Cost.from_json(cost).event, cost["releases"], cost["place"])


def _on_messages(costs: list[dict[str, Any]], unit: str, labels: str) -> Spent | None:
    """Return what messages cost a record, their labels included; or labels alone: for all views."""
    spent = {cost["place"]: _of(cost) for cost in costs}
    message, label = spent.get("smashed"), spent.get("labels")
    if unit == "label":
        return label
    if unit != "record" or message is None or labels == "within":
        return message if unit == "record" else None
    event = None if label is None else together(message.event, label.event)
    if event is None or label is None:
        return None
    return Spent(event, max(message.releases, label.releases), "smashed")


def _views(cost: dict[str, Any]) -> tuple[str, ...]:
    return (*SPEAKS_FOR.get(cost["place"], ()), "aggregator" if cost["place"] == "update" else "")
