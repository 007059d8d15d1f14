"""Cells that travel as JSON: every one of the committed grids arrives as it was."""

import json
from pathlib import Path

import pytest

from evaluation.grid import sent
from evaluation.grid.parse import default_grid, read_grid
from evaluation.grid.spec import Cell
from fedbert.errors import InputError

GRIDS = [default_grid(), *sorted(Path("docs/results").glob("*/grid.toml"))]


def travelled(cell: Cell) -> Cell:
    return sent.from_json(json.loads(json.dumps(sent.to_json(cell))))


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.parent.name)
def test_a_cell_arrives_with_its_id_columns_and_settings(path: Path) -> None:
    cells = read_grid(path).cells
    for cell in {(c.level, *c.swept, c.defence.name): c for c in cells}.values():
        found = travelled(cell)
        assert (found.id, found.labels, found.spec()) == (cell.id, cell.labels, cell.spec())
        if cell.config.training.strategy != "one_message":  # whose defaults are written out
            assert found == cell


def test_leave_to_import_code_travels_and_is_not_made_up(small_grid: Path) -> None:
    text = small_grid.read_text().replace("[attacks]", '[attacks]\nmembership = ["mine:Attack"]')
    small_grid.write_text(text)
    (cell, *_) = read_grid(small_grid, allow_code=True).cells
    found = travelled(cell)
    assert [spec.code for spec in found.attacks.membership if ":" in spec.name] == [True]
    with pytest.raises(InputError, match="expected --allow-code"):
        sent.from_json(sent.to_json(cell) | {"allow_code": False})


def test_a_cell_that_is_another_by_the_code_that_is_here_is_refused(small_grid: Path) -> None:
    (cell, *_) = read_grid(small_grid).cells
    with pytest.raises(InputError, match="expected the same code on every machine"):
        sent.from_json(sent.to_json(cell) | {"id": "0" * 16})
