"""Cells that end well, kill their worker or hang: stand-ins for what a grid's engine meets."""

import os
import signal
import time
from pathlib import Path

from evaluation.grid.spec import Cell
from evaluation.run.outcome import Outcome
from fedbert.errors import InputError
from reports.records import CellResult


def begun(place: Path, cell: Cell) -> int:
    """Return how often a cell was begun, this time included."""
    with (place / cell.id).open("a") as file:
        file.write(f"{os.getpid()}\n")
    return len((place / cell.id).read_text().split())


def record(cell: Cell) -> Outcome:
    """End well."""
    return Outcome(CellResult(cell.id, "skipped", cell.spec(), cell.labels, "done"), {})


def first(cell: Cell) -> bool:
    """Return whether it is the grid's first cell."""
    return cell.config.seed == 0 and cell.defence.name == "none"


def dies(place: Path, times: int, cell: Cell) -> Outcome:
    """End well, but for the first cell: its first workers are killed."""
    if begun(place, cell) <= times and first(cell):
        os.kill(os.getpid(), signal.SIGKILL)
    return record(cell)


def hangs(place: Path, cell: Cell) -> Outcome:
    """End well; the first cell only after a while."""
    begun(place, cell)
    if first(cell):
        time.sleep(600)
    return record(cell)


def raises(cell: Cell) -> Outcome:
    """Fail with a line."""
    raise InputError(f"expected better of {cell.config.seed}")
