"""Utility and leakage against epsilon as plain data: epsilons of one kind alone share an axis."""

from collections.abc import Sequence
from dataclasses import dataclass

from reports.comparison import sentence, undefended
from reports.estimate import Estimate
from reports.figures.settings import (
    Claim,
    Setting,
    caution,
    claims_of,
    numbers_of,
    settings_of,
    worst_on,
)
from reports.figures.utility import axis_title
from reports.frontier.leakage import Worst
from reports.records import CellResult

Kind = tuple[str, str, str]


@dataclass(frozen=True)
class EpsilonPoint:
    """One setting at its epsilon; leakage: the worst attack on the views that it is claimed for."""

    epsilon: float
    utility: Estimate | None
    leakage: tuple[float, float, float] | None


@dataclass(frozen=True)
class EpsilonLine:
    """One defence on the views of its claim, by rising epsilon."""

    series: str
    views: tuple[str, ...]
    points: tuple[EpsilonPoint, ...]


@dataclass(frozen=True)
class EpsilonPanel:
    """The lines whose epsilons share unit, relation and scope, and so an axis.

    undefended: utility, and what the worst attack on these views reads, without any mechanism.
    """

    kind: Kind
    lines: tuple[EpsilonLine, ...]
    deltas: tuple[float, ...]
    undefended: tuple[float | None, float | None]

    @property
    def title(self) -> str:
        """The kind of epsilon in words."""
        unit, relation, scope = self.kind
        return f"{unit} ({relation}, {scope})"

    @property
    def horizontal(self) -> str:
        """The title of the axis, with the delta where all lines share one."""
        if set(self.deltas) == {0.0}:
            return "ε (δ = 0)"
        return f"ε (δ = {self.deltas[0]:g})" if len(self.deltas) == 1 else "ε (δ differs)"


@dataclass(frozen=True)
class EpsilonFigure:
    """One task; notice: as for utility against leakage. order: as `naming.mark_of` has it."""

    task: str
    vertical: str
    panels: tuple[EpsilonPanel, ...]
    baseline: float | None
    notice: str = ""
    order: tuple[str, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The series of all panels, a mark each."""
        return tuple(dict.fromkeys(line.series for panel in self.panels for line in panel.lines))


def epsilon_data(records: Sequence[CellResult], task: str) -> EpsilonFigure | None:
    """Utility and leakage by claimed epsilon; None where no setting claims one above 0.

    Leakage is the share of what lies above chance that the worst attack on the claimed views reads;
    its interval holds together with those of all others (Bonferroni).
    """
    settings = settings_of(records, task)
    numbers = numbers_of(settings)
    found: dict[Kind, list[tuple[Setting, Claim]]] = {}
    for each in settings:
        for claim in claims_of(each):
            if claim.epsilon > 0:
                found.setdefault(claim.kind, []).append((each, claim))
    if not found:
        return None
    bare = [each for each in settings if undefended(each.cells[0])]
    rows = [each.row for each in settings]
    return EpsilonFigure(
        task,
        axis_title(next((row.metric for row in rows if row.metric), "")),
        tuple(_panel(kind, own, bare, numbers) for kind, own in found.items()),
        next((x for row in rows if (x := row.majority_baseline) is not None), None),
        caution(settings),
    )


def describe_epsilon(data: EpsilonFigure) -> str:
    """The figure in words, for those who cannot see it."""
    parts = [*sentence(data.notice)]
    parts.append(f"Utility and leakage against epsilon for {data.task}: {data.vertical}.")
    for panel in data.panels:
        parts.append(f"Epsilon per {panel.title}, {panel.horizontal}.")
        for line in panel.lines:
            points = "; ".join(_told(point) for point in line.points)
            parts.append(f"{line.series} ({', '.join(line.views)} views): {points}.")
    return " ".join(parts)


def _told(point: EpsilonPoint) -> str:
    utility = "-" if point.utility is None else f"{point.utility.value:.3g}"
    leakage = "not measured" if point.leakage is None else f"{point.leakage[0]:.3g}"
    return f"epsilon {point.epsilon:.3g}: utility {utility}, leakage {leakage}"


def _panel(
    kind: Kind, own: Sequence[tuple[Setting, Claim]], bare: Sequence[Setting], numbers: int
) -> EpsilonPanel:
    lines: dict[tuple[str, tuple[str, ...]], list[EpsilonPoint]] = {}
    for each, claim in own:
        point = EpsilonPoint(
            claim.epsilon, each.row.utility, _shares(worst_on(each, claim.views, numbers))
        )
        lines.setdefault((each.series, claim.views), []).append(point)
    views = tuple(dict.fromkeys(view for _, claim in own for view in claim.views))
    reference: tuple[float | None, float | None] = (None, None)
    if len(bare) == 1:  # of several strategies or models none is the reference of all
        worst, utility = worst_on(bare[0], views, numbers), bare[0].row.utility
        reference = (
            None if utility is None else utility.value, None if worst is None else worst.value
        )  # fmt: skip
    return EpsilonPanel(
        kind,
        tuple(
            EpsilonLine(*key, tuple(sorted(points, key=lambda point: point.epsilon)))
            for key, points in lines.items()
        ),
        tuple(sorted({claim.delta for _, claim in own})),
        reference,
    )


def _shares(worst: Worst | None) -> tuple[float, float, float] | None:
    return None if worst is None else (worst.value, worst.low, worst.high)
