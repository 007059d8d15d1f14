"""Files of a run directory: its lock, and JSON that is written whole or not at all."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedbert.disk.writer import open_private, private_folder, sweep, write_whole
from fedbert.errors import InputError
from fedbert.run_key import FILE
from reports.records import RECORDS
from reports.run_folder import SCORES

SHADOWS = "shadows"
KEPT = (SCORES, SHADOWS)
"""Folders of a run directory in which cells leave files."""


GRID, TRAINING = "a grid's run", "a training"
MARKS = {GRID: ("grid.json", RECORDS), TRAINING: ("checkpoint", "launches.json")}
"""What shows of which kind a run directory is."""


def check_place(directory: Path, kind: str) -> None:
    """Raise InputError for a place that is no folder, or the folder of the other kind of run."""
    if directory.exists() and not directory.is_dir():
        raise InputError(f"expected a folder for --out, got the file {directory}")
    for other, marks in MARKS.items():
        found = [name for name in marks if (directory / name).exists()]
        if other != kind and found:
            raise InputError(
                f"expected a new folder, or that of {kind}, got that of {other} with {found[0]} "
                f"in {directory}; choose another --out"
            )


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a run directory, free of what a killed run left; a second run on it is refused.

    A directory that was made for a run that is refused goes again.

    Raises:
        InputError: if another run holds it.
    """
    new = not directory.exists()
    private_folder(directory)
    with open_private(directory / ".lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"expected a run directory of one run, got another run in {directory}"
            ) from None
        sweep(directory, *(directory / name for name in KEPT))
        try:
            yield
        except InputError:
            if new:
                _forget(directory)
            raise


def _forget(directory: Path) -> None:
    """Remove a run directory in which nothing was written but its lock and key."""
    own = (directory / ".lock", directory / FILE)
    if all(path in own for path in directory.iterdir()):
        for path in own:
            path.unlink(missing_ok=True)
        directory.rmdir()


def note(path: Path, key: str, value: Any) -> None:
    """Set one key of a JSON object on disk; what cannot be read is begun anew."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        found = {}
    if not isinstance(found, dict):
        found = {}
    found[key] = value
    write_json(path, dict(sorted(found.items())))


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all; the caller holds the directory."""
    write_whole(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())
