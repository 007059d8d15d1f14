"""Workers for cells: a loop, or processes of one thread each that end with their parent."""

import contextlib
import os
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import connection, resource_tracker
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from evaluation.run import forking
from evaluation.run.attempts import TRIES, Answer, attempts
from fedbert.errors import InputError
from reports.terminal import guard

if TYPE_CHECKING:
    from evaluation.grid.spec import Cell, Grid
    from evaluation.run.outcome import Outcome

T = TypeVar("T")

STARTS, PAUSE = 20, 0.1
"""How often a worker's process is asked for, and the seconds between."""
PRELOAD = "evaluation.run.preload"


class CellRunner(Protocol):
    """Runs a function over cells; yields outcomes as cells end, in any order."""

    @property
    def size(self) -> int:
        """How many cells run side by side."""

    def begin(self) -> None:
        """Begin what takes long to start, while this process reads a grid."""

    def call(self, function: "Callable[[Grid], T]", grid: "Grid") -> T:
        """Return what a function returns that is called where the cells will run."""

    def run(
        self,
        function: "Callable[[Cell], Outcome]",
        cells: "Sequence[Cell]",
        limit: float | None = None,
    ) -> "Iterator[tuple[Cell, Outcome]]":
        """Yield every cell with its outcome. limit: seconds of a cell, where processes are used."""


class Loop:
    """One cell after another, in this process."""

    @property
    def size(self) -> int:
        """One."""
        return 1

    def begin(self) -> None:
        """Do nothing: there is nothing to start."""

    def call(self, function: "Callable[[Grid], T]", grid: "Grid") -> T:
        """Return what it returns."""
        return function(grid)

    def run(
        self,
        function: "Callable[[Cell], Outcome]",
        cells: "Sequence[Cell]",
        limit: float | None = None,
    ) -> "Iterator[tuple[Cell, Outcome]]":
        """Yield every cell with its outcome; nobody is there to hold a cell to a limit."""
        if limit is not None:
            raise ValueError("expected workers for a limit, got a loop")
        for cell in cells:
            yield cell, function(cell)


class Workers:
    """Cells side by side, in processes of one thread each.

    They are forked from one that has imported what cells need: its memory is there once. Each lives
    until the last cell has ended, the one of a `call` as well: what it has loaded serves again.

    A worker that dies (killed, out of memory) costs its own cell alone, which is begun again, three
    times in all, and then recorded as failed. So is a cell that takes longer than the limit, at
    once.
    """

    def __init__(self, workers: int) -> None:
        """Use so many processes."""
        self.workers = workers
        self._idle: list[_Worker] = []

    def begin(self) -> None:
        """Have the process that forks them begin to import, while this one reads a grid."""
        forking.start(PRELOAD)

    def call(self, function: "Callable[[Grid], T]", grid: "Grid") -> T:
        """Return what a function returns in a process that will run cells thereafter.

        Raises:
            InputError: if that process is killed each time.
        """
        for _ in range(TRIES):
            worker = _Worker()
            try:
                worker.give(function, grid)
                connection.wait([worker.pipe])
                if (answer := worker.answer()) is not None:
                    found: T = answer.value()
                    self._idle.append(worker)
                    return found
                died = worker.died()
            finally:
                if worker not in self._idle:
                    worker.end()
        raise InputError(f"expected the check of the grid to end, but {died}, {TRIES} times")

    def run(
        self,
        function: "Callable[[Cell], Outcome]",
        cells: "Sequence[Cell]",
        limit: float | None = None,
    ) -> "Iterator[tuple[Cell, Outcome]]":
        """Yield every cell with its outcome."""
        yield from attempts(self, self._idle, function, cells, limit)

    @property
    def size(self) -> int:
        """How many work side by side."""
        return self.workers

    def hire(self) -> "_Worker":
        """Return a new process."""
        return _Worker()

    def ready(self, workers: "list[_Worker]", limit: float | None) -> "list[_Worker]":
        """Return those that have answered, died or are beyond the limit; wait for one."""
        left = None if limit is None else max(0.0, limit - max(each.seconds for each in workers))
        found = connection.wait([each.pipe for each in workers], timeout=left)
        return [
            each
            for each in workers
            if each.pipe in found or (limit is not None and each.seconds >= limit)
        ]


class _Worker:
    """A process that calls functions on what it is given, for as long as its pipe is held."""

    def __init__(self) -> None:
        context = forking.context(PRELOAD)
        self.began = time.monotonic()
        for left in reversed(range(STARTS)):
            self.pipe, theirs = context.Pipe()
            self.process = context.Process(target=_work, args=(theirs,), daemon=True)
            resource_tracker.ensure_running()  # else it starts within, and ends the shelter
            try:
                with forking.sheltered():  # a process started here inherits it
                    self.process.start()
                return
            except (EOFError, ConnectionError):  # the process that forks them was killed
                self.pipe.close()
                if not left:
                    raise ChildProcessError("expected to start a worker, got none") from None
                time.sleep(PAUSE)  # until the system says that it has gone
            finally:
                theirs.close()

    @property
    def seconds(self) -> float:
        """How long it has been at work."""
        return time.monotonic() - self.began

    def give(self, function: Callable[[Any], Any], task: Any) -> None:
        """Give it something to do; whether it lives shows in its answer."""
        self.began = time.monotonic()
        with contextlib.suppress(OSError):
            self.pipe.send((function, task))

    def answer(self) -> Answer | None:
        """Return its answer; None where there is none, or its process has gone."""
        try:
            found: Answer | None = self.pipe.recv() if self.pipe.poll() else None
        except (EOFError, OSError):
            return None
        return found

    def died(self) -> str:
        """Return how it came to its end, in words."""
        self.process.join(10)
        code = self.process.exitcode
        if code is None or code >= 0:
            return "the worker process died before the cell ended"
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        told = " (as happens where memory runs out)" if -code == signal.SIGKILL else ""
        return f"the worker process died by {name}{told} before the cell ended"

    def end(self) -> None:
        """End it, whatever it does: it lives no longer than its pipe, in any case."""
        self.pipe.close()
        self.process.kill()
        self.process.join(10)


def _work(pipe: "connection.Connection[Any, Any]") -> None:
    """Answer one task after another; end with whoever holds the other end, even killed."""
    guard()
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while True:
                tasks.put(pipe.recv())
        except Exception as error:
            if not isinstance(error, EOFError | OSError):  # else nobody reads on
                traceback.print_exc()
            os._exit(1)

    threading.Thread(target=listen, daemon=True).start()
    while True:
        function, task = tasks.get()
        try:
            answer = Answer(function(task))
        except Exception as error:
            answer = Answer(error=error)
        try:
            pipe.send(answer)
        except OSError:
            os._exit(1)
