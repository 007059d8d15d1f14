"""Frontier search: the level of each defence bisected, run as a grid that grows by what is tried.

Everything follows from the records: a search that was stopped goes on where it was, and the grid
that it leaves gives the same answer again.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evaluation.grid.defence_file import DefenceSettings
from evaluation.grid.file import UNDEFENDED, GridSettings
from evaluation.grid.frontier import FrontierSettings
from evaluation.grid.parse import grid_of, read_toml
from evaluation.grid.spec import Cell, Grid
from evaluation.grid.written import toml
from evaluation.metrics.bisection import level_at, next_position
from fedbert.disk.writer import write_whole
from fedbert.errors import InputError
from fedbert.settings import from_mapping
from reports.comparison import judged
from reports.frontier.answer import keeps, least_of
from reports.frontier.wish import wish_of
from reports.records import RECORDS, CellResult, read_records
from reports.rows import setting_rows

Level = dict[str, Any]
Levels = dict[str, list[Level]]
WRITTEN = "grid.toml"
"""The file of a run directory that names all that was tried."""


@dataclass(frozen=True)
class Frontier:
    """A search as its file asks for it, and the undefended trainings beside each defence's own.

    values: the file as it was parsed. bare: the undefended rows, the grid's own first, then one for
    each group of settings that a defence has for itself.
    """

    asked: GridSettings
    values: Mapping[str, Any]
    where: str
    name: str
    allow_code: bool
    bare: tuple[DefenceSettings, ...]

    @property
    def wish(self) -> FrontierSettings:
        """What is looked for."""
        if self.asked.frontier is None:
            raise InputError(f"{self.where}: expected [frontier], got a grid without it")
        return self.asked.frontier

    @property
    def defences(self) -> tuple[DefenceSettings, ...]:
        """The defences that are searched."""
        return tuple(each for each in self.asked.defences if each.searched)

    def grid(self, tried: "Levels", bare: bool = True) -> Grid:
        """Return the grid of the defences at these levels; without `bare`, one undefended row."""
        asked = replace(self.asked, defences=(*self._bare(bare), *self._at(tried)))
        return grid_of(asked, self.where, self.name, self.allow_code)

    def written(self, tried: "Levels", bare: bool) -> str:
        """Return the same grid as TOML, with the file's own words wherever they stand."""
        own = {each["name"]: each for each in self.values.get("defences", ())}
        rows: list[dict[str, Any]] = [
            {"name": each.name} | ({"set": dict(each.set)} if each.set else {})
            for each in self._bare(bare)
        ]
        for each in self._at(tried):
            level = {key: list(values) for key, values in each.level.items()}
            rows.append({**own[each.name], "level": level})
        values = {**self.values, "name": self.grid(tried, bare).name, "defences": rows}
        return f"# All that a search tried: `fedbert-eval privacy-utility` runs it.\n{toml(values)}"

    def _bare(self, every: bool) -> tuple[DefenceSettings, ...]:
        return self.bare if every else self.bare[:1]

    def _at(self, tried: "Levels") -> Iterator[DefenceSettings]:
        """Yield each defence at its levels, the most private first."""
        for each in self.defences:
            if levels := tried.get(each.name):
                ordered = sorted(levels, key=lambda level: _position(each, level))
                yield replace(
                    each, level={key: tuple(one[key] for one in ordered) for key in ordered[0]}
                )


def read_frontier(path: Path, allow_code: bool = False) -> Frontier:
    """Return the search that a TOML file asks for.

    Raises:
        InputError: one line that names the file, the key, what was expected and what came.
    """
    values, where = read_toml(path, "frontier"), str(path)
    asked = from_mapping(GridSettings, values, where)
    if asked.frontier is None:
        least = '[frontier] with data = "public" (or "spent", "private") and least_share = 0.9'
        raise InputError(f"{where}: expected {least}, got a grid without it")
    names = [each.name for each in asked.defences]
    for each in asked.defences:
        if names.count(each.name) > 1:
            raise InputError(f"{where}: expected different names, got {each.name!r} twice")
        if each.searched or each.name == UNDEFENDED:
            continue
        ends = 'epsilon = [0.5, 16.0] or search = { "PLACE.KEY" = [..] }'
        raise InputError(f"{where}: defence {each.name!r}: expected {ends}, got none")
    own = dict.fromkeys(tuple(each.set.items()) for each in asked.defences if each.searched)
    if not own:
        raise InputError(f"{where}: expected a defence to search, got none")
    bare = tuple(DefenceSettings(UNDEFENDED, set=dict(each)) for each in ((), *filter(None, own)))
    frontier = Frontier(asked, values, where, path.stem, allow_code, bare)
    return frontier


def ends(frontier: Frontier) -> Grid:
    """Return the grid of both bounds of every defence: if it passes, so does all between."""
    every = {each.name: [level_of(each, at) for at in (0.0, 1.0)] for each in frontier.defences}
    return frontier.grid(every)


def level_of(defence: DefenceSettings, position: float) -> Level:
    """Return the level of a defence at a position: 0 is the most private one, 1 the most useful."""
    return {key: level_at((e[0], e[1]), position) for key, e in defence.searched.items()}


def _position(defence: DefenceSettings, level: Level) -> float:
    """Return how far a level lies from the most private value to the most useful one."""
    key, (first, last) = next(iter(defence.searched.items()))
    return float((level[key] - first) / (last - first))


@dataclass
class Plan:
    """Where a search stands: the levels tried of each defence, and the cells that lack a record.

    bare: undefended training left its baseline, and defences are tried. reason: why they are not.
    """

    grid: Grid
    missing: list[Cell]
    tried: Levels = field(default_factory=dict)
    bare: bool = False
    reason: str = ""


def plan(
    frontier: Frontier, every: Mapping[str, CellResult], earlier: Levels, again: bool = False
) -> Plan:
    """Return how far the records, by cell, take a search, and which cells come next.

    First the undefended row alone: where that did not leave its baseline, no defence is trained.
    earlier: levels of which there may be records though this search would not ask for them. again:
    failed cells are to be tried again.
    """
    records = {cell: each for cell, each in every.items() if not again or each.status != "failed"}
    first = frontier.grid({}, bare=False)
    lacking = [cell for cell in first.cells if cell.id not in records]
    if lacking and not earlier:
        return Plan(first, lacking)
    bare = [records[cell.id] for cell in first.cells if cell.id in records]
    verdict, least = judged(bare), _least(frontier, bare) if bare else None
    if not lacking and not earlier and (not verdict.holds or least is None):
        return Plan(first, [], reason=verdict.told or "undefended training has no utility")
    tried: Levels = {}
    for each in frontier.defences:
        found = [one for one in earlier.get(each.name, []) if _begun(frontier, each, one, every)]
        if not lacking and verdict.holds and least is not None:
            walked = _walked(frontier, each, records, least)
            found += [one for one in walked if one not in found]
        tried[each.name] = found
    grid = frontier.grid(tried)
    return Plan(grid, [cell for cell in grid.cells if cell.id not in records], tried, True)


def _least(frontier: Frontier, bare: Sequence[CellResult]) -> float | None:
    """Return the utility that is needed, by the undefended row."""
    wish = wish_of({"frontier": frontier.wish.to_json()})
    return None if wish is None else least_of(setting_rows(bare)[0], wish)


def _begun(
    frontier: Frontier, defence: DefenceSettings, level: Level, records: Mapping[str, CellResult]
) -> bool:
    """Return whether there is a record of a defence at a level."""
    return any(cell.id in records for cell in _cells(frontier, defence, level))


def _walked(
    frontier: Frontier, defence: DefenceSettings, records: Mapping[str, CellResult], least: float
) -> list[Level]:
    """Return the levels of a defence that a bisection over the records asks for."""
    wish, kept, levels = frontier.wish, dict[float, bool](), list[Level]()
    while (position := next_position(kept, wish.steps, wish.tolerance)) is not None:
        level = level_of(defence, position)
        levels += [level] if level not in levels else []
        cells = _cells(frontier, defence, level)
        found = [records[cell.id] for cell in cells if cell.id in records]
        if len(found) < len(cells):
            break
        kept[position] = keeps(setting_rows(found)[0], least)
    return levels


def _cells(frontier: Frontier, defence: DefenceSettings, level: Level) -> list[Cell]:
    """Return a defence's cells at one level."""
    grid = frontier.grid({defence.name: [level]}, bare=False)
    return [cell for cell in grid.cells if cell.defence.name == defence.name]


def earlier_levels(frontier: Frontier, directory: Path) -> Levels:
    """Return the levels that the grid of an earlier search in this directory names."""
    path = directory / WRITTEN
    if not path.is_file():
        return {}
    found: Levels = {}
    written = read_toml(path, "grid").get("defences", [])
    for each in frontier.defences:
        for other in written if isinstance(written, list) else []:
            level = other.get("level") if isinstance(other, dict) else None
            level = level if isinstance(level, dict) else {}
            if set(level) == set(each.searched) and other.get("name") == each.name:
                rows = zip(*level.values(), strict=False)
                found[each.name] = [dict(zip(level, row, strict=True)) for row in rows]
    return found


def known_records(directory: Path) -> dict[str, CellResult]:
    """Return the records of a run by cell.

    Raises:
        InputError: for a file that holds no records.
    """
    path = directory / RECORDS
    if not path.exists():
        return {}
    try:
        records = read_records(path)
    except ValueError as error:
        raise InputError(str(error)) from None
    return {each.cell: each for each in records}


def write_grid(frontier: Frontier, found: Plan, directory: Path) -> None:
    """Write the grid of all that was tried beside the records."""
    text = frontier.written(found.tried, found.bare)
    write_whole(directory / WRITTEN, text.encode("utf-8"))
