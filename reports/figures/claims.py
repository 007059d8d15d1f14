"""Claimed against empirical epsilon as plain data: what canaries showed of what was promised."""

from collections.abc import Sequence
from dataclasses import dataclass

from reports.figures.naming import joined, level_text
from reports.figures.settings import settings_of
from reports.records import CellResult

UNIT = {"records": "record", "clients": "client", "texts": "text"}
"""The unit of privacy that canaries of a kind speak of."""


@dataclass(frozen=True)
class Shown:
    """One audited training: its epsilon as claimed, and the lower bound that canaries show."""

    series: str
    level: str
    seed: str
    claimed: float
    bound: float
    canaries: int
    fault: str = ""


@dataclass(frozen=True)
class ClaimsPanel:
    """The trainings whose canaries are of one unit."""

    unit: str
    points: tuple[Shown, ...]


@dataclass(frozen=True)
class ClaimsFigure:
    """Of one task: a panel per unit. confidence: of every bound; unclaimed: no epsilon to hold.

    order: as `naming.mark_of` has it.
    """

    task: str
    panels: tuple[ClaimsPanel, ...]
    confidence: float
    unclaimed: tuple[str, ...] = ()
    order: tuple[str, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The series of all panels, a mark each."""
        return tuple(dict.fromkeys(each.series for panel in self.panels for each in panel.points))


def claims_data(records: Sequence[CellResult], task: str) -> ClaimsFigure | None:
    """What live audits showed of a task's trainings; None where none had canaries and a claim.

    The bound is the last one of its training: it holds at any time.
    """
    found: dict[str, list[Shown]] = {}
    settings = settings_of(records, task)
    names = {cell.cell: (each.series, each.level) for each in settings for cell in each.cells}
    unclaimed, confidences = [], []
    for record in records:
        bound = last(record, "bound")
        if record.labels["task"] != task or bound is None:
            continue
        labels, audit = record.labels, record.audit
        own = names.get(record.cell, (labels["defence"], level_text(labels["level"])))
        confidences.append(1 - float(audit["significance"]))
        if audit["claimed"] is None:
            unclaimed.append(joined(own))
            continue
        kind, count = str(audit["shown"]["kind"]), int(audit["shown"]["canaries"])
        shown = Shown(*own, labels["seed"], float(audit["claimed"]), bound, count, audit["fault"])
        found.setdefault(UNIT.get(kind, kind), []).append(shown)
    if not found:
        return None
    panels = tuple(ClaimsPanel(unit, tuple(points)) for unit, points in found.items())
    return ClaimsFigure(task, panels, min(confidences), tuple(dict.fromkeys(unclaimed)))


def last(record: CellResult, name: str) -> float | None:
    """The last value of one name in a record's live audit; None without any."""
    points = record.audit.get("points", [])
    known = [float(each[name]) for each in points if each.get(name) is not None]
    return known[-1] if known else None


def describe_claims(data: ClaimsFigure) -> str:
    """The figure in words, for those who cannot see it."""
    parts = [f"Claimed epsilon against what canaries showed at least, for {data.task}."]
    for panel in data.panels:
        points = "; ".join(
            f"{joined((each.series, each.level))}, seed {each.seed}: claimed {each.claimed:.3g}, "
            f"at least {each.bound:.3g} by {each.canaries} canaries"
            + (f" (stopped: {each.fault})" if each.fault else "")
            for each in panel.points
        )
        parts.append(f"Unit {panel.unit}: {points}.")
    parts.append(f"Each bound holds with confidence {100 * data.confidence:g} % over all rounds.")
    if data.unclaimed:
        parts.append(f"Nothing is claimed by {', '.join(data.unclaimed)}.")
    return " ".join(parts)
