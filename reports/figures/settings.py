"""Settings of a task with their seeds, what they claim, and the worst attack on some views."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from reports.checks import VIEWS
from reports.faults import fault
from reports.figures.naming import joined, named
from reports.frontier.leakage import Worst, judged_on, unread, worst_of
from reports.frontier.wish import ALL
from reports.records import CellResult
from reports.rows import Row, by_setting, setting_rows


@dataclass(frozen=True)
class Setting:
    """One setting: its row, its finished cells by seed, and its name as series and level."""

    row: Row
    cells: tuple[CellResult, ...]
    series: str
    level: str

    @property
    def name(self) -> str:
        """Series and level in one phrase."""
        return joined((self.series, self.level))


@dataclass(frozen=True)
class Claim:
    """What a setting claims for one unit on some views, over all seeds the weakest."""

    unit: str
    relation: str
    scope: str
    epsilon: float
    delta: float
    views: tuple[str, ...]

    @property
    def kind(self) -> tuple[str, str, str]:
        """What epsilons must share to be compared: unit, relation and scope."""
        return self.unit, self.relation, self.scope


def settings_of(records: Sequence[CellResult], task: str) -> list[Setting]:
    """The settings of a task of which a cell is done, in order of appearance."""
    own = [record for record in records if record.labels["task"] == task]
    pairs = [
        (row, tuple(record for record in group if record.status == "done"))
        for row, group in zip(setting_rows(own), by_setting(own), strict=True)
    ]
    pairs = [(row, cells) for row, cells in pairs if cells]
    names = named([row for row, _ in pairs])
    return [Setting(row, cells, *name) for (row, cells), name in zip(pairs, names, strict=True)]


def numbers_of(settings: Sequence[Setting], views: Collection[str] = VIEWS) -> int:
    """How many numbers of attacks on these views are compared over all settings and seeds."""
    return max(
        1, sum(len(judged_on(cell, views, few=True)) for each in settings for cell in each.cells)
    )


def worst_on(setting: Setting, views: Collection[str], numbers: int) -> Worst | None:
    """The worst attack on these views; None where none was measured."""
    own = [(cell.labels["seed"], judged_on(cell, views)) for cell in setting.cells]
    return worst_of(own, numbers)


def caution(settings: Sequence[Setting]) -> str:
    """What makes a comparison void, and which settings were spared an attack that read others.

    Such a setting may leak more than is shown. "" where nothing is wrong.
    """
    ran: dict[str, set[tuple[str, str]]] = {}
    for each in settings:
        own = ran.setdefault(each.row.strategy, set())
        own |= {(leak.view, leak.attack) for cell in each.cells for leak in judged_on(cell, VIEWS)}
    spared: dict[str, list[str]] = {}
    for each in settings:
        lacked = {attack for cell in each.cells for attack in unread(cell, ALL)}
        for _, attack in sorted(lacked & ran[each.row.strategy]):
            spared.setdefault(attack, []).append(each.name)
    told = [fault([each.row for each in settings])] + [
        f"{attack} could not be tried on {'; '.join(names)}" for attack, names in spared.items()
    ]
    return "; ".join(text for text in told if text)


def claims_of(setting: Setting) -> tuple[Claim, ...]:
    """The (epsilon, delta) claims that every seed makes; views of the same numbers stand together.

    Of several seeds the largest epsilon and delta count: the least that is promised.
    """
    found: dict[tuple[str, str, str, str], list[tuple[float, float]]] = {}
    for cell in setting.cells:
        for entry in cell.guarantees:
            if entry["kind"] == "guarantee":
                key = (entry["unit"], entry["relation"], entry["scope"], entry["view"])
                own = float(entry["epsilon"]), float(entry["delta"])
                found.setdefault(key, []).append(own)
    views: dict[tuple[str, str, str, float, float], list[str]] = {}
    for (unit, relation, scope, view), each in found.items():
        if len(each) == len(setting.cells):
            most = max(epsilon for epsilon, _ in each), max(delta for _, delta in each)
            views.setdefault((unit, relation, scope, *most), []).append(view)
    return tuple(Claim(*key, tuple(own)) for key, own in views.items())
