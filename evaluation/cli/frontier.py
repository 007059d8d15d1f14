"""`fedbert-eval frontier`: which defence to ship, found by bisecting the level of each."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from evaluation.cli.exit_codes import FAILED
from evaluation.cli.grid_commands import show
from evaluation.cli.shared import ACCEPT_CHANGES, ALLOW_CODE, FILE, OUT, RUNS, WORKERS, quiet
from fedbert.errors import InputError
from reports.terminal import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluation.cli.progress import GridProgress
    from evaluation.grid.spec import Cell
    from evaluation.run.changes import Known
    from evaluation.run.frontier import Frontier, Plan
    from evaluation.run.workers import CellRunner
    from reports.records import CellResult


@click.command()
@click.argument("grid", type=FILE)
@OUT
@WORKERS
@ALLOW_CODE
@ACCEPT_CHANGES
def frontier(
    grid: Path, out: Path | None, workers: int, allow_code: bool, accept_changes: bool
) -> None:
    """Find the defence to ship.

    GRID is a TOML file with a section [frontier]: for an adversary and a least utility, the level
    of each defence is bisected. The report begins with the answer, or with why there is none.

    The same command continues an interrupted search; `grid.toml` in the run directory names all
    that was tried, for privacy-utility.
    """
    from evaluation.cli.progress import GridProgress
    from evaluation.run.frontier import (
        earlier_levels,
        ends,
        known_records,
        plan,
        read_frontier,
        write_grid,
    )
    from evaluation.run.runner import checked, remaining
    from evaluation.run.workers import Loop, Workers

    asked = read_frontier(grid, allow_code)
    whole = ends(asked)
    directory = out or RUNS / whole.name
    quiet()
    alone = workers == 1 and whole.cell_time_limit is None
    runner = Loop() if alone else Workers(workers)
    asked = _controls(asked, runner)
    known = runner.call(checked, ends(asked))
    agreed = None if accept_changes else known
    earlier = earlier_levels(asked, directory)
    found = plan(asked, known_records(directory), earlier, again=True)
    remaining(directory, found.grid, agreed)
    say(f"frontier {whole.name}: {len(asked.defences)} defences, into {directory}", err=True)
    for line in known.lines:
        say(line, err=True)
    good = True
    while found.missing:
        say(_wave(found), err=True)
        write_grid(asked, found, directory)
        with GridProgress(workers) as progress:
            good &= _run(found, directory, runner, progress, agreed)
        found = plan(asked, known_records(directory), earlier)
    write_grid(asked, found, directory)
    show(directory)
    if not good:
        raise SystemExit(FAILED)


def _run(
    found: "Plan",
    directory: Path,
    runner: "CellRunner",
    progress: "GridProgress",
    known: "Known | None",
) -> bool:
    """Run the cells of a plan that lack a record; return whether every one ended well."""
    from evaluation.cli.live_page import LivePage
    from evaluation.run.runner import run_grid

    def record(result: "CellResult") -> None:
        progress.record(result)
        live.record(result)

    def start(todo: "Sequence[Cell]", total: int) -> None:
        progress.start(todo, len(todo))  # what other waves ran is no news

    only = {cell.id for cell in found.missing}
    with LivePage(directory) as live:
        return run_grid(found.grid, directory, runner, start, record, known, only)


def _controls(asked: "Frontier", runner: "CellRunner") -> "Frontier":
    """Return a search without the undefended rows that cannot run, each told with why."""
    from evaluation.run.runner import checked

    kept = [asked.bare[0]]
    for each in asked.bare[1:]:
        try:
            runner.call(checked, replace(asked, bare=(each,)).grid({}))
            kept.append(each)
        except InputError as error:
            say(f"no undefended row at {dict(each.set)}: {error}", err=True)
    return replace(asked, bare=tuple(kept))


def _wave(found: "Plan") -> str:
    """Return what is trained next, in a line."""
    rows = dict.fromkeys(
        cell.labels["defence"] + ("" if cell.level == "-" else f" at {cell.level}")
        for cell in found.missing
    )
    return f"next: {'; '.join(rows)} ({len(found.missing)} cells)"
