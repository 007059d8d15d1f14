"""Heat map of defences by views as plain data: the worst that each adversary reads of each."""

from collections.abc import Sequence
from dataclasses import dataclass

from reports.checks import VIEWS
from reports.comparison import sentence
from reports.figures.settings import Setting, caution, numbers_of, settings_of, worst_on
from reports.metrics import SEES
from reports.records import CellResult

NOTHING, UNKNOWN = "nothing sent", "not measured"


@dataclass(frozen=True)
class Heat:
    """What the adversary of one view reads of one setting, as a share of what lies above chance.

    value, low, high: None where `why` says why there is none. by: the attack.
    """

    view: str
    value: float | None
    low: float | None = None
    high: float | None = None
    by: str = ""
    why: str = ""


@dataclass(frozen=True)
class ViewsFigure:
    """Settings [setting] by views [view] of one task: `heat` [setting][view]."""

    task: str
    settings: tuple[tuple[str, str], ...]
    views: tuple[str, ...]
    heat: tuple[tuple[Heat, ...], ...]
    notice: str = ""


def views_data(records: Sequence[CellResult], task: str) -> ViewsFigure | None:
    """The worst attack on all that each adversary sees, setting by setting; None without any.

    An adversary may run every attack on whatever it sees, so that one who sees more never reads
    less. Views of which nothing was measured in any setting are left out. Intervals hold together.
    """
    settings = settings_of(records, task)
    numbers = numbers_of(settings)
    table = [[_heat(each, view, numbers) for view in VIEWS] for each in settings]
    kept = [
        number
        for number in range(len(VIEWS))
        if any(line[number].value is not None for line in table)
    ]
    if not kept:
        return None
    return ViewsFigure(
        task,
        tuple((each.series, each.level) for each in settings),
        tuple(VIEWS[number] for number in kept),
        tuple(tuple(line[number] for number in kept) for line in table),
        caution(settings),
    )


def describe_views(data: ViewsFigure) -> str:
    """The figure in words, for those who cannot see it."""
    parts = [*sentence(data.notice)]
    parts.append(f"The worst attack by view for {data.task}, as a share of what lies above chance.")
    for name, line in zip(data.settings, data.heat, strict=True):
        told = "; ".join(f"{each.view} {_told(each)}" for each in line)
        parts.append(f"{', '.join(part for part in name if part)}: {told}.")
    return " ".join(parts)


def _told(each: Heat) -> str:
    if each.value is None:
        return each.why
    return f"{each.value:.3g} [{each.low:.3g}, {each.high:.3g}] ({each.by})"


def _heat(each: Setting, view: str, numbers: int) -> Heat:
    worst = worst_on(each, SEES[view], numbers)
    own = [entry["kind"] for cell in each.cells for entry in cell.guarantees[: len(VIEWS)]
           if entry["view"] == view]  # fmt: skip
    if own and set(own) == {"nothing sent"}:
        return Heat(view, None, why=NOTHING)
    if worst is None:
        return Heat(view, None, why=UNKNOWN)
    return Heat(view, worst.value, worst.low, worst.high, f"{worst.attack}, {worst.view}")
