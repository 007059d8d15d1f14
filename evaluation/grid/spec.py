"""Grid specification: which cells to run. Read from TOML, checked before anything is trained."""

import hashlib
import json
import math
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from itertools import product
from pathlib import Path
from typing import Any

from fedbert.config import (
    STRATEGIES,
    Config,
    DataConfig,
    InputError,
    ModelConfig,
    TrainingConfig,
    from_mapping,
)
from fedbert.tasks import TASKS

Scalar = str | int | float | bool
PLACES = (
    "smashed", "hidden", "hidden_gradient", "smashed_gradient", "update", "labels", "training",
    "penalty",
)  # fmt: skip
FAMILIES = ("inversion", "backward", "updates", "pooled", "membership")
KEYS = (
    "name", "tasks", "strategies", "seeds", "cut_layers", "delta", "model", "data", "training",
    "attacks", "defences", "override",
)  # fmt: skip


@dataclass(frozen=True)
class Spec:
    """A catalogue name with its parameters."""

    name: str
    params: tuple[tuple[str, Scalar], ...] = ()


@dataclass(frozen=True)
class DefenceSpec:
    """A defence: a name for the tables, and a mechanism for each place that has one."""

    name: str
    smashed: Spec | None = None
    hidden: Spec | None = None
    hidden_gradient: Spec | None = None
    smashed_gradient: Spec | None = None
    update: Spec | None = None
    labels: Spec | None = None
    training: Spec | None = None
    penalty: Spec | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the defence as it stands in a grid file, levels applied."""
        places = {place: getattr(self, place) for place in PLACES}
        return {"name": self.name} | {
            place: {"mechanism": spec.name, **dict(spec.params)}
            for place, spec in places.items()
            if spec is not None
        }


@dataclass(frozen=True)
class AttackSettings:
    """Which attacks run, and on how much.

    messages: smashed-data messages to invert, at most: every client's first of rounds spread
        evenly over the training.
    candidates: membership candidates, members and others each, at most.
    shadows: models that a membership adversary trains in the same way on random halves of the pool;
        even, as they come in pairs that share no example.
    population: examples left out of the training that such an adversary knows to be left out.
    client_level: judge whole clients too: those that took part against as many that did not.
    """

    inversion: tuple[str, ...] = ("nearest_token", "bigram_prior")
    backward: tuple[str, ...] = ("masked_tokens", "label_from_gradient")
    updates: tuple[str, ...] = (
        "embedding_rows", "embedding_rows_peer", "row_order", "span_check", "gradient_matching",
    )  # fmt: skip
    pooled: tuple[str, ...] = ()
    membership: tuple[str, ...] = ("loss_threshold",)
    messages: int = 16
    candidates: int = 1000
    shadows: int = 0
    population: int = 0
    client_level: bool = False

    def __post_init__(self) -> None:
        """Check every field."""
        counts = (("messages", 2), ("candidates", 10), ("shadows", 0), ("population", 0))
        for name, least in counts:
            if getattr(self, name) < least:
                raise InputError(f"expected {name} >= {least}, got {name}={getattr(self, name)}")
        if self.shadows % 2:
            raise InputError(f"expected an even number of shadows, got shadows={self.shadows}")


@dataclass(frozen=True)
class Cell:
    """One training with its judgement. Its id is the hash of its canonical JSON."""

    config: Config
    defence: DefenceSpec
    level: str
    attacks: AttackSettings
    delta: float

    def spec(self) -> dict[str, Any]:
        """Return the cell as plain JSON."""
        return {
            **self.config.to_json(),
            "defence": self.defence.to_json(),
            "level": self.level,
            "attacks": json.loads(json.dumps(vars(self.attacks))),
            "delta": self.delta,
        }

    @property
    def id(self) -> str:
        """Return the cell's id: 16 hexadecimal digits."""
        text = json.dumps(self.spec(), sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def labels(self) -> dict[str, str]:
        """Return the cell's coordinates, for tables."""
        return {
            "task": self.config.data.task,
            "model": _model_label(self.config.model),
            "strategy": self.config.training.strategy,
            "defence": self.defence.name,
            "level": self.level,
            "seed": str(self.config.seed),
        }


@dataclass(frozen=True)
class Grid:
    """All cells of one comparison, in the order in which they run."""

    name: str
    cells: tuple[Cell, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the grid as plain JSON."""
        return {"name": self.name, "cells": [cell.spec() for cell in self.cells]}


def default_grid() -> Path:
    """Return the grid of the embedded default."""
    return Path(str(resources.files("evaluation"))) / "grids" / "default.toml"


def read_grid(path: Path) -> Grid:
    """Return the grid of a TOML file.

    Raises:
        InputError: one line that names the file, the key, what was expected and what came.
    """
    return grid_from(read_toml(path, "grid"), str(path), path.stem)


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """Return what a TOML file holds; `what` names it in messages.

    Raises:
        InputError: if there is no such file, or it is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"expected a {what} file, got no file {path}") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(f"expected a TOML file, got {error} in {path}") from None


def grid_from(values: Mapping[str, Any], where: str, name: str) -> Grid:
    """Return the grid that a parsed file describes."""
    for key in values:
        if key not in KEYS:
            raise InputError(f"{where}: unknown key {key!r}; allowed: {', '.join(KEYS)}")
    tasks = _names(values, "tasks", tuple(TASKS), where)
    strategies = _names(values, "strategies", STRATEGIES, where, ("parallel",))
    seeds = values.get("seeds", [0])
    if not (isinstance(seeds, list) and seeds and all(type(s) is int and s >= 0 for s in seeds)):
        raise InputError(f"{where}: expected a list of integers >= 0, got seeds={seeds!r}")
    cuts = values.get("cut_layers")
    if cuts is not None and not (
        isinstance(cuts, list) and cuts and all(type(c) is int and c >= 0 for c in cuts)
    ):
        raise InputError(f"{where}: expected a list of integers >= 0, got cut_layers={cuts!r}")
    delta = values.get("delta", 1e-5)
    if not (isinstance(delta, float) and 0 < delta < 1):
        raise InputError(f"{where}: expected 0 < delta < 1, got delta={delta!r}")
    attacks = _attacks(_table(values, "attacks", where), where)
    defences = list(_defences(values.get("defences", [{"name": "none"}]), where))
    cells = []
    for task in tasks:
        base = _config(values, task, where)
        layers = [base.model.cut_layer] if cuts is None else cuts
        for strategy, cut, (defence, level), seed in product(strategies, layers, defences, seeds):
            training = _with_strategy(base.training, strategy, where)
            model = replace(base.model, cut_layer=cut)
            config = replace(base, model=model, training=training, seed=seed)
            cells.append(Cell(config, defence, level, attacks, delta))
    ids = [cell.id for cell in cells]
    twice = next((cell for cell in cells if ids.count(cell.id) > 1), None)
    if twice is not None:
        raise InputError(f"{where}: expected different cells, got two of {twice.labels}")
    return Grid(str(values.get("name", name)), tuple(cells))


def _model_label(model: ModelConfig) -> str:
    """Return the model's name for tables; with the cut, where that is not the embeddings."""
    name = Path(model.source).name
    return f"{name}, cut at {model.cut_layer}" if model.cut_layer else name


def _with_strategy(training: TrainingConfig, strategy: str, where: str) -> TrainingConfig:
    try:
        return replace(training, strategy=strategy)
    except InputError as error:
        raise InputError(f"{where}: training: {error}") from None


def _config(values: Mapping[str, Any], task: str, where: str) -> Config:
    """Return the configuration of a task: the grid's sections, overridden by the task's own."""
    override = _table(values, "override", where)
    unknown = set(override) - set(TASKS)
    if unknown:
        raise InputError(f"{where}: unknown task {sorted(unknown)[0]!r} in override")
    own = _table(override, task, f"{where}: override")
    kinds = {"model": ModelConfig, "data": DataConfig, "training": TrainingConfig}
    for key in own:
        if key not in kinds:
            raise InputError(
                f"{where}: override.{task}: unknown key {key!r}; allowed: {', '.join(kinds)}"
            )
    parts: dict[str, Any] = {}
    for part, kind in kinds.items():
        merged = {**_table(values, part, where), **_table(own, part, f"{where}: override.{task}")}
        for key in {"model": (), "data": ("task",), "training": ("strategy",)}[part]:
            if key in merged:
                raise InputError(f"{where}: {part}: {key} comes from the grid's lists, not here")
        if part == "data":
            merged["task"] = task
        parts[part] = from_mapping(kind, merged, f"{where}: {part}")
    try:
        return Config(**parts)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _attacks(values: Mapping[str, Any], where: str) -> AttackSettings:
    lists = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    for key in FAMILIES:
        named = values.get(key, [])
        if not isinstance(named, list) or not all(isinstance(n, str) for n in named):
            raise InputError(f"{where}: attacks: expected names, got {key}={values[key]!r}")
    numbers = {k: v for k, v in lists.items() if k not in FAMILIES}
    checked = from_mapping(AttackSettings, numbers, f"{where}: attacks")
    names: dict[str, Any] = {k: v for k, v in lists.items() if k not in numbers}
    return replace(checked, **names)


def _defences(values: Any, where: str) -> Iterator[tuple[DefenceSpec, str]]:
    """Yield every defence at every one of its levels, with the level's label."""
    if not isinstance(values, list) or not values:
        raise InputError(f"{where}: expected a list of tables, got defences={values!r}")
    for number, entry in enumerate(values):
        here = f"{where}: defences[{number}]"
        if not isinstance(entry, dict):
            raise InputError(f"{here}: expected a table, got {entry!r}")
        levels = _table(entry, "level", here)
        if len(levels) > 1:
            raise InputError(f"{here}: expected one key, got level={sorted(levels)}")
        if not levels:
            yield defence_from(entry, {}, here), "-"
        for key, settings in levels.items():
            place, _, parameter = key.partition(".")
            if (
                place not in PLACES
                or not parameter
                or not isinstance(settings, list)
                or not settings
            ):
                raise InputError(f'{here}: expected level = {{"smashed.KEY" = [..]}}, got {levels}')
            for setting in settings:
                yield (
                    defence_from(entry, {place: {parameter: setting}}, here),
                    f"{parameter}={setting}",
                )


def defence_from(
    entry: Mapping[str, Any], level: Mapping[str, Mapping[str, Any]], where: str
) -> DefenceSpec:
    """Return one defence at one level.

    Raises:
        InputError: for an unknown key, a missing name, or a value that is not plain and finite.
    """
    unknown = set(entry) - {"name", "level", *PLACES}
    if unknown:
        allowed = ", ".join(("name", *PLACES, "level"))
        raise InputError(f"{where}: unknown key {sorted(unknown)[0]!r}; allowed: {allowed}")
    if not isinstance(entry.get("name"), str) or not entry["name"]:
        raise InputError(f"{where}: expected a name, got name={entry.get('name')!r}")
    specs: dict[str, Spec] = {}
    for place in PLACES:
        if place not in entry:
            if place in level:
                raise InputError(f"{where}: expected a mechanism at {place}, got a level alone")
            continue
        params = {**_table(entry, place, where), **level.get(place, {})}
        name = params.pop("mechanism", None)
        if not isinstance(name, str):
            raise InputError(f"{where}: {place}: expected a mechanism, got mechanism={name!r}")
        for key, value in params.items():
            plain = isinstance(value, str | int | float | bool)
            if not plain or (isinstance(value, float) and not math.isfinite(value)):
                raise InputError(f"{where}: {place}: expected a finite value, got {key}={value!r}")
        specs[place] = Spec(name, tuple(sorted(params.items())))
    return DefenceSpec(entry["name"], **specs)


def _names(
    values: Mapping[str, Any],
    key: str,
    known: tuple[str, ...],
    where: str,
    default: tuple[str, ...] = (),
) -> list[str]:
    """Return a list of known names."""
    found = values.get(key, list(default))
    if not isinstance(found, list) or not found:
        raise InputError(f"{where}: expected a list of {', '.join(known)}, got {key}={found!r}")
    for name in found:
        if name not in known:
            raise InputError(f"{where}: {key}: expected one of {', '.join(known)}, got {name!r}")
    return found


def _table(values: Mapping[str, Any], key: str, where: str) -> dict[str, Any]:
    found = values.get(key, {})
    if not isinstance(found, dict):
        raise InputError(f"{where}: expected a table, got {key}={found!r}")
    return found
