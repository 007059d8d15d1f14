"""Grid runner: cells side by side, one record each, resumable, one run per directory.

What is heavy to import is imported where cells run: a run with workers needs no torch itself.
"""

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evaluation.grid.spec import Cell, Grid
from evaluation.run.changes import Known, refuse_changes, refuse_other_grid
from evaluation.run.files import GRID, SHADOWS, check_place, locked, note, write_json
from evaluation.run.outcome import Outcome
from evaluation.run.preparations import forget, looked_at, shared
from evaluation.run.workers import CellRunner
from fedbert.errors import InputError
from reports.records import RECORDS, CellResult, append_record, read_records
from reports.run_folder import scores_path
from reports.samples import SAMPLES
from reports.scores import write_scores

if TYPE_CHECKING:
    from fedbert.config import Config
    from fedbert.prepare import Prepared

Counts = dict[str, dict[str, int]]


def remaining(directory: Path, grid: Grid, known: Known | None = None) -> list[Cell]:
    """Return the cells that still have to run: those without a record, or with a failed one.

    known: what the records that stand have to agree with; None: nothing.

    Raises:
        InputError: if the directory holds records of another grid, or unreadable ones, or records
            of other data or code than are known.
    """
    check_place(directory, GRID)
    path = directory / RECORDS
    if not path.exists():
        return list(grid.cells)
    try:
        records = read_records(path)
    except ValueError as error:
        raise InputError(str(error)) from None
    refuse_other_grid(directory, records, grid.cells)
    finished = [record for record in records if record.status != "failed"]
    ended = {record.cell for record in finished}
    todo = [cell for cell in grid.cells if cell.id not in ended]
    if known is not None:
        refuse_changes(directory, finished, known, goes_on=bool(todo))
    return todo


def checked(grid: Grid) -> Known:
    """Return what a look at a grid shows: its data, and a line for each attack that will lack
    something.

    Raises:
        InputError: for the first thing wrong with it: see `evaluation.grid.preflight`.
    """
    import torch

    from evaluation.attacking.foresight import Foresight
    from evaluation.grid.preflight import preflight
    from fedbert.provenance import provenance
    from fedbert.trainer import give_back_memory

    torch.set_num_threads(1)  # as in cells, to which what is loaded here is handed on
    foresight = Foresight()
    forget()
    found = preflight(grid, foresight.look, looked_at)
    give_back_memory()  # cells run here next
    lines = found.notes + foresight.lines(every=False)
    return Known(lines, found.data, provenance(), found.warned)


def worked(cell: Cell, shadows: Path, data_sha256: str | None = None) -> Outcome:
    """Return what became of a cell; see `evaluation.run.cell`.

    data_sha256: that of its examples where the grid was checked. A machine that finds others fails.
    """
    from evaluation.run.cell import run_cell

    def make(config: "Config") -> "Prepared":
        found = shared(config)
        if data_sha256 not in (None, found.data_sha256):
            raise InputError(f"expected the data of the check, got others in {config.data.source}")
        return found

    return run_cell(cell, shadows, make)


def run_grid(
    grid: Grid,
    directory: Path,
    runner: CellRunner,
    on_start: Callable[[Sequence[Cell], int], None],
    on_record: Callable[[CellResult], None],
    known: Known | None = None,
    only: Collection[str] | None = None,
) -> bool:
    """Run what remains of a grid and return whether every cell of this run ended well.

    One record is appended as each cell ends; a cell is never repeated once its record stands.
    on_start hears which cells remain and how many there are in all. known: as for `remaining`.
    only: ids of the cells to run; None: all that remain.
    """
    with locked(directory):
        todo = remaining(directory, grid, known)
        todo = [cell for cell in todo if only is None or cell.id in only]
        write_json(directory / "grid.json", grid.to_json())
        on_start(todo, len(grid.cells))
        good = True
        work = partial(worked, shadows=directory / SHADOWS)
        for cell, outcome in runner.run(work, todo, grid.cell_time_limit):
            start = time.perf_counter()
            if outcome.counts:
                _note_partition(directory, grid, cell, outcome.counts)
            if outcome.samples:
                _note_samples(directory, cell, outcome.samples)
            if outcome.scored:
                write_scores(scores_path(directory, cell.id), outcome.scored, outcome.signals)
            record = _with_writing(outcome.record, time.perf_counter() - start)
            append_record(directory / RECORDS, record)
            good = good and record.status != "failed"
            on_record(record)
    forget()
    return good


def _with_writing(record: CellResult, seconds: float) -> CellResult:
    """Return a record that says what writing the files beside it took."""
    if not record.seconds:
        return record
    return replace(record, seconds={**record.seconds, "write": round(seconds, 3)})


def _note_partition(directory: Path, grid: Grid, cell: Cell, counts: Counts) -> None:
    """Keep one partition per task for the figure: that of the grid's smallest seed."""
    if cell.config.seed != min(each.config.seed for each in grid.cells):
        return
    note(directory / "partition.json", cell.config.data.task, counts)


def _note_samples(directory: Path, cell: Cell, samples: Sequence[dict[str, Any]]) -> None:
    """Keep a cell's sentences beside the records, before its record says that it is done."""
    note(directory / SAMPLES, cell.id, samples)
