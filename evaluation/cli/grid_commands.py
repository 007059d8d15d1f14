"""`fedbert-eval privacy-utility` and `report`: grids, and what is made of their records."""

import shlex
import sys
from pathlib import Path
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Any

import click

from evaluation.cli.engines import ENGINE, engine_of, with_limit
from evaluation.cli.exit_codes import FAILED
from evaluation.cli.shared import (
    AS_JSON,
    FILE,
    LOADING,
    OUT,
    QUIET,
    RUNNING,
    RUNS,
    complete_run,
    examples,
    or_refuse,
    print_tables,
    quiet,
    refuse_json,
    say_json,
    with_options,
)
from evaluation.run.times import Times, start_before
from fedbert.errors import InputError
from reports.disclosure.readers import OPTIONS, READERS, Reader
from reports.terminal import hush, say, working

if TYPE_CHECKING:
    from collections.abc import Sequence

    from evaluation.grid.spec import Cell, Grid
    from evaluation.run.changes import Known
    from evaluation.run.log import RunLog
    from evaluation.run.workers import CellRunner
    from reports.records import CellResult
    from reports.render import RenderedReport


@click.command(
    "privacy-utility",
    epilog=examples(
        "privacy-utility",
        "privacy-utility mine.toml --dry-run",
        "privacy-utility mine.toml --out runs/mine --workers 2",
    ),
)
@click.argument("grid", required=False, type=FILE)
@OUT
@with_options([*RUNNING, *ENGINE])
def privacy_utility(
    grid: Path | None,
    out: Path | None,
    workers: int,
    dry_run: bool,
    silent: bool,
    **leave: Any,
) -> None:
    """Train, judge and attack every cell of GRID.

    GRID is a TOML file; the report puts utility beside leakage.

    Without GRID the embedded default runs. The same command continues an interrupted run.
    """
    times = Times(workers)
    hush(silent)
    quiet()
    refuse_json(leave["as_json"], dry_run)
    with working(f"reading {grid or 'the embedded grid'}"):
        runner = engine_of(workers, leave)
        if not dry_run:
            runner.begin()
        from evaluation.grid.early import check_cells
        from evaluation.grid.parse import default_grid, read_grid
        from evaluation.run.changes import OtherGridError
        from evaluation.run.log import RunLog
        from evaluation.run.runner import checked, remaining

        chosen = read_grid(grid or default_grid(), leave["allow_code"])
        directory = out or RUNS / chosen.name
        check_cells(chosen.cells, chosen.where)
    told = f"grid {chosen.name}: {len(chosen.cells)} cells; {LOADING}"
    try:
        remaining(directory, chosen)
    except OtherGridError:  # what is wrong in the file comes first
        with working(told):
            runner.call(checked, chosen)
        raise
    if dry_run:
        with working(told):
            from evaluation.cli.dry_run import tell_plan
        tell_plan(chosen, directory, workers, leave["accept_changes"], leave["as_json"])
        return
    runner = with_limit(runner, chosen.cell_time_limit)
    with RunLog(sys.argv[1:]) as log:
        with working(told, start_before(directory)):
            known = runner.call(checked, chosen)
        log.warned(known.warned)
        log.versions = known.made_by.get("versions", {})
        agreed = None if leave["accept_changes"] else known
        remaining(directory, chosen, agreed)
        say(f"grid {chosen.name}: {len(chosen.cells)} cells, into {directory}", err=True)
        for line in known.lines:
            say(line, err=True)
        times.workers = runner.size
        good = _run(chosen, directory, runner, times, agreed, log)
        if not good:
            raise SystemExit(FAILED)


@click.command(
    epilog=examples(
        "report runs/mine",
        "report runs/mine --json",
        "report runs/mine --for officer --defence dp-sgd",
    )
)
@click.argument("run", type=FILE, shell_complete=complete_run)
@click.option(
    "--for", "reader", type=click.Choice(READERS), help="Write a disclosure of one setting instead."
)
@with_options(
    [click.option(f"--{name}", help=f"Of the disclosure: which {name}.") for name in OPTIONS]
)
@click.option("--schema", type=FILE, help="The registry's schema, to check its entry against.")
@click.option("--audit", type=FILE, help="Of a training's disclosure: what `audit --out` wrote.")
@QUIET
@AS_JSON
def report(
    run: Path,
    reader: Reader | None,
    schema: Path | None,
    audit: Path | None,
    silent: bool,
    as_json: bool,
    **labels: str | None,
) -> None:
    """Rebuild the report of RUN.

    Tables, figures and the HTML page, from the records alone. With --for: what a data protection
    officer asks (disclosure.md, disclosure.json), or an entry for the Differential Privacy
    Deployments Registry (registry.yaml), with the words of [deployment]. RUN may then be the folder
    of a training, or its checkpoint.

    Where the scores of attacks are kept, their numbers are made again and must be the same. Of
    records of an earlier version, intervals that did not hold are replaced, or left out.
    """
    hush(silent or as_json)
    chosen = {name: value for name, value in labels.items() if value is not None}
    if reader is not None:
        paths = or_refuse(lambda: _disclose(run, reader, chosen, schema, audit))
        if as_json:
            say_json("report", {"files": [str(path) for path in paths]})
        for path in paths:
            say(str(path))
        return
    also = {"schema": schema, "audit": audit}
    alone = [*chosen, *(name for name, value in also.items() if value is not None)]
    if alone:
        raise InputError(f"expected --{alone[0]} with --for, got it alone")
    from reports.run_folder import SCORES

    if not (run / SCORES).is_dir():
        show(run, as_json=as_json)
        return
    with working("making the numbers again from their scores"):
        from evaluation.run.verify import made_again, unclustered, verify_run

        checked = or_refuse(lambda: verify_run(run))
    show(run, made_again(run) if checked else None, as_json, checked)
    if checked:
        say(f"scores: {checked} membership numbers made again, all the same")
    if checked and (older := unclustered(run)):
        told = "each candidate by itself, as the earlier version that wrote them"
        say(f"scores: {older} files do not say which candidates share a text: {told}")


def _disclose(
    run: Path, reader: Reader, chosen: dict[str, str], schema: Path | None, audit: Path | None
) -> list[Path]:
    """Write a disclosure of a grid's setting into its run, or of a training into its folder."""
    from evaluation.auditing.run_folder import is_training
    from reports.disclosure.written import disclosed, write
    from reports.records import RECORDS

    if (run / RECORDS).is_file() or not is_training(run):
        if audit is not None:
            raise InputError("expected --audit with a training, got it with a grid's run")
        return write(disclosed(run, chosen), reader, run, schema)
    if chosen:
        told = f"--{next(iter(chosen))} of a grid's run"
        raise InputError(f"expected {told}, got it with the training {run}")
    from evaluation.auditing.disclosed import disclosed as of_training

    found, place = of_training(run, audit)
    return write(found, reader, place, schema)


def _run(
    grid: "Grid",
    directory: Path,
    runner: "CellRunner",
    times: Times,
    known: "Known | None",
    log: "RunLog",
) -> bool:
    """Run a grid and show what came out; return whether every cell ended well."""
    from evaluation.cli.live_page import LivePage
    from evaluation.cli.progress import GridProgress
    from evaluation.run.runner import run_grid

    def start(todo: "Sequence[Cell]", total: int) -> None:
        log.open(directory)
        log.note(f"{len(todo)} of {total} cells to run")
        progress.start(todo, total)

    def record(result: "CellResult") -> None:
        times.cell(result.seconds)
        progress.record(result)
        log.cell(result)
        live.record(result)

    with GridProgress(times.workers) as progress, LivePage(directory) as live:
        times.started()
        good = run_grid(grid, directory, runner, start, record, known)
        times.ended()
    show(directory)
    times.reported()
    if times.count:
        times.note(directory)
        say(times.sentence(), err=True)
    return good


def show(
    directory: Path,
    records: "list[CellResult] | None" = None,
    as_json: bool = False,
    checked: int = 0,
) -> None:
    """Render a run (from these records: None, its own); print the settings, and where the rest is.

    as_json: what was found, for machines. checked: how many numbers were made again from scores.
    """
    with working("drawing the report"):
        from reports.render import render

        shown = or_refuse(lambda: render(directory, records))
    if as_json:
        from reports.one_setting import SCHEMA, to_json

        say_json("report", to_json(directory, list(shown.records), shown, checked), SCHEMA)
        return
    _tell(directory, shown)


def _tell(directory: Path, shown: "RenderedReport") -> None:
    """Print what was decided, a table of the settings, and where the rest is."""
    from reports.compact import WIDTH, compact_table
    from reports.noise_mode import noise_note

    for line in shown.answer:
        say(line)
    width = get_terminal_size().columns if sys.stdout.isatty() else WIDTH
    noted = noise_note(shown.records) in shown.answer
    print_tables([compact_table(shown.records, noted, width)], WIDTH)
    say(f"report: {directory / 'report.html'}")
    say(f"every view, cost and guarantee: {directory / 'table.md'}")
    say(f"one cell in full: fedbert-eval show {shlex.quote(str(directory))} CELL")
