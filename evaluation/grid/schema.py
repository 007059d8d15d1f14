"""JSON Schemas of settings files, for editors: made from the classes that check the files."""

import inspect
import re
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import TypeAdapter

from evaluation.grid.audit import AuditSettings
from evaluation.grid.catalogue import FAMILIES, MECHANISMS
from evaluation.grid.defence_file import DefenceSettings
from evaluation.grid.deployment import DeploymentSettings
from evaluation.grid.file import (
    OWN,
    PARTS,
    SETTABLE,
    SWEPT,
    GridSettings,
    OverrideSettings,
    TrainingSettings,
)
from evaluation.grid.frontier import FrontierSettings
from evaluation.grid.spec import PLACES, AttackSettings
from fedbert.config import DataConfig, ModelConfig
from fedbert.fault_settings import FaultsConfig, FixedFault
from fedbert.message_settings import MessageConfig
from fedbert.tasks import NAMES
from fedbert.training_settings import TrainingConfig

DIALECT = "https://json-schema.org/draft/2020-12/schema"
CLASSES = (
    GridSettings, OverrideSettings, TrainingSettings, DefenceSettings, AttackSettings, ModelConfig,
    DataConfig, TrainingConfig, MessageConfig, FrontierSettings, AuditSettings, DeploymentSettings,
    FaultsConfig, FixedFault,
)  # fmt: skip
PLAIN = {"type": ["string", "number", "boolean"]}


def grid_schema() -> dict[str, Any]:
    """Return the JSON Schema of a grid file."""
    found = _described(TypeAdapter(GridSettings).json_schema())
    parts = {part: _section(part, kind) for part, kind in PARTS.items()}
    found["properties"]["defences"]["default"] = [{"name": "none"}]
    for holder in (found, found["$defs"]["OverrideSettings"]):
        holder["properties"] |= {
            part: {"$ref": f"#/$defs/{kind.__name__}"} for part, kind in PARTS.items()
        }
    for part, schema in parts.items():
        found["$defs"] |= schema.pop("$defs", {}) | {PARTS[part].__name__: schema}
    found["properties"]["tasks"]["items"] = {"enum": list(NAMES)}
    found["properties"]["override"]["propertyNames"] = {"enum": list(NAMES)}
    found["properties"]["sweep"] |= {
        "propertyNames": {"enum": list(SWEPT)},
        "additionalProperties": {"type": "array", "items": PLAIN, "minItems": 1},
    }
    _name_attacks(found["$defs"]["AttackSettings"])
    _name_mechanisms(found["$defs"]["DefenceSettings"])
    return {"$schema": DIALECT, "title": "A grid of FedBERT trainings", **_titled(found)}


def training_schema() -> dict[str, Any]:
    """Return the JSON Schema of a training's file, which `pretrain` and `finetune` read."""
    found = _described(TypeAdapter(TrainingSettings).json_schema())
    found["$defs"]["DataConfig"]["properties"]["task"]["enum"] = list(NAMES)
    _name_mechanisms(found["$defs"]["DefenceSettings"])
    for key in ("level", "set", "search", "epsilon"):
        del found["$defs"]["DefenceSettings"]["properties"][key]
    found["properties"]["defence"]["default"] = {"name": "none"}
    return {"$schema": DIALECT, "title": "A FedBERT training", **_titled(found)}


def field_docs(kind: type) -> dict[str, str]:
    """Return what a settings class's docstring says about its fields.

    >>> field_docs(ModelConfig)["dropout"]
    "of every layer and the head; None keeps the model's own."
    """
    text = inspect.cleandoc(kind.__doc__ or "")
    paragraphs = re.findall(r"^(\w+(?:, \w+)*): (.*(?:\n {4}.*)*)", text, re.MULTILINE)
    return {
        name: " ".join(line.strip() for line in said.splitlines())
        for names, said in paragraphs
        for name in names.split(", ")
    }


def _section(part: str, kind: type) -> dict[str, Any]:
    """Return the schema of a section of a grid, without what the grid has a list for."""
    found = _described(TypeAdapter(kind).json_schema())
    for key in OWN:
        found["properties"].pop(key.removeprefix(f"{part}."), None)
    return found


def _described(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema whose properties are described as their fields are."""
    named = {kind.__name__: kind for kind in CLASSES}
    for name, each in [(schema["title"], schema), *schema.get("$defs", {}).items()]:
        kind = named.get(name)
        if kind is None or not is_dataclass(kind):
            continue
        docs = field_docs(kind)
        each["description"] = (kind.__doc__ or "").split("\n")[0]
        for field in fields(kind):
            each["properties"][field.name]["description"] = docs[field.name]
    return schema


def _titled(schema: Any) -> Any:
    """Return a schema without the titles that only repeat the keys."""
    if isinstance(schema, dict):
        return {
            key: _titled(each)
            for key, each in schema.items()
            if not (key == "title" and isinstance(each, str))
        }
    return [_titled(each) for each in schema] if isinstance(schema, list) else schema


def _named(names: list[str]) -> dict[str, Any]:
    """Return what a catalogue name or "module:Class" looks like."""
    theirs = {"type": "string", "pattern": "^[^:]+:[^:]+$", "description": "needs --allow-code"}
    return {"anyOf": [{"enum": names}, theirs]}


def _name_attacks(schema: dict[str, Any]) -> None:
    """Put the catalogue's names in every list of attacks."""
    for family, catalogue in FAMILIES.items():
        name = _named(list(catalogue))
        with_parameters = {
            "type": "object",
            "properties": {"attack": name},
            "required": ["attack"],
            "additionalProperties": PLAIN,
        }
        schema["properties"][family]["default"] = [
            spec.name for spec in getattr(AttackSettings(), family)
        ]
        schema["properties"][family]["items"] = {"anyOf": [*name["anyOf"], with_parameters]}


def _name_mechanisms(schema: dict[str, Any]) -> None:
    """Put the catalogue's names at every place of a defence."""
    for place in PLACES:
        schema["properties"][place] = {
            "description": schema["properties"][place]["description"],
            "type": "object",
            "properties": {"mechanism": _named(list(MECHANISMS))},
            "required": ["mechanism"],
            "additionalProperties": PLAIN,
        }
    at_places = {"pattern": f"^({'|'.join(PLACES)})[.].+$"}
    schema["properties"]["level"] |= {
        "propertyNames": at_places,
        "additionalProperties": {"type": "array", "items": PLAIN, "minItems": 1},
    }
    schema["properties"]["search"] |= {
        "propertyNames": at_places,
        "additionalProperties": {"type": "array", "items": {"type": "number"}, "minItems": 2},
    }
    schema["properties"]["set"] |= {
        "propertyNames": {"enum": list(SETTABLE)},
        "additionalProperties": PLAIN,
    }
