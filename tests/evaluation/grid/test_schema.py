"""The schemas say what the files may hold: checked by the part of JSON Schema that they use."""

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from evaluation.grid.catalogue import MEMBERSHIP
from evaluation.grid.parse import default_grid
from evaluation.grid.schema import field_docs, grid_schema, training_schema
from fedbert.training_settings import TrainingConfig

KINDS = {
    "object": dict, "array": list, "string": str, "boolean": bool, "integer": int,
    "number": int | float, "null": type(None),
}  # fmt: skip
KNOWN = {
    "$schema", "$defs", "$ref", "title", "description", "default", "type", "enum", "const", "anyOf",
    "properties", "required", "additionalProperties", "propertyNames", "items", "minItems",
    "minLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "pattern",
    "maxProperties",
}  # fmt: skip


def valid(value: Any, schema: Any, whole: dict[str, Any]) -> bool:
    if isinstance(schema, bool):
        return schema
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    if "$ref" in schema:
        return valid(value, whole["$defs"][schema["$ref"].rsplit("/", 1)[1]], whole)
    types = schema.get("type", list(KINDS))
    types = types if isinstance(types, list) else [types]
    plain = not isinstance(value, bool) or "boolean" in types
    rules = [
        plain and any(isinstance(value, KINDS[each]) for each in types),
        "enum" not in schema or value in schema["enum"],
        "const" not in schema or value == schema["const"],
        "anyOf" not in schema or any(valid(value, each, whole) for each in schema["anyOf"]),
    ]
    if isinstance(value, str):
        rules.append(re.search(schema.get("pattern", ""), value) is not None)
        rules.append(len(value) >= schema.get("minLength", 0))
    elif isinstance(value, list):
        rules.append(len(value) >= schema.get("minItems", 0))
        rules += [valid(each, schema.get("items", True), whole) for each in value]
    elif isinstance(value, dict):
        known, others = schema.get("properties", {}), schema.get("additionalProperties", True)
        rules.append(set(schema.get("required", ())) <= set(value))
        rules.append(len(value) <= schema.get("maxProperties", len(value)))
        rules += [valid(key, schema.get("propertyNames", True), whole) for key in value]
        rules += [valid(each, known.get(key, others), whole) for key, each in value.items()]
    elif not isinstance(value, bool) and isinstance(value, int | float):
        rules.append(schema.get("minimum", value) <= value <= schema.get("maximum", value))
        rules.append(schema.get("exclusiveMinimum", value - 1) < value)
        rules.append(value < schema.get("exclusiveMaximum", value + 1))
    return all(rules)


def test_the_grids_of_the_repository_fit_the_schema() -> None:
    schema = grid_schema()
    for path in [default_grid(), *Path("docs/results").rglob("grid.toml")]:
        assert valid(tomllib.loads(path.read_text()), schema, schema), path


@pytest.mark.parametrize(
    ("key", "by"),
    [
        ("seeds", "seed"),
        ('"sst2"', '"sst-2"'),
        ("rounds = 2", "round = 2"),
        ("rounds = 2", "rounds = 0"),
        ("rounds = 2", "rounds = true"),
        ("rounds = 2", 'strategy = "fedavg"'),
        ("clients = 2", "clients = 1000000"),
        ("messages = 2", 'membership = ["rima"]'),
        ("messages = 2", 'membership = [{ name = "rmia" }]'),
        ('mechanism = "gaussian"', 'mechanism = "gausian"'),
        ('mechanism = "gaussian", ', ""),
        ("smashed.target", "smash.target"),
        ("[model]", "[override.sst]\n[model]"),
        ("[model]", "[override.sst2.model]\nsorce = ''\n[model]"),
    ],
)
def test_a_grid_that_is_refused_does_not_fit(small_text: str, key: str, by: str) -> None:
    schema = grid_schema()
    assert valid(tomllib.loads(small_text), schema, schema)
    assert not valid(tomllib.loads(small_text.replace(key, by, 1)), schema, schema)


def test_a_training_has_a_schema_of_its_own() -> None:
    schema = training_schema()
    text = '[data]\ntask = "sst2"\n[defence]\nname = "d"\nsmashed = { mechanism = "m:C", x = 1 }'
    assert valid(tomllib.loads(text), schema, schema)
    for key, by in (('"sst2"', '"sst3"'), ('"m:C"', '"m"'), ("name", "level")):
        assert not valid(tomllib.loads(text.replace(key, by)), schema, schema)


def test_names_of_the_catalogue_and_words_of_the_fields_are_in_it() -> None:
    found = grid_schema()["$defs"]
    names = found["AttackSettings"]["properties"]["membership"]["items"]["anyOf"][0]["enum"]
    assert names == list(MEMBERSHIP)
    training = found["TrainingConfig"]["properties"]
    assert training["rounds"] == {
        "type": "integer", "minimum": 1, "maximum": 1_000_000, "default": 4,
        "description": field_docs(TrainingConfig)["rounds"],
    }  # fmt: skip
    assert training["optimizer"]["enum"] == ["adamw", "sgd"] and "strategy" not in training


def test_every_reference_of_a_schema_leads_somewhere() -> None:
    """`[faults] clients` is a list of tables, which a section has definitions of its own for."""
    for schema in (grid_schema(), training_schema()):
        named = set(re.findall(r"#/\$defs/(\w+)", json.dumps(schema)))
        assert named <= set(schema["$defs"])
        assert "FixedFault" in named
