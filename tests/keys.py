"""Generator of `docs/grid.md` and of what `fedbert-eval list` reads: `python -m tests.keys`."""

import json
import re
from inspect import Parameter
from pathlib import Path
from typing import Any

from evaluation.grid.asked import CALIBRATED_FOR
from evaluation.grid.build import (
    attack_signature,
    calibrated_parameters,
    parameters_of,
    resolve,
    signature_of,
)
from evaluation.grid.catalogue import FAMILIES, MECHANISMS, Entry
from evaluation.grid.defence import acts_at
from evaluation.grid.durations import NOTE, estimated
from evaluation.grid.listed import LISTED, SCHEMA
from evaluation.grid.schema import grid_schema, training_schema
from evaluation.grid.signature import SIGNATURES, TARGETS, Signature
from fedbert.setting_types import SIZES, STRATEGIES
from fedbert.tasks import CLASS_METRICS, OWN, SCORE_METRICS, TASKS
from tests.parameters import plain

PATH = Path("docs/grid.md")
HEAD = """# Keys of grids and trainings

Every key of a grid with its type, its default and its meaning, made from the classes that check it.
How they play together: [grids.md](grids.md). Parameters of mechanisms and attacks:
[parameters.md](parameters.md). In a terminal: `fedbert-eval list keys`.
Generated: `python -m tests.keys`.
"""
SECTIONS = {
    "": ("At the top", "A grid: every task under every strategy, defence, level, sweep and seed."),
    "model": ("`[model]`", ""),
    "data": ("`[data]`", ""),
    "training": ("`[training]`", ""),
    "message": ("`[message]`", "Strategy `one_message` alone."),
    "faults": (
        "`[faults]`",
        "In a training's file too. What each strategy makes of them: [grids.md](grids.md#faults).",
    ),
    "attacks": ("`[attacks]`", "An attack is a name, or `{ attack = NAME, PARAMETER = ... }`."),
    "defences": ("`[[defences]]`", "A mechanism is `{ mechanism = NAME, PARAMETER = ... }`."),
    "audit": ("`[audit]`", "In a training's file too."),
    "frontier": ("`[frontier]`", "Read by `fedbert-eval frontier`."),
    "deployment": ("`[deployment]`", "Said in disclosures; it changes no training."),
    "a training": (
        "Training files",
        "`pretrain` and `finetune` read the sections of a grid but for lists, `[attacks]` and "
        "`[frontier]`; one `[defence]`; and these.",
    ),
}
Schema = dict[str, Any]


def every_key() -> list[dict[str, str]]:
    """Return one entry for every key: section, key, type, default, what."""
    grid, training = grid_schema(), training_schema()
    kinds, found = grid["$defs"], []
    own = {name: each for name, each in grid["properties"].items() if name not in SECTIONS}
    found += _rows("", {**grid, "properties": own})
    for section in SECTIONS:
        if section in grid["properties"]:
            found += _rows(section, kinds[_kind(grid["properties"][section])])
    of_grid = {(row["section"], row["key"]) for row in found}
    alone = {
        name: each
        for name, each in training["properties"].items()
        if name in ("seed", "noise", "delta", "max_epsilon")
    }
    found += _rows("a training", {**training, "properties": alone})
    for section in ("data", "training"):
        kind = training["$defs"][_kind(training["properties"][section])]
        late = {k: v for k, v in kind["properties"].items() if (section, k) not in of_grid}
        for row in _rows("a training", {**kind, "properties": late}):
            found.append({**row, "key": f"{section}.{row['key']}"})
    return found


def listing() -> dict[str, Any]:
    """Return what `fedbert-eval list` tells."""
    usual = [*CLASS_METRICS, *SCORE_METRICS]
    own = {"name": OWN, "columns": ["data.text", "data.pair", "data.label"], "metrics": usual}
    return {
        "schema": SCHEMA,
        "note": NOTE,
        "tasks": [
            *(
                {"name": each.name, "columns": [*each.columns], "metrics": [*each.metrics]}
                for each in TASKS.values()
            ),
            own,
        ],
        "strategies": [*STRATEGIES],
        "models": [*SIZES, "embedded"],
        "mechanisms": [_mechanism(name, entry) for name, entry in MECHANISMS.items()],
        "attacks": [
            _attack(family, name, entry)
            for family, entries in FAMILIES.items()
            for name, entry in entries.items()
        ],
        "keys": every_key(),
    }


def written() -> str:
    """Return the listing as its file holds it: an entry a line."""
    lines = ["{"]
    found = listing()
    for key, value in found.items():
        end = "" if key == [*found][-1] else ","
        if isinstance(value, list) and isinstance(value[0], dict):
            rows = ",\n  ".join(json.dumps(each) for each in value)
            lines.append(f' "{key}": [\n  {rows}\n ]{end}')
        else:
            lines.append(f' "{key}": {json.dumps(value)}{end}')
    return "\n".join([*lines, "}"]) + "\n"


def document() -> str:
    """Return the whole document."""
    lines, every = [HEAD.rstrip()], every_key()
    for section, (title, told) in SECTIONS.items():
        lines += ["", f"## {title}", "", *([told, ""] if told else [])]
        lines += ["| key | type | default | meaning |", "|---|---|---|---|"]
        for row in every:
            if row["section"] == section:
                cells = (row["type"], row["default"], row["what"])
                told_ = " | ".join(each.replace("|", "\\|") for each in cells)
                lines.append(f"| `{row['key']}` | {told_} |")
    return "\n".join(lines) + "\n"


def _kind(schema: Schema) -> str:
    """Return the name of the class that a section, or each of a list of them, is."""
    if "anyOf" in schema:
        schema = schema["anyOf"][0]
    ref: str = schema.get("items", schema)["$ref"]
    return ref.rpartition("/")[2]


def _rows(section: str, schema: Schema) -> list[dict[str, str]]:
    needed = schema.get("required", ())
    return [
        {
            "section": section,
            "key": name,
            "type": type_of(each),
            "default": "must be there" if name in needed else _default(each),
            "what": re.sub(r"\bNone\b", "none", each.get("description", "")),
        }
        for name, each in schema["properties"].items()
    ]


def _default(schema: Schema) -> str:
    value = schema.get("default", None)
    if value in (None, [], {}) or isinstance(value, dict) or "$ref" in schema:
        return "none"
    return json.dumps(value)


def type_of(schema: Schema) -> str:
    """Return the type of a value in words.

    >>> type_of({"type": "integer", "minimum": 1, "maximum": 4}), type_of({"enum": ["a", "b"]})
    ('integer, 1 to 4', '"a", "b"')
    """
    if any("pattern" in each for each in schema.get("anyOf", ())):  # a catalogue's, or foreign
        return "name or table"
    if "anyOf" in schema:
        kinds = [each for each in schema["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(type_of(each) for each in kinds))
    if "enum" in schema:
        return ", ".join(json.dumps(each) for each in schema["enum"])
    kind = schema.get("type", "object")
    if kind == "array":
        return f"list: {type_of(schema.get('items', {}))}"
    if kind in ("integer", "number"):
        return kind + _range(schema)
    names = {"string": "text", "boolean": "true or false", "object": "table"}
    return " or ".join(
        names.get(each, each) for each in ([kind] if isinstance(kind, str) else kind)
    )


def _range(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    over, below = schema.get("exclusiveMinimum"), schema.get("exclusiveMaximum")
    if low is not None and high is not None:
        return f", {low} to {high}"
    parts = [
        f"{sign} {value}"
        for sign, value in ((">=", low), (">", over), ("<=", high), ("<", below))
        if value is not None and value < 2**62
    ]
    return f", {' and '.join(parts)}" if parts else ""


def signed() -> str:
    """Return the signatures of the catalogue's classes as their file holds them: a class a line."""
    made: dict[str, dict[str, Signature]] = {"mechanisms": {}}
    for name in MECHANISMS:
        kind = resolve(name, MECHANISMS, "list")
        made["mechanisms"][name] = signature_of(kind, acts_at(kind))
    for family, entries in FAMILIES.items():
        own = {name: attack_signature(resolve(name, entries, "list")) for name in entries}
        made[family] = own
    parts = []
    for family, each in made.items():
        lines = [f" {json.dumps(name)}: {json.dumps(one.to_json())}" for name, one in each.items()]
        parts.append(f'"{family}": {{\n' + ",\n".join(lines) + "\n}")
    return "{" + ",\n".join(parts) + "}\n"


def _mechanism(name: str, entry: Entry) -> dict[str, Any]:
    kind = resolve(name, MECHANISMS, "list")
    by = calibrated_parameters(kind)
    return {
        "name": name,
        "what": entry.summary,
        "parameters": _parameters(parameters_of(kind), ("name", "view", "uses_decoder")),
        "targets": [target for target in TARGETS if target in by],
        "with_target": _parameters(by, (*CALIBRATED_FOR, *TARGETS)),
    }


def _attack(family: str, name: str, entry: Entry) -> dict[str, Any]:
    kind = resolve(name, FAMILIES[family], "list")
    return {
        "family": family,
        "name": name,
        "baseline": entry.baseline,
        "what": entry.summary,
        "parameters": _parameters(parameters_of(kind), ("name", "view", "uses_decoder")),
        "time": estimated(family, entry),
    }


def _parameters(of: Any, without: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return names with their defaults; one that has to be given has none."""
    return [
        {"name": name} | ({} if each.default is Parameter.empty else {"default": each.default})
        for name, each in of.items()
        if name not in without and plain(each.default)
    ]


if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf-8")
    LISTED.write_text(written(), encoding="utf-8")
    SIGNATURES.write_text(signed(), encoding="utf-8")
