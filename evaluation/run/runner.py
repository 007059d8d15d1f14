"""Running a grid: cells side by side, one record each, resumable, one run per directory.

What is heavy to import is imported where cells run: a run with workers needs no torch itself.
"""

import fcntl
import json
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import partial
from multiprocessing import connection
from pathlib import Path
from typing import Any, Protocol

from evaluation.grid.spec import Cell, Grid
from evaluation.run.outcome import Outcome
from fedbert.config import InputError
from reports.records import RunRecord, append_record, read_records
from reports.scores import scores_path, write_scores

RECORDS, SAMPLES, SHADOWS = "records.jsonl", "samples.json", "shadows"
Counts = dict[str, dict[str, int]]


class CellRunner(Protocol):
    """Runs a function over cells; yields outcomes as cells end, in any order."""

    def call(self, function: Callable[[Grid], None], grid: Grid) -> None:
        """Call a function where the cells will run."""

    def run(
        self, function: Callable[[Cell], Outcome], cells: Sequence[Cell]
    ) -> Iterator[tuple[Cell, Outcome]]:
        """Yield every cell with its outcome."""


class Loop:
    """One cell after another, in this process."""

    def call(self, function: Callable[[Grid], None], grid: Grid) -> None:
        """Call it."""
        function(grid)

    def run(
        self, function: Callable[[Cell], Outcome], cells: Sequence[Cell]
    ) -> Iterator[tuple[Cell, Outcome]]:
        """Yield every cell with its outcome."""
        for cell in cells:
            yield cell, function(cell)


class Pool:
    """Cells side by side, in processes of one thread each.

    They are forked from one that has imported what cells need: its memory is there once.

    A worker that dies (killed, out of memory) costs the cells that were running: they are
    recorded as failed, and the rest goes on in fresh processes.
    """

    def __init__(self, workers: int) -> None:
        """Use so many processes."""
        self.workers = workers

    def call(self, function: Callable[[Grid], None], grid: Grid) -> None:
        """Call a function in a process of its own, which then ends."""
        pool, ended = self._pool(), False
        try:
            with _sheltered():
                future = pool.submit(function, grid)
            failure, ended = future.exception(), True
        finally:
            _close(pool, kill=not ended)
        if failure is not None:
            raise failure

    def run(
        self, function: Callable[[Cell], Outcome], cells: Sequence[Cell]
    ) -> Iterator[tuple[Cell, Outcome]]:
        """Yield every cell with its outcome."""
        waiting = list(cells)
        while waiting:
            with self._pool() as pool:
                yield from self._drain(pool, function, waiting)

    def _drain(
        self, pool: ProcessPoolExecutor, function: Callable[[Cell], Outcome], waiting: list[Cell]
    ) -> Iterator[tuple[Cell, Outcome]]:
        """Run cells until none waits or the pool breaks; at most one cell per process at a time."""
        running: dict[Future[Outcome], Cell] = {}
        try:
            while waiting or running:
                while waiting and len(running) < self.workers:
                    with _sheltered():  # a process started here inherits it
                        running[pool.submit(function, waiting[0])] = waiting[0]
                        waiting.pop(0)
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    outcome = future.result()
                    yield running.pop(future), outcome
        except BrokenProcessPool:
            for future, cell in running.items():
                ended = future.done() and future.exception() is None
                yield cell, future.result() if ended else _died(cell)
            running.clear()
        finally:
            _close(pool, kill=bool(running))

    def _pool(self) -> ProcessPoolExecutor:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["evaluation.run.preload"])
        return ProcessPoolExecutor(self.workers, context, initializer=_tie)


def _close(pool: ProcessPoolExecutor, kill: bool) -> None:
    """Let a pool's processes go; kill: those at work, too."""
    processes = list((getattr(pool, "_processes", None) or {}).values())  # shutdown forgets them
    pool.shutdown(wait=not kill, cancel_futures=True)
    if kill:
        for process in processes:
            process.terminate()


@contextmanager
def _sheltered() -> Iterator[None]:
    """Hold Ctrl-C back for the block: this process hears it thereafter, those it starts never."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _tie() -> None:
    """End a worker when its parent is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """End this process when the one behind the sentinel does, even killed: nobody reads on."""
    connection.wait([sentinel])
    os._exit(1)


def _died(cell: Cell) -> Outcome:
    text = "the worker process died (killed, or out of memory) before the cell ended\n"
    record = RunRecord(cell.id, "failed", cell.spec(), cell.labels, traceback=text)
    return Outcome(record, {})


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a run directory; a second run on it is refused.

    Raises:
        InputError: if another run holds it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"expected a run directory of one run, got another run in {directory}"
            ) from None
        yield


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


def checked(grid: Grid) -> None:
    """Raise InputError for the first thing wrong with a grid: `evaluation.grid.preflight`."""
    from evaluation.grid.preflight import preflight

    preflight(grid)


def worked(cell: Cell, shadows: Path) -> Outcome:
    """Return what became of a cell; see `evaluation.run.cell`."""
    from evaluation.run.cell import run_cell

    return run_cell(cell, shadows)


def run_grid(
    grid: Grid,
    directory: Path,
    runner: CellRunner,
    on_start: Callable[[Sequence[Cell], int], None],
    on_record: Callable[[RunRecord], None],
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
        for cell, outcome in runner.run(partial(worked, shadows=directory / SHADOWS), todo):
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
    _note(directory / "partition.json", cell.config.data.task, counts)


def _note_samples(directory: Path, cell: Cell, samples: Sequence[dict[str, Any]]) -> None:
    """Keep a cell's sentences beside the records, before its record says that it is done."""
    _note(directory / SAMPLES, cell.id, samples)


def _note(path: Path, key: str, value: Any) -> None:
    """Set one key of a JSON object on disk; what cannot be read is begun anew."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        found = {}
    found[key] = value
    write_json(path, dict(sorted(found.items())))


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all; the caller holds the directory."""
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(json.dumps(value, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    os.replace(temporary, path)
