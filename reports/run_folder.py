"""Run folder as reports read it: its records in the grid's order, its JSON, and a name for it."""

import difflib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from reports.records import RECORDS, CellResult, read_records

SCORES = "scores"
"""The folder of a run that holds the scores of its membership attacks."""


def records_of(directory: Path) -> list[CellResult]:
    """The records of a run; ValueError where there are none."""
    path = directory / RECORDS
    if not path.is_file():
        raise ValueError(f"expected a run directory with {RECORDS}, got {_other(directory)}")
    records = read_records(path)
    if not records:
        raise ValueError(f"expected at least one record, got an empty {path}")
    return records


def _other(directory: Path) -> str:
    """What a directory without records is, and what is there for it."""
    for checkpoint in (directory, directory / "checkpoint"):
        if (checkpoint / "manifest.json").is_file():
            what = "a checkpoint" if checkpoint == directory else "the folder of a training"
            return f"{what}, {directory}: `fedbert-eval audit run {checkpoint}` reports on it"
    if directory.is_dir():
        return str(directory)
    runs = [str(each.parent) for each in directory.parent.glob(f"*/{RECORDS}")]
    near = difflib.get_close_matches(str(directory), runs, 1)
    return f"no directory {directory}" + (f": did you mean {near[0]}?" if near else "")


def in_order(records: Sequence[CellResult], grid: Any) -> list[CellResult]:
    """The records in the order of the grid's cells, where there is one; others come last."""
    cells = grid.get("cells") if isinstance(grid, dict) else None
    if not isinstance(cells, list):
        return list(records)
    order_of = {json.dumps(cell, sort_keys=True): number for number, cell in enumerate(cells)}
    specs = (json.dumps(record.spec, sort_keys=True) for record in records)
    order = [order_of.get(spec, len(order_of)) for spec in specs]
    return [records[i] for i in sorted(range(len(records)), key=order.__getitem__)]


def json_of(path: Path) -> Any:
    """What a JSON file holds; None where there is no such file."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text("utf-8"))
    except RecursionError:
        raise ValueError(f"expected JSON, got {path}: nested too deep") from None
    except ValueError as error:
        raise ValueError(f"expected JSON, got {path}: {error}") from error


def names_of(directories: Sequence[Path]) -> dict[str, Path]:
    """A short name for each directory: its last part, or the whole path where that is not one."""
    last = [directory.resolve().name for directory in directories]
    return {
        name if last.count(name) == 1 else str(directory): directory
        for name, directory in zip(last, directories, strict=True)
    }


def slug(text: str) -> str:
    """`text` as part of a file name.

    >>> slug("stsb/../x y")
    'stsb-x-y'
    """
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-")[:60] or "task"


def scores_path(run: Path, cell: str) -> Path:
    """Where a cell's scores are."""
    return Path(run) / SCORES / f"{cell}.npz"
