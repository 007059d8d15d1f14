"""Strict reader of grids: the printed JSON Schema, checked by hand, and the rules beside it."""

import itertools
import math
import re
import tomllib
from pathlib import Path
from typing import Any

from evaluation.grid.schema import grid_schema, training_schema
from tests.fuzz.trial import WrongError


def inlined(schema: Any, defs: dict[str, Any]) -> Any:
    """Return a schema with what it refers to in the place of each reference."""
    if isinstance(schema, list):
        return [inlined(each, defs) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return inlined(defs[schema["$ref"].rsplit("/", 1)[1]], defs)
    return {key: inlined(each, defs) for key, each in schema.items() if key != "default"}


SCHEMA = inlined(grid_schema(), grid_schema()["$defs"])
TRAINING = inlined(training_schema(), training_schema()["$defs"])
RESERVED = {"con", "prn", "aux", "nul", "plots"} | {
    f"{port}{number}" for port in ("com", "lpt") for number in range(10)
}
OWN_KEYS = ("text", "pair", "label", "labels", "metric")


def trained(path: Path) -> tuple[Any, ...]:
    """Return (task, strategy, seed, delta) of a training's file for `finetune`."""
    values = _toml(path)
    if not values:
        raise WrongError("an empty file")
    fits(values, TRAINING, "training")
    data = {"task": "sst2", **values.get("data", {})}
    training = {"strategy": "parallel", **values.get("training", {})}
    _together({"model": values.get("model", {}), "data": data, "training": training})
    if data["task"] == "mlm" or values.get("defence", {}).get("level"):
        raise WrongError("not for finetune")
    return data["task"], training["strategy"], values.get("seed", 0), values.get("delta", 1e-5)


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8").replace("\r\n", "\n"))
    except (ValueError, RecursionError) as error:
        raise WrongError(f"it is no TOML: {error}") from None


def points(path: Path) -> list[tuple[Any, ...]]:
    """Return (task, strategy, cut layer, swept values, defence, level, seed) of each cell."""
    values = _toml(path)
    fits(values, SCHEMA, "grid")
    _name(values.get("name", path.stem))
    _distinct(values)
    sweep = values.get("sweep", {})
    _sweep(values, sweep)
    levels = _levels(values.get("defences", [{"name": "none"}]))
    axes = [values["tasks"], values.get("strategies", ["parallel"])]
    axes += [values["cut_layers"]] if "cut_layers" in values else []
    found = []
    total = math.prod(map(len, [*axes, *sweep.values(), levels, values.get("seeds", [0])]))
    if total > 100_000:
        raise WrongError("too many cells")
    keys = ["data.task", "training.strategy"]
    keys += ["model.cut_layer"] if "cut_layers" in values else []
    for point in itertools.product(*axes, *sweep.values()):
        at = dict(zip([*keys, *sweep], point, strict=True))
        training = _training(values, at)
        for (name, level), seed in itertools.product(levels, values.get("seeds", [0])):
            told = (at["data.task"], at["training.strategy"], training["model"].get("cut_layer", 0))
            found.append((*told, name, level, seed))
    return found


def fits(value: Any, schema: dict[str, Any], where: str) -> None:
    """Raise WrongError unless a value fits a schema: the keywords that ours use, and no other."""
    if "anyOf" in schema:
        if not any(_fits(value, each, where) for each in schema["anyOf"]):
            raise WrongError(f"{where}: none of several")
        return None
    _type(value, schema, where)
    if "enum" in schema and not any(value == x and type(value) is type(x) for x in schema["enum"]):
        raise WrongError(f"{where}: not one of the names")
    if "const" in schema and value != schema["const"]:
        raise WrongError(f"{where}: not {schema['const']}")
    if isinstance(value, str):
        if "pattern" in schema and not re.search(schema["pattern"], value):
            raise WrongError(f"{where}: no {schema['pattern']}")
        if len(value) < schema.get("minLength", 0):
            raise WrongError(f"{where}: empty")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        _bounds(value, schema, where)
    elif isinstance(value, list):
        if len(value) < schema.get("minItems", 0):
            raise WrongError(f"{where}: too few")
        for number, each in enumerate(value):
            fits(each, schema.get("items", {}), f"{where}[{number}]")
    elif isinstance(value, dict):
        _object(value, schema, where)
    return None


def _fits(value: Any, schema: dict[str, Any], where: str) -> bool:
    try:
        fits(value, schema, where)
    except WrongError:
        return False
    return True


def _type(value: Any, schema: dict[str, Any], where: str) -> None:
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    mine = {
        "string": isinstance(value, str), "boolean": isinstance(value, bool),
        "integer": type(value) is int, "array": isinstance(value, list),
        "number": type(value) is int or (type(value) is float and math.isfinite(value)),
        "object": isinstance(value, dict), "null": value is None,
    }  # fmt: skip
    if kinds and not any(mine[kind] for kind in kinds):
        raise WrongError(f"{where}: no {kinds}")


def _bounds(value: float, schema: dict[str, Any], where: str) -> None:
    low, above = schema.get("minimum", -math.inf), schema.get("exclusiveMinimum", -math.inf)
    high, below = schema.get("maximum", math.inf), schema.get("exclusiveMaximum", math.inf)
    if not (low <= value <= high and (above < value or above == -math.inf)
            and (value < below or below == math.inf)):  # fmt: skip
        raise WrongError(f"{where}: out of bounds")


def _object(value: dict[str, Any], schema: dict[str, Any], where: str) -> None:
    known = schema.get("properties", {})
    if any(key not in value for key in schema.get("required", [])):
        raise WrongError(f"{where}: a key is missing")
    if len(value) > schema.get("maxProperties", len(value)):
        raise WrongError(f"{where}: too many keys")
    for key, each in value.items():
        fits(key, schema.get("propertyNames", {}), f"{where}.{key}")
        others = schema.get("additionalProperties", {})
        if key not in known and others is False:
            raise WrongError(f"{where}: unknown {key}")
        fits(each, known.get(key, others if isinstance(others, dict) else {}), f"{where}.{key}")


def _name(name: str) -> None:
    """Raise WrongError for a name that is no plain folder's."""
    plain = name.isprintable() and name == name.strip(" .") and not set(name) & set('/\\:*?"<>|')
    first = name.split(".")[0].strip().casefold()
    if not name or not plain or first in RESERVED or name[0] in "-~" or len(name.encode()) > 100:
        raise WrongError("the name is no folder's")


def _distinct(values: dict[str, Any]) -> None:
    lists = [values.get(key, []) for key in ("tasks", "strategies", "seeds", "cut_layers")]
    lists += [*values.get("sweep", {}).values()]
    lists += [x for each in values.get("defences", []) for x in each.get("level", {}).values()]
    lists += [values.get("attacks", {}).get(family, []) for family in
              ("inversion", "backward", "updates", "pooled", "membership")]  # fmt: skip
    for each in lists:
        if any(_same(a, b) for a, b in itertools.combinations(each, 2)):
            raise WrongError("a list has a value twice")
    if values.get("attacks", {}).get("shadows", 0) % 2:
        raise WrongError("shadows are odd")


def _same(one: Any, other: Any) -> bool:
    one, other = ({"attack": x} if isinstance(x, str) else x for x in (one, other))
    return bool(one == other) and isinstance(one, bool) is isinstance(other, bool)


def _sweep(values: dict[str, Any], sweep: dict[str, Any]) -> None:
    """Raise WrongError for a setting that is swept and stands elsewhere as well."""
    sections = [values, *values.get("override", {}).values()]
    for key, swept in sweep.items():
        part, _, name = key.partition(".")
        if part != "attacks" and any(name in each.get(part, {}) for each in sections if name):
            raise WrongError(f"{key} stands twice")
        if key == "model.cut_layer" and "cut_layers" in values:
            raise WrongError(f"{key} has a list")
        usual = {"delta": 1e-5, "messages": 16, "candidates": 1000, "shadows": 0, "population": 0}
        asked = values.get("attacks", {}) if part == "attacks" else values
        if (part == "attacks" or key == "delta") and asked.get(
            name or key, usual.get(name or key)
        ) != usual[name or key]:
            raise WrongError(f"{key} stands twice")
        for value in swept:
            if part == "attacks" or key == "delta":
                holder = SCHEMA["$defs"]["AttackSettings"] if name else SCHEMA
            else:
                kinds = {"model": "ModelConfig", "data": "DataConfig", "training": "TrainingConfig"}
                holder = SCHEMA["$defs"][kinds[part]]
            fits(value, holder["properties"][name or key], key)


def _levels(defences: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Return (name, level) of each defence, all different."""
    found: list[tuple[str, str]] = []
    for each in defences:
        if each["name"] == "none" and set(each) - {"name", "level", "set"}:
            raise WrongError("the undefended row has a defence")
        for key in each.get("level", {}):
            if key.partition(".")[0] not in each:
                raise WrongError("a level without its mechanism")
        level = each.get("level", {})
        if len({*map(len, level.values())}) > 1:
            raise WrongError("levels of several parameters that are not as many")
        short = {key: key.partition(".")[2] if len(level) == 1 else key for key in level}
        told = [
            ", ".join(f"{short[key]}={v}" for key, v in zip(level, values, strict=True))
            for values in zip(*level.values(), strict=True)
        ]
        found += [(each["name"], level) for level in told or ["-"]]
    if len(set(found)) < len(found):
        raise WrongError("two defences of one name")
    return found


def _training(values: dict[str, Any], at: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of one training, which have to go together."""
    own = values.get("override", {}).get(at["data.task"], {})
    found = {p: {**values.get(p, {}), **own.get(p, {})} for p in ("model", "data", "training")}
    for key, value in at.items():
        part, _, name = key.partition(".")
        if part in found and name in found[part]:
            raise WrongError(f"{key} stands twice")
        if part in found:
            found[part][name] = value
    _together(found)
    return found


def _together(found: dict[str, Any]) -> None:
    """Raise WrongError for settings of one training that do not go together."""
    training, data = found["training"], found["data"]
    few = training.get("clients_per_round")
    if few is not None and few > data.get("clients", 4):
        raise WrongError("more clients in a round than there are")
    if not re.fullmatch(r"cpu|cuda(:\d+)?|cpu:\d+", training.get("device", "cpu")):
        raise WrongError("no device")
    if training.get("optimizer_state") == "hand_on":
        hands = (
            training["strategy"] == "sequential" and training.get("optimizer", "adamw") == "adamw"
        )
        if not hands or training.get("client_parts", "hand_on") != "hand_on":
            raise WrongError("moments are handed on by sequential adamw alone")
    _own(data)


def _own(data: dict[str, Any]) -> None:
    """Raise WrongError for columns of one's own that do not go together."""
    if data["task"] != "own":
        allowed = ("text",) if data["task"] == "mlm" else ()
        if any(data.get(key) and key not in allowed for key in OWN_KEYS):
            raise WrongError("columns of one's own with another task")
        return
    labels = [str(each) for each in data.get("labels", [])]
    columns = [
        data.get("text"),
        *([data["pair"]] if data.get("pair") else []),
        data.get("label") or "label",
    ]
    if columns[0] is None or len(set(columns)) < len(columns):
        raise WrongError("columns of one's own that are not named, or twice")
    metrics = ("accuracy", "macro_f1", "f1", "matthews") if labels else ("pearson", "spearman")
    if data.get("metric") not in (None, *metrics) or (
        data.get("metric") == "f1" and len(labels) > 2
    ):
        raise WrongError("a metric of another kind")
    if labels and len(set(labels)) < max(2, len(labels)):
        raise WrongError("labels that do not differ")
