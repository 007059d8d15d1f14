"""Matching of settings: the same ones of two runs, or each with the undefended one of a run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from reports.comparison import undefended
from reports.differences.pairs import Compared, Side, compared, corrected
from reports.figures.settings import Setting, settings_of
from reports.plots.run import Run, read_runs

Label = tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """All that was compared of one run or of two. alone: what has no partner, and where."""

    names: tuple[str, ...]
    pairs: tuple[Compared, ...]
    alone: tuple[str, ...] = ()

    @property
    def count(self) -> int:
        """How many differences are looked at, for which each is corrected."""
        return sum(len(pair.differences) for pair in self.pairs)


def compare(directories: Sequence[Path]) -> Comparison:
    """The settings that two runs share, or of one run each setting with the undefended one.

    Two runs that share none but have one setting each per task are compared by task.

    Raises: ValueError for what is no run of a grid, or where nothing can be compared.
    """
    runs = read_runs(directories)
    for run in runs:
        if not run.records:
            raise ValueError(f"expected the run of a grid, got a training in {run.directory}")
    return _within(runs[0]) if len(runs) == 1 else _between(runs[0], runs[1])


def _within(run: Run) -> Comparison:
    pairs, alone = [], []
    for task in run.tasks:
        settings = settings_of(run.records, task)
        for each in settings:
            if undefended(each.cells[0]):
                continue
            bare = [o for o in settings if undefended(o.cells[0]) and _group(o) == _group(each)]
            if not bare:
                alone.append(f"{task}, {each.name}: no undefended row beside it")
                continue
            sides = [Side(own.name, own, run.directory) for own in (bare[0], each)]
            pairs.append(compared(*sides))
    if not pairs:
        raise ValueError(
            f"expected an undefended setting and others beside it, got none in {run.directory}; "
            "to compare two runs, name both"
        )
    return Comparison((run.name,), tuple(corrected(pairs)), tuple(alone))


def _between(a: Run, b: Run) -> Comparison:
    own = [_settings(a), _settings(b)]
    keys = [key for key in own[0] if key in own[1]]
    couples = [(own[0][key], own[1][key]) for key in keys]
    alone = [
        f"{key[0]}, {side[key].name}: in {run.name} alone"
        for side, other, run in ((own[0], own[1], a), (own[1], own[0], b))
        for key in side
        if key not in other
    ]
    if not couples:
        couples = _by_task(own[0], own[1])
        alone = [] if couples else alone
    if not couples:
        raise ValueError(
            f"expected settings that both runs have, got {'; '.join(alone[:6])}"
            + (f"; and {len(alone) - 6} more" if len(alone) > 6 else "")
        )
    pairs = [
        compared(
            Side(f"{one.name} of {a.name}", one, a.directory),
            Side(f"{other.name} of {b.name}", other, b.directory),
        )
        for one, other in couples
    ]
    return Comparison((a.name, b.name), tuple(corrected(pairs)), tuple(alone))


def _settings(run: Run) -> dict[Label, Setting]:
    """A run's settings by what their rows are called."""
    return {
        (row.task, row.model, row.strategy, row.defence, row.level, *map("=".join, row.further)): s
        for task in run.tasks
        for s in settings_of(run.records, task)
        for row in [s.row]
    }


def _by_task(a: dict[Label, Setting], b: dict[Label, Setting]) -> list[tuple[Setting, Setting]]:
    """The two settings of each task, where either run has one alone."""
    found = []
    for task in dict.fromkeys(key[0] for key in a):
        one = [each for key, each in a.items() if key[0] == task]
        other = [each for key, each in b.items() if key[0] == task]
        if len(one) == len(other) == 1:
            found.append((one[0], other[0]))
    return found


def _group(each: Setting) -> tuple[object, ...]:
    row = each.row
    return row.task, row.model, row.strategy, row.further
