"""Attempts at cells: each is begun by a worker, again where that one dies, and given up in time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from evaluation.grid.spec import Cell
    from evaluation.run.outcome import Outcome

TRIES = 3
"""How often a cell is begun before the death of its workers is its record."""


class Worker(Protocol):
    """Somebody who runs one cell at a time, and may die of it."""

    @property
    def seconds(self) -> float:
        """How long it has been at work."""

    def give(self, function: Callable[[Any], Any], task: Any) -> None:
        """Give it something to do; whether it lives shows in its answer."""

    def answer(self) -> "Answer | None":
        """Return its answer; None where there is none, or it has gone."""

    def died(self) -> str:
        """Return how it came to its end, in words."""

    def end(self) -> None:
        """End it, whatever it does."""


W = TypeVar("W", bound=Worker)


@dataclass(frozen=True)
class Answer:
    """What a function returned in a worker, or raised."""

    made: Any = None
    error: Exception | None = None

    def value(self) -> Any:
        """Return it; what was raised is raised here.

        Raises:
            Exception: that one.
        """
        if self.error is not None:
            raise self.error
        return self.made


class Staff(Protocol[W]):
    """Whoever hires workers, and waits for them."""

    @property
    def size(self) -> int:
        """How many work side by side."""

    def hire(self) -> W:
        """Return a new worker."""

    def ready(self, workers: list[W], limit: float | None) -> list[W]:
        """Return those that have answered, died or are beyond the limit; wait for one."""


def attempts(
    staff: Staff[W],
    idle: list[W],
    function: "Callable[[Cell], Outcome]",
    cells: "Sequence[Cell]",
    limit: float | None,
) -> "Iterator[tuple[Cell, Outcome]]":
    """Yield every cell with its outcome, in the order in which they end; then nobody works on.

    idle: workers that are there already. A worker that dies costs its own cell alone, which is
    begun again, TRIES times in all, and then recorded as failed; so is a cell that takes longer
    than the limit (seconds), at once.
    """
    waiting = [(cell, 1) for cell in cells]
    running: dict[W, tuple[Cell, int]] = {}
    try:
        while waiting or running:
            while waiting and len(running) < staff.size:
                worker = idle.pop() if idle else staff.hire()
                running[worker] = waiting.pop(0)
                worker.give(function, running[worker][0])
            for worker in staff.ready(list(running), limit):
                cell, tries = running.pop(worker)
                if (answer := worker.answer()) is not None:
                    idle.append(worker)
                    yield cell, answer.value()
                    continue
                late = limit is not None and worker.seconds >= limit
                fate = f"it took longer than {limit:g} s" if late else worker.died()
                worker.end()
                if late or tries == TRIES:
                    yield cell, _failed(cell, fate, tries, late)
                else:
                    waiting.insert(0, (cell, tries + 1))
    finally:
        for worker in [*idle, *running]:
            worker.end()
        idle.clear()


def _failed(cell: "Cell", fate: str, tries: int, late: bool) -> "Outcome":
    """Return the outcome of a cell that its worker did not end."""
    from evaluation.run.outcome import Outcome
    from reports.records import CellResult

    reason = f"{fate}: cell_time_limit" if late else f"{fate}, {tries} times"
    record = CellResult(cell.id, "failed", cell.spec(), cell.labels, reason, f"{reason}\n")
    return Outcome(record, {})
