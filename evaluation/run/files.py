"""Files of a run directory: its lock, and JSON that is written whole or not at all."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedbert.disk.writer import open_private, private_folder, sweep, write_whole
from fedbert.errors import InputError
from reports.scores import FOLDER

SHADOWS = "shadows"
KEPT = (FOLDER, SHADOWS)
"""Folders of a run directory in which cells leave files."""


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Hold a run directory, free of what a killed run left; a second run on it is refused.

    Raises:
        InputError: if another run holds it.
    """
    private_folder(directory)
    with open_private(directory / ".lock") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"expected a run directory of one run, got another run in {directory}"
            ) from None
        sweep(directory, *(directory / name for name in KEPT))
        yield


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
