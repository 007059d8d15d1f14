"""Unfinished runs: which cells of a grid have no record yet."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from reports.records import CellResult


def missing(records: Sequence[CellResult], grid: Any) -> list[tuple[str, str]]:
    """Task and name of each cell that `grid.json` names and that has no record; none without one.

    >>> missing([], {"cells": [{"data": {"task": "sst2"}, "seed": 3}]})
    [('sst2', 'sst2, seed 3')]
    """
    cells = grid.get("cells") if isinstance(grid, Mapping) else None
    if not isinstance(cells, list):
        return []
    known = {json.dumps(record.spec, sort_keys=True) for record in records}
    return [_named(cell) for cell in cells if json.dumps(cell, sort_keys=True) not in known]


def left(gone: Sequence[tuple[str, str]], task: str, there: int) -> str:
    """How many cells of a task are missing, as a sentence; "" for none."""
    own = sum(name == task for name, _ in gone)
    return f"Not finished: {own} of {own + there} cells missing." if own else ""


def _named(cell: Any) -> tuple[str, str]:
    """A cell's task, and its parts that are there, as words."""
    task = _text(cell, "data", "task") or _text(cell, "task") or "a task"
    parts = [
        task, _text(cell, "training", "strategy"), _text(cell, "defence", "name"),
        _text(cell, "level"),
    ]  # fmt: skip
    seed = cell.get("seed") if isinstance(cell, Mapping) else None
    told = [part for part in parts if part and part != "-"]
    return task, ", ".join([*told, *([f"seed {seed}"] if seed is not None else [])])


def _text(value: Any, *keys: str) -> str:
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, str) else ""
