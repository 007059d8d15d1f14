"""Expansion of a grid's lists: every combination once, each a cell that was checked."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

from evaluation.grid.file import (
    COUNTS,
    CUT,
    OWN,
    PARTS,
    GridSettings,
    OverrideSettings,
    TrainingSettings,
)
from evaluation.grid.spec import AttackSettings, Cell, as_written
from fedbert.errors import InputError
from fedbert.setting_types import ONE_MESSAGE
from fedbert.settings import from_mapping
from fedbert.tasks import is_of_pairs

CELLS = 100_000
"""The most cells of a grid."""


def cells_of(asked: GridSettings, where: str) -> tuple[Cell, ...]:
    """Return a grid's cells in the order in which they run: seeds change first, tasks last.

    Raises:
        InputError: for too many cells, two that are equal, or settings that do not go together.
    """
    _check_message(asked, where)
    levels = [(one, *pair) for one in asked.defences for pair in one.levels()]
    axes, file = _axes(asked), where
    count = prod(map(len, axes.values())) * len(levels) * len(asked.seeds)
    if count > CELLS:
        raise InputError(f"{where}: expected at most {CELLS} cells, got {count}")
    cells: dict[str, Cell] = {}
    for values in product(*axes.values()):
        point = dict(zip(axes, values, strict=True))
        swept = tuple((key, as_written(point[key])) for key in asked.sweep)
        where = ": ".join([file, *(f"at {key} = {value}" for key, value in swept)])
        training, attacks = _training(asked, point, where), _attacks(asked, point, where)
        for (one, defence, level), seed in product(levels, asked.seeds):
            own, columns = training, swept
            if one.set:
                here = f"{where}: defence {one.name!r}: set"
                own = _training(asked, {**point, **one.set}, here, tuple(one.set))
                columns = _with_set(swept, one.set)
            config = replace(own.config, seed=seed)
            cell = Cell(config, defence, level, attacks, own.delta, columns, asked.audit)
            if cell.id in cells:
                told = ", ".join(f"{name} {value}" for name, value in cell.labels.items())
                raise InputError(f"{file}: expected different cells, got two of {told}")
            cells[cell.id] = cell
    return tuple(cells.values())


def _axes(asked: GridSettings) -> dict[str, tuple[Any, ...]]:
    """Return the values over which the trainings differ, by the setting's key."""
    axes: dict[str, tuple[Any, ...]] = {
        "data.task": asked.tasks,
        "training.strategy": asked.strategies,
    }
    if asked.cut_layers is not None:
        axes[CUT] = asked.cut_layers
    return axes | asked.sweep


def _check_message(asked: GridSettings, where: str) -> None:
    """Refuse settings of a message where nothing is sent as one."""
    own = (each.set.get("training.strategy") for each in asked.defences)
    if asked.message and ONE_MESSAGE not in (*asked.strategies, *own):
        raise InputError(f"{where}: message: expected {ONE_MESSAGE} among strategies, got none")


def _attacks(asked: GridSettings, point: Mapping[str, Any], where: str) -> AttackSettings:
    """Return the attacks at one point."""
    counts = {name: point[f"attacks.{name}"] for name in COUNTS if f"attacks.{name}" in point}
    if not counts:
        return asked.attacks
    try:
        return replace(asked.attacks, **counts)
    except InputError as error:
        raise InputError(f"{where}: attacks: {error}") from None


def _with_set(
    swept: tuple[tuple[str, str], ...], own: Mapping[str, Any]
) -> tuple[tuple[str, str], ...]:
    """Return what a sweep set with what a defence set in its place; a strategy has its column."""
    written = {key: as_written(value) for key, value in own.items() if key not in OWN}
    return tuple((dict(swept) | written).items())


def _training(
    asked: GridSettings, point: Mapping[str, Any], where: str, set_: tuple[str, ...] = ()
) -> TrainingSettings:
    """Return the training at one point: the grid's sections, the task's own, the point's values.

    set_: keys of the point that stand in place of what the sections say.
    """
    own = asked.override.get(point["data.task"], OverrideSettings())
    values: dict[str, Any] = {"delta": asked.delta, "noise": asked.noise}
    values |= {part: {**getattr(asked, part), **getattr(own, part)} for part in PARTS}
    for key, value in point.items():
        part, _, name = key.partition(".")
        if key == "delta":
            values[key] = value
        elif part not in PARTS:
            continue
        elif name in values[part] and key not in set_:
            raise InputError(f"{where}: {part}: {name} comes from the grid's lists, not here")
        else:
            values[part][name] = value
    if values["training"].get("strategy") == ONE_MESSAGE:
        values["model"].setdefault("freeze_embeddings", True)
        others = (_of_pairs(asked, task) for task in asked.tasks)
        if any(others) and not _of_pairs(asked, point["data.task"]):
            for name in ("pairs", "alike"):  # they speak of the grid's other tasks
                values["message"].pop(name, None)
    else:
        del values["message"]
    if values["training"].get("strategy") == "centralised":
        del values["faults"]
    return from_mapping(TrainingSettings, values, where)


def _of_pairs(asked: GridSettings, task: str) -> bool:
    """Return whether a task of the grid has pairs of texts."""
    own = asked.override.get(task, OverrideSettings())
    return is_of_pairs(task, {**asked.data, **own.data}.get("pair"))
