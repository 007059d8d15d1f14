"""Utility against leakage as plain data."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from reports import checks, metrics
from reports.comparison import sentence
from reports.estimate import Estimate
from reports.faults import fault
from reports.figures.naming import named
from reports.leak import Leak
from reports.rows import Row

NO_UNIT = "none"
MANY = 24
"""Of more clients than these a figure names none, and its words tell the totals alone."""


@dataclass(frozen=True)
class Point:
    """One setting: what leaks, what it is worth, and the group (colour) that it belongs to.

    `reference` marks a setting without any guarantee, shown for comparison. series, level: what
    tells the setting from others where marks stand for defences.
    """

    label: str
    group: str
    leakage: Estimate
    utility: Estimate
    reference: bool
    series: str = ""
    level: str = ""


@dataclass(frozen=True)
class Panel:
    """The points that share a unit of privacy, beside the references; `unit` "none": no unit."""

    unit: str
    points: tuple[Point, ...]

    @property
    def title(self) -> str:
        """What the panel holds, in words."""
        if self.unit == NO_UNIT:
            return "settings without a guarantee"
        return f"unit of privacy: {self.unit}" if self.unit else "all settings"


Lines = tuple[tuple[str, float], ...]
"""Values of reference, each with the group that it holds for; "": for all."""


@dataclass(frozen=True)
class LeakageFigure:
    """Utility against leakage for one task: a panel per unit, and the lines of reference.

    notice: which comparisons do not hold, and why; "" where all do. order: as `naming.mark_of` has
    it.
    """

    task: str
    family: str
    utility_metric: str
    panels: tuple[Panel, ...]
    majority: Lines
    chance: Lines
    notice: str = ""
    order: tuple[str, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The series of all panels, a mark each."""
        points = (point for panel in self.panels for point in panel.points)
        return tuple(dict.fromkeys(point.series for point in points))

    @property
    def groups(self) -> tuple[str, ...]:
        """The groups of all points, in order of appearance: one colour each."""
        points = (point for panel in self.panels for point in panel.points)
        return tuple(dict.fromkeys(point.group for point in points))

    @property
    def horizontal(self) -> str:
        """The title of the leakage axis, with the direction that is good."""
        return f"worst {self.family}: {axis_title(metrics.WORST[self.family])}"

    @property
    def vertical(self) -> str:
        """The title of the utility axis, with the direction that is good."""
        return axis_title(self.utility_metric)


@dataclass(frozen=True)
class PartitionFigure:
    """How many examples of each label each client holds, `counts` [client][label]."""

    clients: tuple[str, ...]
    labels: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]


def leakage_data(rows: Sequence[Row], task: str, family: str) -> LeakageFigure | None:
    """Utility against leakage for one task, a panel per unit of privacy; None without points.

    Settings without any guarantee are drawn in every panel; where there is nothing else, alone.
    """
    usable = [row for row in rows if row.task == task and _leak(row, family) and row.utility]
    several = len({row.model for row in usable}) > 1
    label: Callable[[Row], str] = _model_label if several else _setting_label
    own = [row for row in rows if row.task == task and row.seeds]
    names = dict(zip(map(id, own), named(own), strict=True))

    def points(chosen: Iterable[Row]) -> tuple[Point, ...]:
        return tuple(
            _point(row, family, row.strategy, label(row), names[id(row)]) for row in chosen
        )

    references = points(row for row in usable if not row.units)
    panels = [
        Panel(unit, references + points(guarded))
        for unit in checks.UNITS
        if (guarded := [row for row in usable if unit in row.units])
    ]
    if not panels and references:
        panels = [Panel(NO_UNIT, references)]
    return _figure([("", row) for row in usable], task, family, panels) if panels else None


def comparison_data(
    runs: Mapping[str, Sequence[Row]], task: str, family: str
) -> LeakageFigure | None:
    """Utility against leakage of several runs in one panel, a colour per run; None without points.

    A single run is coloured by strategy instead.
    """
    usable = [
        (name, row)
        for name, rows in runs.items()
        for row in rows
        if row.task == task and _leak(row, family) and row.utility
    ]
    if not usable:
        return None
    several = len(runs) > 1
    label = _strategy_label if several else _setting_label
    points = tuple(
        _point(row, family, name if several else row.strategy, label(row), (_of(run, own), level))
        for (name, row), (own, level) in zip(usable, named([row for _, row in usable]), strict=True)
        for run in [name if several else ""]
    )
    each = [(name if several else "", row) for name, row in usable]
    return _figure(each, task, family, [Panel("", points)])


def partition_data(counts: Mapping[str, Mapping[str, int]]) -> PartitionFigure:
    """The label counts of every client, labels in order of appearance.

    Raises: ValueError for a count that is no integer >= 0, or where there is nothing to count.
    """
    clients = tuple(counts)
    labels = tuple(dict.fromkeys(label for client in counts.values() for label in client))
    if not clients or not labels:
        raise ValueError(f"expected counts of at least one client and label, got counts={counts}")
    for client, held in counts.items():
        checks.amounts(held, f"partition.{client}", whole=True)
    table = tuple(tuple(counts[client].get(label, 0) for label in labels) for client in clients)
    return PartitionFigure(clients, labels, table)


def describe(data: LeakageFigure) -> str:
    """The figure in words, for those who cannot see it."""
    parts = [*sentence(data.notice)]
    parts.append(f"Scatter plot for {data.task}: {data.vertical} against {data.horizontal}.")
    for panel in data.panels:
        points = "; ".join(
            f"{point.label} ({point.group}): utility {point.utility.value:.3g}, "
            f"leakage {point.leakage.value:.3g}"
            for point in panel.points
        )
        parts.append(f"Panel {panel.title}: {points}.")
    for group, value in data.majority:
        parts.append(f"Majority class{f' of {group}' if group else ''} at {value:.3g}.")
    return " ".join(parts)


def describe_partition(data: PartitionFigure) -> str:
    """The partition in words."""
    parts = [
        f"{client}: " + ", ".join(f"{n} {label}" for label, n in zip(data.labels, row, strict=True))
        for client, row in zip(data.clients, data.counts, strict=True)
    ]
    return f"Examples per client and label. {'; '.join(parts)}."


def axis_title(metric: str) -> str:
    """The metric's title with the direction that is good for the data's owner.

    >>> axis_title("auc"), axis_title("accuracy")
    ('AUC (lower is better)', 'accuracy (higher is better)')
    """
    if metric not in metrics.METRICS:
        return metric
    return f"{metrics.title(metric)} ({metrics.metric(metric).better} is better)"


def _figure(
    rows: Sequence[tuple[str, Row]], task: str, family: str, panels: Iterable[Panel]
) -> LeakageFigure:
    """The figure of rows, each with the run whose lines of reference are its own."""
    leaks = [(run, leak) for run, row in rows if (leak := _leak(row, family))]
    return LeakageFigure(
        task=task,
        family=family,
        utility_metric=rows[0][1].metric,
        panels=tuple(panels),
        majority=lines([(run, row.majority_baseline) for run, row in rows]),
        chance=lines([(run, leak.chance) for run, leak in leaks]),
        notice=_notice(rows),
    )


def _notice(rows: Sequence[tuple[str, Row]]) -> str:
    """Which comparisons do not hold, run by run."""
    runs = dict.fromkeys(run for run, _ in rows)
    told = {run: fault([row for name, row in rows if name == run]) for run in runs}
    return "; ".join(f"{run}: {text}" if run else text for run, text in told.items() if text)


def lines(values: Iterable[tuple[str, float | None]]) -> Lines:
    """The mean of the known values of every group; one for all where they read the same.

    >>> lines([("a", 0.5), ("a", None), ("b", 0.25)]), lines([("a", 0.5), ("b", 0.5001)])
    ((('a', 0.5), ('b', 0.25)), (('', 0.5),))
    """
    found: dict[str, list[float]] = {}
    for group, value in values:
        if value is not None:
            found.setdefault(group, []).append(value)
    means = tuple((group, sum(each) / len(each)) for group, each in found.items())
    same = len({f"{mean:.3g}" for _, mean in means}) == 1
    return (("", means[0][1]),) if same else means


def _leak(row: Row, family: str) -> Leak | None:
    return row.inversion if family == "inversion" else row.membership


def _setting_label(row: Row) -> str:
    return row.name


def _strategy_label(row: Row) -> str:
    return f"{row.name} ({row.strategy})"


def _model_label(row: Row) -> str:
    return f"{row.name} ({row.model})"


def _of(run: str, series: str) -> str:
    return f"{run}: {series}" if run else series


def _point(row: Row, family: str, group: str, label: str, name: tuple[str, str]) -> Point:
    leak = _leak(row, family)
    if leak is None or row.utility is None:
        raise ValueError(f"expected utility and {family} of {row.name}, got none")
    return Point(label, group, leak.estimate, row.utility, not row.units, *name)
