"""Workers for cells: a loop, or processes of one thread each that end with their parent."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing import connection
from typing import Protocol, TypeVar

from evaluation.grid.spec import Cell, Grid
from evaluation.run.outcome import Outcome
from reports.records import CellResult
from reports.terminal import guard

T = TypeVar("T")


class CellRunner(Protocol):
    """Runs a function over cells; yields outcomes as cells end, in any order."""

    def call(self, function: Callable[[Grid], T], grid: Grid) -> T:
        """Return what a function returns that is called where the cells will run."""

    def run(
        self, function: Callable[[Cell], Outcome], cells: Sequence[Cell]
    ) -> Iterator[tuple[Cell, Outcome]]:
        """Yield every cell with its outcome."""


class Loop:
    """One cell after another, in this process."""

    def call(self, function: Callable[[Grid], T], grid: Grid) -> T:
        """Return what it returns."""
        return function(grid)

    def run(
        self, function: Callable[[Cell], Outcome], cells: Sequence[Cell]
    ) -> Iterator[tuple[Cell, Outcome]]:
        """Yield every cell with its outcome."""
        for cell in cells:
            yield cell, function(cell)


class Workers:
    """Cells side by side, in processes of one thread each.

    They are forked from one that has imported what cells need: its memory is there once.

    A worker that dies (killed, out of memory) costs the cells that were running: they are
    recorded as failed, and the rest goes on in fresh processes.
    """

    def __init__(self, workers: int) -> None:
        """Use so many processes."""
        self.workers = workers

    def call(self, function: Callable[[Grid], T], grid: Grid) -> T:
        """Return what a function returns in a process of its own, which then ends."""
        pool, ended = self._pool(), False
        try:
            with _sheltered():
                future = pool.submit(function, grid)
            failure, ended = future.exception(), True
        finally:
            _close(pool, kill=not ended)
        if failure is not None:
            raise failure
        return future.result()

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
    """End a worker when its parent is gone; what it says is guarded as its parent's words are."""
    guard()
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    """End this process when the one behind the sentinel does, even killed: nobody reads on."""
    connection.wait([sentinel])
    os._exit(1)


def _died(cell: Cell) -> Outcome:
    text = "the worker process died (killed, or out of memory) before the cell ended\n"
    record = CellResult(cell.id, "failed", cell.spec(), cell.labels, traceback=text)
    return Outcome(record, {})
