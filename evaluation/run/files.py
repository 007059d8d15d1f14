"""Files of a run directory: its lock, and JSON that is written whole or not at all."""

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedbert.errors import InputError
from reports.whole import write_whole


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


def note(path: Path, key: str, value: Any) -> None:
    """Set one key of a JSON object on disk; what cannot be read is begun anew."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError, RecursionError):
        found = {}
    found[key] = value
    write_json(path, dict(sorted(found.items())))


def write_json(path: Path, value: Any) -> None:
    """Write JSON whole or not at all; the caller holds the directory."""
    write_whole(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())
