"""Event behind a claim of a manifest: what the recorded costs say that was spent on it."""

from dataclasses import dataclass
from typing import Any

from evaluation.auditing.subject import Subject
from evaluation.grid.defence import SPEAKS_FOR
from fedbert.setting_types import ONE_MESSAGE
from privacy.events import Event
from privacy.mechanism import Cost
from privacy.message_claims import together


@dataclass(frozen=True)
class Spent:
    """An event, how often it took place, and where its mechanism acts."""

    event: Event
    releases: int
    place: str


def spent_on(subject: Subject, claim: dict[str, Any]) -> Spent | None:
    """Return what stands behind a claim by the recorded costs; None for nothing."""
    checkpoint = subject.checkpoint
    if checkpoint is None:
        return None
    costs: list[dict[str, Any]] = checkpoint.manifest["costs"]
    if checkpoint.config.training.strategy == ONE_MESSAGE:
        return _on_messages(costs, claim["unit"], checkpoint.config.message.labels)
    for cost in costs:
        if claim["view"] in _views(cost) and cost["unit"] == claim["unit"]:
            return _of(cost)
    return None


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
