"""Grid runner: cells side by side, one record each, resumable, one run per directory.

What is heavy to import is imported where cells run: a run with workers needs no torch itself.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from evaluation.grid.spec import Cell, Grid
from evaluation.run.files import SHADOWS, locked, note, write_json
from evaluation.run.outcome import Outcome
from evaluation.run.workers import CellRunner
from fedbert.errors import InputError
from reports.records import RECORDS, CellResult, append_record, read_records
from reports.samples import SAMPLES
from reports.scores import scores_path, write_scores

Counts = dict[str, dict[str, int]]


def remaining(directory: Path, grid: Grid) -> list[Cell]:
    """Return the cells that still have to run: those without a record, or with a failed one.

    Raises:
        InputError: if the directory holds records of another grid, or unreadable ones.
    """
    finished: set[str] = set()
    path = directory / RECORDS
    if path.exists():
        try:
            records = read_records(path)
        except ValueError as error:
            raise InputError(str(error)) from None
        foreign = {r.cell for r in records} - {cell.id for cell in grid.cells}
        if foreign:
            raise InputError(
                f"expected a run directory of this grid, got {len(foreign)} records of other cells "
                f"in {path}; choose another --out"
            )
        finished = {r.cell for r in records if r.status != "failed"}
    return [cell for cell in grid.cells if cell.id not in finished]


def checked(grid: Grid) -> list[str]:
    """Return what is to be known of a grid's data, and a line for each attack that will lack
    something.

    Raises:
        InputError: for the first thing wrong with it: see `evaluation.grid.preflight`.
    """
    from evaluation.attacking.foresight import Foresight
    from evaluation.grid.preflight import preflight

    foresight = Foresight()
    return preflight(grid, foresight.look) + foresight.lines()


def worked(cell: Cell, shadows: Path) -> Outcome:
    """Return what became of a cell; see `evaluation.run.cell`."""
    from evaluation.run.cell import run_cell

    return run_cell(cell, shadows)


def run_grid(
    grid: Grid,
    directory: Path,
    runner: CellRunner,
    on_start: Callable[[Sequence[Cell], int], None],
    on_record: Callable[[CellResult], None],
) -> bool:
    """Run what remains of a grid and return whether every cell of this run ended well.

    One record is appended as each cell ends; a cell is never repeated once its record stands.
    on_start hears which cells remain and how many there are in all.
    """
    with locked(directory):
        todo = remaining(directory, grid)
        write_json(directory / "grid.json", grid.to_json())
        on_start(todo, len(grid.cells))
        good = True
        work = partial(worked, shadows=directory / SHADOWS)
        for cell, outcome in runner.run(work, todo, grid.cell_time_limit):
            if outcome.counts:
                _note_partition(directory, grid, cell, outcome.counts)
            if outcome.samples:
                _note_samples(directory, cell, outcome.samples)
            if outcome.scored:
                write_scores(scores_path(directory, cell.id), outcome.scored, outcome.signals)
            append_record(directory / RECORDS, outcome.record)
            good = good and outcome.record.status != "failed"
            on_record(outcome.record)
    return good


def _note_partition(directory: Path, grid: Grid, cell: Cell, counts: Counts) -> None:
    """Keep one partition per task for the figure: that of the grid's smallest seed."""
    if cell.config.seed != min(each.config.seed for each in grid.cells):
        return
    note(directory / "partition.json", cell.config.data.task, counts)


def _note_samples(directory: Path, cell: Cell, samples: Sequence[dict[str, Any]]) -> None:
    """Keep a cell's sentences beside the records, before its record says that it is done."""
    note(directory / SAMPLES, cell.id, samples)
