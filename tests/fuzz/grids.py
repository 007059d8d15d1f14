"""Fuzzed grids: TOML files changed in a place or as bytes, read as `privacy-utility` reads them."""

import json
import random
from pathlib import Path
from typing import Any

from evaluation.grid.defence import facts_of, make_defence
from evaluation.grid.parse import read_grid
from evaluation.run.runner import checked
from evaluation.run.training_file import read_training
from fedbert.data.synthetic import WORDS
from fedbert.prepare import prepare
from tests.fuzz import odd, strict_grid
from tests.fuzz.trial import EITHER, Trial, Verdict, command, verdict_of

BASE: dict[str, Any] = {
    "name": "small", "tasks": ["sst2"], "seeds": [0, 1],
    "model": {"source": "tiny", "tokenizer": "generated"},
    "data": {"source": "generated", "pool_size": 60, "evaluation": 20, "max_length": 16,
             "clients": 2},
    "training": {"rounds": 2, "local_steps": 1, "batch_size": 8},
    "attacks": {"messages": 2, "candidates": 20},
    "defences": [{"name": "none"}, {"name": "gaussian",
        "smashed": {"mechanism": "gaussian", "clip_norm": 8.0},
        "level": {"smashed.target_epsilon": [1.0, 8.0]}}],
}  # fmt: skip
TRAINING: dict[str, Any] = {
    "seed": 3, "delta": 1e-6, "noise": "secret",
    "model": {"source": "tiny", "tokenizer": "generated", "cut_layer": 1, "dropout": 0.1},
    "data": {"task": "cola", "source": "generated", "pool_size": 40, "max_length": 16,
             "hold_out": 0.3, "partition": "dirichlet", "alpha": 0.3},
    "training": {"rounds": 2, "local_steps": 1, "batch_size": 8, "strategy": "sequential",
                 "optimizer_state": "hand_on", "clients_per_round": 2, "learning_rate": 0.001},
    "defence": {"name": "gaussian", "smashed": {"mechanism": "gaussian", "clip_norm": 8.0,
                                        "noise_multiplier": 0.5}},
}  # fmt: skip
MORE: tuple[dict[str, Any], ...] = (
    {},
    {"strategies": ["parallel", "fedavg"], "cut_layers": [0, 1]},
    {"sweep": {"data.alpha": [0.1, 1.0], "training.learning_rate": [0.001]}},
    {"tasks": ["sst2", "cola"], "override": {"cola": {"training": {"learning_rate": 0.01}}}},
    {"attacks": {"inversion": ["nearest_token", "optimisation"],
                 "membership": ["loss_threshold", {"attack": "rmia", "references": 2}],
                 "backward": [], "updates": [], "shadows": 4}},
    {"strategies": ["sequential"], "delta": 1e-6, "noise": "secret"},
    {"tasks": ["own"], "data": {"text": "a", "label": "b", "labels": ["u", "v"]}},
    {"tasks": ["mlm"], "seeds": [3]},
)  # fmt: skip


def make(rng: random.Random, folder: Path) -> Trial:
    """Return a grid that is right, or odd in one way or two."""
    training = rng.random() < 0.25
    grid = json.loads(json.dumps(TRAINING if training else {**BASE, **rng.choice(MORE)}))
    if grid.get("tasks") == ["own"]:
        source = folder / "own.csv"
        source.write_text("a,b\n" + "".join(f"{WORDS[i]},{'uv'[i % 2]}\n" for i in range(60)))
        grid["data"]["source"] = str(source)
    told = [odd.change(grid, rng, none=False) for _ in range(rng.choice((0, 1, 1, 1, 2)))]
    path = folder / "grid.toml"
    path.write_bytes(toml(grid).encode("utf-8"))
    if rng.random() < 0.15:
        data, how = odd.damaged(path.read_bytes(), rng)
        path.write_bytes(data)
        told.append(how)
    if training:
        verdict = verdict_of(lambda: strict_grid.trained(path))
        looks = verdict.accepted is False or not told
        return Trial(f"training: {told}", lambda: _trained(path, looks), verdict, folder)
    verdict = verdict_of(lambda: strict_grid.points(path))
    if rng.random() < 0.1 and _light(grid):
        budget = Verdict(False, why=verdict.why) if verdict.accepted is False else EITHER
        call = lambda: command("budget", "views", path)  # noqa: E731
        return Trial(f"{told}, budget views", call, budget, folder)
    looks = verdict.accepted is False or (verdict.accepted and not told)
    return Trial(", ".join(told) or "as it is", lambda: _read(path, looks), verdict, folder)


def _trained(path: Path, looks: bool) -> tuple[Any, ...]:
    """Return (task, strategy, seed, delta) of a training's file; looks: as for a grid."""
    found = read_training(path, pretraining=False)
    if looks:
        prepared = prepare(found.config, coin=False)
        make_defence(found.defence, facts_of(found.config, prepared, found.defence, found.delta))
    return (found.config.data.task, found.config.training.strategy, found.config.seed,
            found.delta)  # fmt: skip


def _light(grid: dict[str, Any]) -> bool:
    """Return whether no model or data set of a size is asked for."""
    return len(json.dumps(grid)) < 3000 and "base" not in str(grid) and "embedded" not in str(grid)


def _read(path: Path, looks: bool) -> list[tuple[Any, ...]]:
    """Return (task, strategy, cut layer, defence, level, seed) of each cell of a grid.

    looks: names of attacks and mechanisms are looked up as well, as before a run.
    """
    grid = read_grid(path)
    if looks:
        checked(grid)
    return [
        (cell.config.data.task, cell.config.training.strategy, cell.config.model.cut_layer,
         cell.defence.name, cell.level, cell.config.seed)
        for cell in grid.cells
    ]  # fmt: skip


def toml(tree: dict[str, Any]) -> str:
    """Return a tree as TOML, tables inline below the top."""
    return "".join(f"{_key(key)} = {_value(each)}\n" for key, each in tree.items())


def _key(key: str) -> str:
    return _value(str(key))


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
