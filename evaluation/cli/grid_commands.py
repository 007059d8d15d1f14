"""`fedbert-eval privacy-utility`, `report` and `plot`: grids, and what is made of their records."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from evaluation.cli.exit_codes import FAILED
from evaluation.cli.shared import (
    ACCEPT_CHANGES,
    ALLOW_CODE,
    FILE,
    OUT,
    RUNS,
    WORKERS,
    or_refuse,
    print_tables,
    quiet,
    with_options,
)
from evaluation.run.times import Times
from fedbert.errors import InputError
from reports.disclosure.readers import OPTIONS, READERS, Reader
from reports.terminal import say, working

if TYPE_CHECKING:
    from evaluation.grid.spec import Grid
    from evaluation.run.changes import Known
    from evaluation.run.workers import CellRunner
    from reports.records import CellResult


@click.command("privacy-utility")
@click.argument("grid", required=False, type=FILE)
@OUT
@WORKERS
@ALLOW_CODE
@ACCEPT_CHANGES
def privacy_utility(
    grid: Path | None, out: Path | None, workers: int, allow_code: bool, accept_changes: bool
) -> None:
    """Train, judge and attack every cell of GRID.

    GRID is a TOML file; the report puts utility beside leakage.

    Without GRID the embedded default runs. The same command continues an interrupted run.
    """
    times = Times(workers)
    quiet()
    with working(f"reading {grid or 'the embedded grid'}"):
        from evaluation.run.workers import Loop, Workers

        runner = Workers(workers)
        if workers > 1:
            runner.begin()
        from evaluation.grid.parse import default_grid, read_grid
        from evaluation.run.runner import checked, remaining

        chosen = read_grid(grid or default_grid(), allow_code)
        directory = out or RUNS / chosen.name
        remaining(directory, chosen)
    alone = workers == 1 and chosen.cell_time_limit is None
    told = "loading torch, transformers, model and data"
    with working(f"grid {chosen.name}: {len(chosen.cells)} cells; {told}"):
        known = (Loop() if alone else runner).call(checked, chosen)
    agreed = None if accept_changes else known
    remaining(directory, chosen, agreed)
    say(f"grid {chosen.name}: {len(chosen.cells)} cells, into {directory}", err=True)
    for line in known.lines:
        say(line, err=True)
    good = _run(chosen, directory, Loop() if alone else runner, times, agreed)
    if not good:
        raise SystemExit(FAILED)


@click.command()
@click.argument("run", type=FILE)
@click.option(
    "--for", "reader", type=click.Choice(READERS), help="Write a disclosure of one setting instead."
)
@with_options(
    [click.option(f"--{name}", help=f"Of the disclosure: which {name}.") for name in OPTIONS]
)
@click.option("--schema", type=FILE, help="The registry's schema, to check its entry against.")
def report(run: Path, reader: Reader | None, schema: Path | None, **labels: str | None) -> None:
    """Rebuild the report of RUN.

    Tables, figures and the HTML page, from the records alone. With --for: what a data protection
    officer asks (disclosure.md, disclosure.json), or an entry for the Differential Privacy
    Deployments Registry (registry.yaml), with the words of the grid's [deployment].

    Where the scores of attacks are kept, their numbers are made again and must be the same. Of
    records of an earlier version, intervals that did not hold are replaced, or left out.
    """
    chosen = {name: value for name, value in labels.items() if value is not None}
    if reader is not None:
        from reports.disclosure.written import disclose

        for path in or_refuse(lambda: disclose(run, reader, chosen, schema)):
            say(str(path))
        return
    alone = [*chosen, *(["schema"] if schema is not None else [])]
    if alone:
        raise InputError(f"expected --{alone[0]} with --for, got it alone")
    from evaluation.run.verify import made_again, unclustered, verify_run

    checked = or_refuse(lambda: verify_run(run))
    show(run, made_again(run) if checked else None)
    if checked:
        say(f"scores: {checked} membership numbers made again, all the same")
    if checked and (older := unclustered(run)):
        told = "each candidate by itself, as the earlier version that wrote them"
        say(f"scores: {older} files do not say which candidates share a text: {told}")


@click.command()
@click.argument("runs", nargs=-1, required=True, type=FILE)
@click.option(
    "--out", type=FILE, default=RUNS / "plots", show_default=True, help="Where the figures go."
)
def plot(runs: tuple[Path, ...], out: Path) -> None:
    """Draw RUNS beside each other."""
    from reports.render import plot as draw

    for path in or_refuse(lambda: draw(list(runs), out)):
        say(str(path))


def _run(
    grid: "Grid", directory: Path, runner: "CellRunner", times: Times, known: "Known | None"
) -> bool:
    """Run a grid and show what came out; return whether every cell ended well."""
    from evaluation.cli.live_page import LivePage
    from evaluation.cli.progress import GridProgress
    from evaluation.run.runner import run_grid

    def record(result: "CellResult") -> None:
        times.cell(result.seconds)
        progress.record(result)
        live.record(result)

    with GridProgress(times.workers) as progress, LivePage(directory) as live:
        times.started()
        good = run_grid(grid, directory, runner, progress.start, record, known)
        times.ended()
    show(directory)
    times.reported()
    if times.count:
        times.note(directory)
        say(times.sentence(), err=True)
    return good


def show(directory: Path, records: "list[CellResult] | None" = None) -> None:
    """Render a run (from these records: None, its own); print its tables and where they are."""
    from reports.render import render

    shown = or_refuse(lambda: render(directory, records))
    for line in shown.answer:
        say(line)
    print_tables(list(shown.tables), 100)
    say(f"report: {directory / 'report.html'}")
