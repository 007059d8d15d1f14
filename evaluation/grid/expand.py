"""Expansion of a grid's lists: every combination once, each a cell that was checked."""

from collections.abc import Mapping
from itertools import product
from math import prod
from typing import Any

from evaluation.grid.file import GridSettings, OverrideSettings, TrainingSettings
from evaluation.grid.spec import Cell
from fedbert.config import InputError
from fedbert.settings import from_mapping

CELLS = 100_000
"""The most cells of a grid."""
PARTS = ("model", "data", "training")


def cells_of(asked: GridSettings, where: str) -> tuple[Cell, ...]:
    """Return a grid's cells in the order in which they run: seeds change first, tasks last.

    Raises:
        InputError: for too many cells, two that are equal, or settings that do not go together.
    """
    levels = [pair for defence in asked.defences for pair in defence.levels()]
    axes = _axes(asked)
    count = prod(map(len, axes.values())) * len(levels) * len(asked.seeds)
    if count > CELLS:
        raise InputError(f"{where}: expected at most {CELLS} cells, got {count}")
    cells: dict[str, Cell] = {}
    for values in product(*axes.values()):
        point = dict(zip(axes, values, strict=True))
        for (defence, level), seed in product(levels, asked.seeds):
            training = _training(asked, point | {"seed": seed}, where)
            cell = Cell(training.config, defence, level, asked.attacks, training.delta)
            if cell.id in cells:
                raise InputError(f"{where}: expected different cells, got two of {cell.labels}")
            cells[cell.id] = cell
    return tuple(cells.values())


def _axes(asked: GridSettings) -> dict[str, tuple[Any, ...]]:
    """Return the values over which the trainings differ, by the setting's key."""
    axes: dict[str, tuple[Any, ...]] = {
        "data.task": asked.tasks,
        "training.strategy": asked.strategies,
    }
    if asked.cut_layers is not None:
        axes["model.cut_layer"] = asked.cut_layers
    return axes


def _training(asked: GridSettings, point: Mapping[str, Any], where: str) -> TrainingSettings:
    """Return the training at one point: the grid's sections, the task's own, the point's values."""
    own = asked.override.get(point["data.task"], OverrideSettings())
    values: dict[str, Any] = {"delta": asked.delta}
    values |= {part: {**getattr(asked, part), **getattr(own, part)} for part in PARTS}
    for key, value in point.items():
        part, dot, name = key.partition(".")
        if not dot:
            values[key] = value
        elif name in values[part]:
            raise InputError(f"{where}: {part}: {name} comes from the grid's lists, not here")
        else:
            values[part][name] = value
    return from_mapping(TrainingSettings, values, where)
