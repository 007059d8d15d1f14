"""Progress of a grid: a line per finished cell and, on a terminal, a bar; with the time left."""

from collections.abc import Sequence
from types import TracebackType

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from evaluation.cli.shared import duration
from evaluation.grid.durations import Remaining
from evaluation.grid.spec import Cell
from evaluation.run.foretold import foretold
from reports.fates import reason
from reports.labels import further_labels, phrase
from reports.records import CellResult
from reports.terminal import console, one_line


class GridProgress:
    """Tells how far a grid is. The time left is that of cells alike, by what they have to do."""

    def __init__(self, workers: int) -> None:
        """Start with nothing known."""
        self.workers = workers
        self.console = console(stderr=True)
        self.bar = Progress(
            TextColumn("cells"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self.done, self.todo = 0, 0
        self.remaining = Remaining({})

    def __enter__(self) -> "GridProgress":
        """Show the bar."""
        self.bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Take the bar away."""
        self.bar.stop()

    def start(self, todo: Sequence[Cell], total: int) -> None:
        """Hear which cells remain, of how many."""
        told = foretold(cell.id for cell in todo)
        self.todo, self.remaining = len(todo), Remaining({cell.id: cell for cell in todo}, told)
        if self.todo < total:
            self.console.print(f"{total - self.todo} of {total} cells have a record already")
        left = self.remaining.seconds(self.workers) if self.todo else None
        words = "time left: known after the first cell"
        if left is not None:
            words = f"about {duration(left)} left"
            self.console.print(f"{words}, as a dry run here timed it", soft_wrap=True)
        self.task = self.bar.add_task(words, total=self.todo)

    def record(self, record: CellResult) -> None:
        """Hear that a cell ended."""
        self.done += 1
        self.remaining.ended(record.cell, record.seconds, record.status == "skipped")
        left = self.remaining.seconds(self.workers)
        words = "time left not known yet" if left is None else f"about {duration(left)} left"
        line = f"[{self.done}/{self.todo}] {_name(record)}: {_fate(record)}"
        if self.done < self.todo:
            line += f"; {words}"
        self.console.print(one_line(line), soft_wrap=True)
        self.bar.update(self.task, advance=1, description=words)


def _name(record: CellResult) -> str:
    keys = ("task", "strategy", "defence", "level")
    parts = [record.labels[key] for key in keys if record.labels.get(key, "-") != "-"]
    return " ".join([*parts, f"seed {record.labels['seed']}"]) + phrase(
        further_labels(record.labels)
    )


def _fate(record: CellResult) -> str:
    if record.status == "done":
        return f"done in {duration(sum(record.seconds.values()))}"
    return reason(record)
