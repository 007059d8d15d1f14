"""Bytes and seconds against utility as plain data: what each setting sent and how long it took."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from reports.comparison import sentence
from reports.estimate import Estimate
from reports.faults import fault
from reports.figures.naming import joined
from reports.figures.settings import Setting, settings_of
from reports.figures.utility import axis_title
from reports.records import CellResult
from reports.wording import duration, size

TRAINED = "train"
"""The phase whose seconds are a setting's own; where it is not told apart, all phases count."""


@dataclass(frozen=True)
class Spent:
    """One setting: its utility; bytes sent and seconds, (median, least, greatest) over seeds:
    the first of a process fills what the others find."""

    series: str
    level: str
    utility: Estimate
    bytes: tuple[float, float, float] | None
    seconds: tuple[float, float, float] | None


@dataclass(frozen=True)
class CostFigure:
    """One task; baseline: the majority class. order: as `naming.mark_of` has it."""

    task: str
    vertical: str
    points: tuple[Spent, ...]
    baseline: float | None
    notice: str = ""
    order: tuple[str, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The series, a mark each."""
        return tuple(dict.fromkeys(point.series for point in self.points))

    @property
    def parts(self) -> tuple[str, ...]:
        """Which of bytes and seconds any setting has."""
        names = ("bytes", "seconds")
        return tuple(n for n in names if any(getattr(point, n) for point in self.points))


def cost_data(records: Sequence[CellResult], task: str) -> CostFigure | None:
    """What a task's settings sent and took; None where no setting has a utility and a cost."""
    settings = [each for each in settings_of(records, task) if each.row.utility is not None]
    points = [point for each in settings if (point := _spent(each)) is not None]
    if not points:
        return None
    rows = [each.row for each in settings]
    baseline = next((x for row in rows if (x := row.majority_baseline) is not None), None)
    return CostFigure(task, axis_title(rows[0].metric), tuple(points), baseline, fault(rows))


def describe_cost(data: CostFigure) -> str:
    """The figure in words, for those who cannot see it."""
    parts = [*sentence(data.notice)]
    parts.append(f"Bytes sent and seconds of training for {data.task}: {data.vertical}.")
    for point in data.points:
        sent = size(point.bytes[0] if point.bytes else None)
        took = duration(point.seconds[0] if point.seconds else None)
        name = joined((point.series, point.level))
        parts.append(f"{name}: {sent}, {took}, utility {point.utility.value:.3g}.")
    return " ".join(parts)


def _spent(each: Setting) -> Spent | None:
    sent = [float(sum(cell.bytes.values())) for cell in each.cells if cell.bytes]
    took = [
        float(cell.seconds.get(TRAINED, math.fsum(cell.seconds.values())))
        for cell in each.cells
        if cell.seconds
    ]
    sent, took = [x for x in sent if x > 0], [x for x in took if x > 0]
    if each.row.utility is None or not (sent or took):
        return None
    return Spent(each.series, each.level, each.row.utility, _range(sent), _range(took))


def _range(values: Sequence[float]) -> tuple[float, float, float] | None:
    return (median(values), min(values), max(values)) if values else None
