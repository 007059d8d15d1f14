"""Foretold durations: what a dry run timed, kept on this machine for the run that follows it.

They lie in the user's cache and not in the run's folder, which a dry run leaves alone. Cells are
named by their ids, hashes of all that they do; nothing else of a grid is in the file.
"""

import json
import os
import platform
from collections.abc import Iterable, Mapping
from math import isfinite
from pathlib import Path
from typing import Any

from fedbert.disk.writer import write_whole

FOLDER = "FEDBERT_EVAL_CACHE"
"""The variable that names another folder."""
MOST = 5_000
"""So many cells are kept, the latest ones."""
BROKEN = (
    OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError,
)  # fmt: skip
"""What reading a file that is none may raise; without a home folder it is a RuntimeError."""


def keep(seconds: Mapping[str, float]) -> None:
    """Keep what cells will take, in seconds by id; where nothing can be written, nothing is."""
    found = {cell: each for cell, each in _kept().items() if cell not in seconds} | dict(seconds)
    latest = dict(list(found.items())[-MOST:])
    content = json.dumps({"machine": platform.node(), "seconds": latest}) + "\n"
    try:
        _place().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_whole(_place(), content.encode())
    except (OSError, RuntimeError):  # no home folder is a RuntimeError
        return


def foretold(cells: Iterable[str]) -> dict[str, float]:
    """Return what a dry run on this machine expected of these cells, in seconds by id."""
    found = _kept()
    return {cell: found[cell] for cell in cells if cell in found}


def _place() -> Path:
    """Return the file; it is nobody's results."""
    above = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    folder = os.environ.get(FOLDER) or f"{above}/fedbert-eval"
    return Path(folder).expanduser() / "foretold.json"


def _kept() -> dict[str, float]:
    """Return what the file says; nothing of one that is none, or of another machine."""
    try:
        found: Any = json.loads(_place().read_text("utf-8"))
        if found["machine"] != platform.node():
            return {}
        return {str(cell): float(each) for cell, each in found["seconds"].items() if _is_time(each)}
    except BROKEN:
        return {}


def _is_time(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and isfinite(value) and value >= 0
