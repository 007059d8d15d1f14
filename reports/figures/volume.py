"""Frontiers and their hypervolume as plain data, one panel for each unit of privacy."""

from collections.abc import Sequence
from dataclasses import dataclass

from reports import metrics
from reports.checks import UNITS, VIEWS
from reports.comparison import sentence
from reports.estimate import Estimate
from reports.figures.frontier import frontier
from reports.figures.settings import Setting, caution, numbers_of, settings_of, worst_on
from reports.figures.utility import axis_title
from reports.frontier.answer import baseline_of
from reports.records import CellResult
from reports.wording import interval


@dataclass(frozen=True)
class Spot:
    """One setting: leakage above chance and utility, (value, low, high) each.

    claimed: it has a guarantee in the panel's unit; others are shown for comparison.
    """

    series: str
    level: str
    leakage: tuple[float, float, float]
    utility: tuple[float, float, float]
    claimed: bool


@dataclass(frozen=True)
class FrontPanel:
    """The settings that claim something for one unit, their frontier, and its hypervolume.

    volume: the share of the box between (chance, best utility) and (everything read, constant
    answer) that lies behind the frontier; None without a constant answer to count from.
    """

    unit: str
    spots: tuple[Spot, ...]
    line: tuple[tuple[float, float], ...]
    volume: Estimate | None


@dataclass(frozen=True)
class FrontFigure:
    """The frontiers of one task; baseline: what is reached without the text.

    order: as `naming.mark_of` has it.
    """

    task: str
    vertical: str
    panels: tuple[FrontPanel, ...]
    baseline: float | None
    notice: str = ""
    order: tuple[str, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The series of all panels, a mark each."""
        return tuple(dict.fromkeys(spot.series for panel in self.panels for spot in panel.spots))


def front_data(records: Sequence[CellResult], task: str) -> FrontFigure | None:
    """The frontiers of a task's settings; None where no setting with a guarantee has both numbers.

    Utility is the headline metric, of which more has to be better; leakage the worst attack on any
    view. The intervals hold together for all numbers of the figure (Bonferroni).
    """
    settings = [each for each in settings_of(records, task) if each.row.utility is not None]
    if not settings or not _rises(settings[0].row.metric):
        return None
    numbers = numbers_of(settings) + len(settings)
    found = [(each, spot) for each in settings if (spot := _spot(each, numbers)) is not None]
    baseline = next((x for each in settings if (x := baseline_of(each.row)) is not None), None)
    best = metrics.metric(settings[0].row.metric).high or 1.0
    panels = []
    for unit in UNITS:
        own = [spot for each, spot in found if unit in each.row.units]
        if own:
            others = [_bare(spot) for each, spot in found if not each.row.units]
            line = frontier([(spot.leakage[0], spot.utility[0]) for spot in own])
            volume = None if baseline is None else _volume(own, baseline, best)
            panels.append(FrontPanel(unit, (*others, *own), line, volume))
    if not panels:
        return None
    metric, notice = settings[0].row.metric, caution(settings)
    return FrontFigure(task, axis_title(metric), tuple(panels), baseline, notice)


def hypervolume(points: Sequence[tuple[float, float]], baseline: float, best: float = 1.0) -> float:
    """The share of the box of leakage 0 to 1 and utility `baseline` to `best` behind the frontier.

    points: (leakage, utility). What leaks more or is worth less than a point lies behind it.

    Reference: Zitzler and Thiele (1998).

    >>> hypervolume([(0.0, 1.0)], 0.5), hypervolume([(0.5, 0.75)], 0.5)
    (1.0, 0.25)
    """
    area, edge = 0.0, baseline
    for leakage, utility in frontier(points):
        height = min(utility, best)
        if height > edge:
            area += (1 - min(max(leakage, 0.0), 1.0)) * (height - edge)
            edge = height
    return area / (best - baseline)


def describe_front(data: FrontFigure) -> str:
    """The figure in words, for those who cannot see it."""
    parts = [*sentence(data.notice)]
    parts.append(
        f"Frontiers for {data.task}: {data.vertical} against the worst attack's share of what lies "
        "above chance, a panel per unit of privacy."
    )
    for panel in data.panels:
        spots = "; ".join(
            f"{spot.series}{f', {spot.level}' if spot.level else ''}: leakage "
            f"{spot.leakage[0]:.3g}, utility {spot.utility[0]:.3g}"
            for spot in panel.spots
            if spot.claimed
        )
        volume = f" Hypervolume {interval(panel.volume)}." if panel.volume else ""
        parts.append(f"Unit {panel.unit}: {spots}.{volume}")
    return " ".join(parts)


def _volume(spots: Sequence[Spot], baseline: float, best: float) -> Estimate:
    """The hypervolume; its ends are those of every point at its best and at its worst corner."""
    corners = [
        [(spot.leakage[i], spot.utility[j]) for spot in spots] for i, j in ((0, 0), (2, 1), (1, 2))
    ]
    value, low, high = (hypervolume(each, baseline, best) for each in corners)
    method = "all points at their worst and at their best, whose intervals hold together"
    return Estimate(value, min(low, value), max(high, value), len(spots), 0.95, method)


def _rises(metric: str) -> bool:
    known = metrics.METRICS.get(metric)
    return known is not None and known.better == "higher"


def _spot(each: Setting, numbers: int) -> Spot | None:
    worst, utility = worst_on(each, VIEWS, numbers), each.row.utility
    if worst is None or utility is None:
        return None
    wide = utility.widened(numbers)
    leakage = worst.value, worst.low, worst.high
    return Spot(each.series, each.level, leakage, (wide.value, wide.low, wide.high), True)


def _bare(spot: Spot) -> Spot:
    return Spot(spot.series, spot.level, spot.leakage, spot.utility, False)
