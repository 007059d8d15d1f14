"""Dry run of a grid: which cells would run, for how long, which are skipped, what is claimed.

All that the real run would be refused for is refused here, in the same words; nothing is written to
its folder. What cells will take is kept for the run's first word on the time left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.cli import foreseen
from evaluation.cli.foreseen import Foreseen, Setting
from evaluation.cli.shared import duration, print_tables, say_json
from evaluation.grid.durations import Remaining
from evaluation.grid.spec import Cell, Grid
from evaluation.run.calibration import Forecast, forecast
from evaluation.run.changes import Known
from evaluation.run.foretold import keep
from evaluation.run.frontier import Frontier, earlier_levels, ends, known_records
from evaluation.run.frontier import plan as search_plan
from evaluation.run.runner import remaining
from fedbert.provenance import provenance
from reports.records import CellResult
from reports.terminal import say

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA = 1
WIDTH = 140
DONE, RUNS, SKIPPED = "has a record", "will run", "will be skipped"
TIMED = "by a few steps timed here just now; half as much again or less is usual"
MEASURED = "by the cells that ended in the run directory"


@dataclass(frozen=True)
class Plan:
    """What would become of each cell of a grid, and the seconds that those that run would take.

    measured: whether cells that ended here say so, or steps that were timed just now. memory: bytes
    of a worker at its peak; None where all that will run is priced by cells that ended.
    """

    grid: Grid
    seen: Foreseen
    fates: Mapping[str, str]
    seconds: Mapping[str, float]
    measured: bool
    memory: int | None = None

    @property
    def total(self) -> float:
        """The seconds of all cells that would run, one after another."""
        return sum(self.seconds.values())

    def of(self, setting: Setting, fate: str) -> list[Cell]:
        """The cells of a setting that come to a fate."""
        return [cell for cell in setting.cells if self.fates[cell.id] == fate]


def plan_of(grid: Grid, directory: Path, accept_changes: bool = False) -> Plan:
    """Return what would become of a grid.

    Raises:
        InputError: for all that the grid would be refused for.
    """
    seen = foreseen.foreseen(grid)
    known = Known(seen.lines, seen.found.data, provenance())
    todo = {cell.id for cell in remaining(directory, grid, None if accept_changes else known)}
    refused = {cell.id for each in seen.settings if each.refused for cell in each.cells}
    fates = {
        cell.id: DONE if cell.id not in todo else SKIPPED if cell.id in refused else RUNS
        for cell in grid.cells
    }
    records = known_records(directory)
    left = Remaining({cell.id: cell for cell in grid.cells})
    for cell in grid.cells:
        if cell.id in records and fates[cell.id] == DONE:
            _ended(left, records[cell.id])
    running = [cell for cell in grid.cells if fates[cell.id] == RUNS]
    known_prices = {cell.id: left.price(cell) for cell in running}
    unknown = [cell for cell in running if known_prices[cell.id] is None]
    found = forecast(unknown, seen.inputs) if unknown else Forecast({}, 0)
    seconds = {key: each for key, each in known_prices.items() if each is not None}
    measured = bool(seconds)
    return Plan(grid, seen, fates, seconds | found.seconds, measured, found.memory or None)


def _ended(left: Remaining, record: CellResult) -> None:
    left.ended(record.cell, record.seconds, record.status == "skipped")


def tell_plan(
    grid: Grid, directory: Path, workers: int, accept_changes: bool, as_json: bool
) -> Plan:
    """Print what would become of a grid, and return it."""
    plan = plan_of(grid, directory, accept_changes)
    keep({cell: plan.seconds[cell] for cell in plan.fates if plan.seconds.get(cell, 0.0) > 0})
    if as_json:
        say_json("dry run", to_json(plan, directory, workers), SCHEMA)
        return plan
    print_tables([_table(plan)], WIDTH)
    say("")
    print_tables([foreseen.table(plan.seen.settings)], WIDTH)
    for line in (*foreseen.notes(plan.seen.settings), *plan.seen.found.notes, *plan.seen.lines):
        say(line)
    say(sentence(plan, directory, workers))
    return plan


def sentence(plan: Plan, directory: Path, workers: int) -> str:
    """Return the sum in a line."""
    counts = [list(plan.fates.values()).count(fate) for fate in (RUNS, DONE, SKIPPED)]
    basis = MEASURED if plan.measured else TIMED
    took = duration(plan.total / max(1, min(workers, counts[0])))
    return (
        f"dry run of {plan.grid.name}: {len(plan.fates)} cells, {counts[0]} would run (about "
        f"{took} with workers = {workers}, {basis}{_held(plan.memory)}), {counts[1]} have a "
        f"record, {counts[2]} would be skipped; into {directory}; nothing was written"
    )


def to_json(plan: Plan, directory: Path, workers: int) -> dict[str, Any]:
    """Return a plan for machines."""
    return {
        "grid": plan.grid.name,
        "directory": str(directory),
        "workers": workers,
        "seconds": plan.total,
        "seconds_basis": MEASURED if plan.measured else TIMED,
        "worker_bytes": plan.memory,
        "settings": [
            each.to_json() | {"cells": [_cell(plan, cell) for cell in each.cells]}
            for each in plan.seen.settings
        ],
        "notes": [*plan.seen.found.notes, *plan.seen.lines],
    }


def tell_search(
    asked: Frontier, directory: Path, workers: int, accept_changes: bool, as_json: bool
) -> None:
    """Print what a frontier search would do: what is sure of it, and the most that it may take."""
    grid = ends(asked)
    seen = foreseen.foreseen(grid)
    known = Known(seen.lines, seen.found.data, provenance())
    found = search_plan(asked, known_records(directory), earlier_levels(asked, directory), True)
    remaining(directory, found.grid, None if accept_changes else known)
    trainings = asked.wish.steps * len(asked.defences) * len(asked.asked.seeds)
    told = forecast(grid.cells, seen.inputs)
    keep(told.seconds)
    mean = sum(told.seconds.values()) / len(grid.cells)
    bare = len(asked.bare) * len(asked.asked.seeds)
    most = (bare + trainings) * mean / workers
    if as_json:
        settings = [each.to_json() for each in seen.settings]
        say_json(
            "dry run",
            {
                "grid": grid.name,
                "directory": str(directory),
                "workers": workers,
                "most_trainings": bare + trainings,
                "most_seconds": most,
                "seconds_basis": TIMED,
                "worker_bytes": told.memory,
                "next": [cell.id for cell in found.missing],
                "settings": settings,
                "notes": [*seen.found.notes, *seen.lines],
            },
            SCHEMA,
        )
        return
    print_tables([foreseen.table(seen.settings)], WIDTH)
    for line in (*foreseen.notes(seen.settings), *seen.found.notes, *seen.lines):
        say(line)
    say(
        f"dry run of {grid.name}: the undefended rows ({bare} trainings), then at most "
        f"{asked.wish.steps} levels of each of {len(asked.defences)} defences between the bounds "
        f"above, {trainings} trainings at most: about {duration(most)} at most with workers = "
        f"{workers} ({TIMED}{_held(told.memory)}); next: {len(found.missing)} cells; into "
        f"{directory}; nothing was written"
    )


def _held(size: int | None) -> str:
    """Return what a worker holds at its peak, in words to add."""
    return "" if size is None else f"; about {size / 1e9:.1f} GB for each worker"


def _cell(plan: Plan, cell: Cell) -> dict[str, Any]:
    fate = plan.fates[cell.id]
    seconds = plan.seconds.get(cell.id)
    return {"id": cell.id, "seed": cell.config.seed, "fate": fate, "seconds": seconds}


def _table(plan: Plan) -> "Table":
    """Return a row for each setting: how many cells, and what becomes of them."""
    from rich.table import Table

    from reports.terminal import cell

    shown = Table(box=None, header_style="bold", pad_edge=False)
    for head in ("setting", "strategy", "task", "cells", "run", "per cell", "first id"):
        shown.add_column(head)
    for each in plan.seen.settings:
        labels, running = each.first.labels, plan.of(each, RUNS)
        row = (
            each.name,
            labels["strategy"],
            labels["task"],
            str(len(each.cells)),
            _fate(plan, each, running),
            _price(plan, running),
            each.first.id,
        )
        shown.add_row(*map(cell, row))
    return shown


def _fate(plan: Plan, setting: Setting, running: Sequence[Cell]) -> str:
    parts = [
        f"{count} {fate}"
        for fate in (DONE, SKIPPED)
        if (count := len(plan.of(setting, fate)))
    ]  # fmt: skip
    return "; ".join([str(len(running)), *parts])


def _price(plan: Plan, running: Sequence[Cell]) -> str:
    if not running:
        return "-"
    mean = sum(plan.seconds[cell.id] for cell in running) / len(running)
    return f"about {duration(mean)}"
