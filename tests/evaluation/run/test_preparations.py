"""Preparations kept from cell to cell: loaded once, changed by nobody, never those of others."""

import hashlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from evaluation.grid.parse import read_grid
from evaluation.grid.spec import Cell, Grid, Spec
from evaluation.run import preparations
from evaluation.run.cell import run_cell
from evaluation.run.preparations import forget, looked_at, shared
from evaluation.run.runner import checked, run_grid
from evaluation.run.workers import Loop
from fedbert import prepare as module
from fedbert.prepare import Loaded


@pytest.fixture
def grid(small_grid: Path) -> Grid:
    """Four cells of little work: two seeds of two defences."""
    found = read_grid(small_grid)
    few = replace(found.cells[0].attacks, updates=(Spec("embedding_rows"),), candidates=12)
    return replace(found, cells=tuple(replace(cell, attacks=few) for cell in found.cells))


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The seeds of whatever was loaded."""
    found: list[int] = []
    before = module.loaded

    def loaded(config: Any) -> Loaded:
        found.append(config.seed)
        return before(config)

    forget()
    monkeypatch.setattr(module, "loaded", loaded)
    yield found
    forget()


def test_a_grid_loads_once_for_the_cells_of_a_seed_and_keeps_nothing(
    tmp_path: Path, grid: Grid, loads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    first = [cell.config.seed for cell in grid.cells]
    assert first == [0, 1, 0, 1] or first == [0, 0, 1, 1]
    cells = tuple(sorted(grid.cells, key=lambda cell: cell.config.seed))
    ordered = replace(grid, cells=cells)
    checked(ordered)
    assert loads == [0]
    assert run_grid(ordered, tmp_path / "run", Loop(), lambda *_: None, lambda _: None)
    assert loads == [0, 1]  # the check's serve the first two cells
    assert not preparations._held
    checked(ordered)
    assert loads == [0, 1, 0]  # files may be others by now
    checked(ordered)
    assert loads == [0, 1, 0, 0]


def test_what_a_training_starts_from_depends_on_all_that_is_loaded(
    grid: Grid, loads: list[int]
) -> None:
    config = grid.cells[0].config
    shared(config)
    more_steps = replace(config.training, local_steps=3, batch_size=4)
    assert len(shared(replace(config, training=more_steps)).clients) == 2 and len(loads) == 1
    others = [
        replace(config, seed=5),
        replace(config, data=replace(config.data, task="stsb")),
        replace(config, data=replace(config.data, max_length=12)),
        replace(config, model=replace(config.model, cut_layer=1)),
        replace(config, training=replace(config.training, precision="float64")),
    ]
    for number, other in enumerate(others, start=2):
        shared(other)
        assert len(loads) == number
    forget()
    looked_at(config)
    looked_at(others[0])  # of a check's several, the first cell's are kept
    assert len(loads) == 8 and shared(config) and len(loads) == 8
    store = shared(config).store
    assert store is not None and shared(others[1]).store is store  # whatever is loaded, one store
    forget()
    assert shared(config).store is not store


def state(value: Any, found: "hashlib._Hash") -> None:
    """Hash every array, tensor and flag that can be reached."""
    if isinstance(value, np.ndarray):
        found.update(value.tobytes())
    elif isinstance(value, torch.nn.Module):
        for name, tensor in sorted(value.state_dict().items()):
            found.update(name.encode() + tensor.detach().numpy().tobytes())
        for name, one in value.named_modules():
            found.update(f"{name}{one.training}".encode())
        for name, parameter in value.named_parameters():
            found.update(f"{name}{parameter.requires_grad}{parameter.grad is None}".encode())
    elif is_dataclass(value):
        for field in fields(value):
            state(getattr(value, field.name), found)
    elif isinstance(value, dict):
        for key in sorted(value):
            state(value[key], found)
    else:
        found.update(repr(value if isinstance(value, int | str | tuple) else None).encode())


def hashed(value: Any) -> str:
    found = hashlib.sha256()
    state(value, found)
    return found.hexdigest()


def told(cell: Cell, make: Any) -> dict[str, Any]:
    record = run_cell(cell, make=make).record
    assert record.status == "done", record.traceback
    return record.to_json() | {"seconds": {}}


@pytest.mark.parametrize("strategy", ["parallel", "fedavg"])
def test_cells_that_share_give_what_each_gives_alone_and_change_nothing(
    grid: Grid, loads: list[int], strategy: str
) -> None:
    cells = [
        replace(c, config=replace(c.config, training=replace(c.config.training, strategy=strategy)))
        for c in grid.cells
        if c.config.seed == 0 and (c.defence.name == "none" or strategy == "parallel")
    ]
    shared(cells[0].config)
    (kept,) = preparations._held.values()
    before = hashed(kept)
    together = [told(cell, shared) for cell in cells * 2]
    assert hashed(kept) == before and len(loads) == 1
    forget()
    assert together == [told(cell, module_prepare) for cell in cells] * 2


def module_prepare(config: Any) -> module.Prepared:
    return module.prepare(config, coin=True)
