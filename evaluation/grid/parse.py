"""Reading of grids: from a TOML file to cells, all checked before anything is trained."""

import logging
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from evaluation.grid.expand import cells_of
from evaluation.grid.file import GridSettings
from evaluation.grid.foreign import with_leave
from evaluation.grid.run_name import run_name
from evaluation.grid.spec import Grid
from fedbert.errors import InputError, nearest_place
from fedbert.manifest import RENAMED
from fedbert.settings import from_mapping

logger = logging.getLogger(__name__)


def default_grid() -> Path:
    """Return the grid of the embedded default."""
    return Path(str(resources.files("evaluation"))) / "grids" / "default.toml"


def read_grid(path: Path, allow_code: bool = False) -> Grid:
    """Return the grid of a TOML file.

    allow_code: classes of somebody else's that it names ("module:Class") may be imported and run.

    Raises:
        InputError: one line that names the file, the key, what was expected and what came.
    """
    values = read_toml(path, "grid")
    if not values:
        least = 'expected a grid, at the least tasks = ["sst2"]'
        raise InputError(f"{path}: {least}, got an empty file")
    return grid_from(values, str(path), path.stem, allow_code)


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Return what a TOML file holds; `what` names it in messages.

    Raises:
        InputError: if there is no such file, or it is no TOML.
    """
    try:
        return with_names_of_today(tomllib.loads(path.read_bytes().decode("utf-8")), str(path))
    except IsADirectoryError:
        raise InputError(f"expected a TOML file, got a folder: {path}") from None
    except FileNotFoundError:
        raise InputError(
            f"expected a {what} file, got no file {path}{nearest_place(path)}"
        ) from None
    except RecursionError:
        raise InputError(f"expected a TOML file, got one nested too deep in {path}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"expected a TOML file, got {error} in {path}") from None


def with_names_of_today(values: dict[str, Any], where: str) -> dict[str, Any]:
    """Return a file's values, keys of [data] by their names of today; one that was renamed is said.

    >>> with_names_of_today({"tasks": ["sst2"], "data": {"pool": 60}}, "old.toml")["data"]
    {'pool_size': 60}
    """
    overrides = values.get("override")
    sections = [values, *(overrides.values() if isinstance(overrides, dict) else ())]
    for section in sections:
        data = section.get("data") if isinstance(section, dict) else None
        for old, new in RENAMED.items():
            if isinstance(data, dict) and old in data and new not in data:
                data[new] = data.pop(old)
                logger.warning("%s: data: %r is called %r today", where, old, new)
    return values


def grid_from(values: Mapping[str, Any], where: str, name: str, allow_code: bool = False) -> Grid:
    """Return the grid that a parsed file describes; `name`: of one that names itself not.

    allow_code: as for `read_grid`.

    Raises:
        InputError: one line that names the key, what was expected and what came.
    """
    if _is_training(values):
        found = "got a training: run finetune or pretrain on it"
        raise InputError(f"{where}: expected a grid, {found}")
    asked = from_mapping(GridSettings, values, where)
    for defence in asked.defences:
        if defence.searched and not defence.level:
            found = f"a search: run `fedbert-eval frontier {where}`"
            raise InputError(f"{where}: defence {defence.name!r}: expected levels, got {found}")
    return grid_of(asked, where, name, allow_code)


def grid_of(asked: GridSettings, where: str, name: str, allow_code: bool = False) -> Grid:
    """Return the grid of settings that were read; its arguments are those of `grid_from`."""
    cells = with_leave(cells_of(asked, where), allow_code, where)
    wish = None if asked.frontier is None else asked.frontier.to_json()
    said = None if asked.deployment is None else asked.deployment.to_json()
    called = run_name(asked.name or name, where)
    return Grid(called, cells, where, asked.cell_time_limit, wish, said)


def _is_training(values: Mapping[str, Any]) -> bool:
    """Return whether a file without tasks has what a training's has and no grid's."""
    data = values.get("data")
    tells = "defence" in values or "seed" in values or (isinstance(data, dict) and "task" in data)
    return "tasks" not in values and tells
