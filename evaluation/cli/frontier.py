"""`fedbert-eval frontier`: which defence to ship, found by bisecting the level of each."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from evaluation.cli.engines import ENGINE, engine_of, with_limit
from evaluation.cli.exit_codes import FAILED
from evaluation.cli.grid_commands import show
from evaluation.cli.shared import (
    FILE,
    LOADING,
    OUT,
    RUNNING,
    RUNS,
    examples,
    quiet,
    refuse_json,
    with_options,
)
from fedbert.errors import InputError
from reports.terminal import hush, say, working

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from evaluation.cli.progress import GridProgress
    from evaluation.grid.spec import Cell
    from evaluation.run.changes import Known
    from evaluation.run.frontier import Frontier, Plan
    from evaluation.run.log import RunLog
    from evaluation.run.workers import CellRunner
    from reports.records import CellResult


@click.command(
    epilog=examples("frontier mine.toml --dry-run", "frontier mine.toml --out runs/mine")
)
@click.argument("grid", type=FILE)
@OUT
@with_options([*RUNNING, *ENGINE])
def frontier(
    grid: Path, out: Path | None, workers: int, dry_run: bool, silent: bool, **leave: Any
) -> None:
    """Find the defence to ship.

    GRID is a TOML file with a section [frontier]: for an adversary and a least utility, the level
    of each defence is bisected. The report begins with the answer, or with why there is none.

    The same command continues an interrupted search; `grid.toml` in the run directory names all
    that was tried, for privacy-utility.
    """
    hush(silent)
    quiet()
    refuse_json(leave["as_json"], dry_run)
    with working(f"reading {grid}"):
        from evaluation.grid.early import check_cells
        from evaluation.run.files import GRID, check_place
        from evaluation.run.frontier import ends, read_frontier
        from evaluation.run.log import RunLog
        from evaluation.run.workers import Loop

        runner = engine_of(workers, leave)
        if not dry_run:
            runner.begin()
        asked = read_frontier(grid, leave["allow_code"])
        whole = ends(asked)
        directory = out or RUNS / whole.name
        check_place(directory, GRID)
        check_cells(whole.cells, whole.where)
    runner = Loop() if dry_run else with_limit(runner, whole.cell_time_limit)
    if dry_run:
        _dry_run(asked, directory, runner, workers, leave)
        return
    with RunLog(sys.argv[1:]) as log:
        with working(f"frontier {whole.name}: {LOADING}"):
            asked = _controls(asked, runner)
        good = _search(asked, directory, runner, leave["accept_changes"], log)
        if not good:
            raise SystemExit(FAILED)


def _search(
    asked: "Frontier",
    directory: Path,
    runner: "CellRunner",
    accept_changes: bool,
    log: "RunLog",
) -> bool:
    """Run a search to its end and show it; return whether every cell ended well."""
    from evaluation.cli.progress import GridProgress
    from evaluation.run.frontier import earlier_levels, ends, known_records, plan, write_grid
    from evaluation.run.runner import checked, remaining

    with working(f"checking both bounds of each defence; {LOADING}"):
        known = runner.call(checked, ends(asked))
    log.warned(known.warned)
    log.versions = known.made_by.get("versions", {})
    agreed = None if accept_changes else known
    earlier = earlier_levels(asked, directory)
    found = plan(asked, known_records(directory), earlier, again=True)
    remaining(directory, found.grid, agreed)
    say(f"frontier {found.grid.name}: {len(asked.defences)} defences, into {directory}", err=True)
    for line in known.lines:
        say(line, err=True)
    good = True
    while found.missing:
        say(_wave(found), err=True)
        write_grid(asked, found, directory)
        with GridProgress(runner.size) as progress:
            good &= _run(found, directory, runner, progress, agreed, log)
        found = plan(asked, known_records(directory), earlier)
    write_grid(asked, found, directory)
    show(directory)
    return good


def _dry_run(
    asked: "Frontier",
    directory: Path,
    runner: "CellRunner",
    workers: int,
    leave: "Mapping[str, bool]",
) -> None:
    """Tell what a search would do: its undefended rows and both bounds of each defence are sure."""
    from evaluation.cli.dry_run import tell_search

    with working(f"checking both bounds of each defence; {LOADING}"):
        asked = _controls(asked, runner)
    tell_search(asked, directory, workers, leave["accept_changes"], leave["as_json"])


def _run(
    found: "Plan",
    directory: Path,
    runner: "CellRunner",
    progress: "GridProgress",
    known: "Known | None",
    log: "RunLog",
) -> bool:
    """Run the cells of a plan that lack a record; return whether every one ended well."""
    from evaluation.cli.live_page import LivePage
    from evaluation.run.runner import run_grid

    def start(todo: "Sequence[Cell]", total: int) -> None:
        log.open(directory)
        log.note(_wave(found))
        progress.start(todo, len(todo))  # what other waves ran is no news

    def record(result: "CellResult") -> None:
        progress.record(result)
        live.record(result)
        log.cell(result)

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
