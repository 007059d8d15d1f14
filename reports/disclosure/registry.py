"""Registry entry: a disclosure by the fields of the Differential Privacy Deployments Registry.

The map is ours; the field names are those of the registry's schema
(github.com/opendp/deployments-registry-data, schemas/deployments-schema.yaml, of July 2026).
"""

import importlib
import re
from pathlib import Path
from typing import Any

import yaml

from reports.disclosure.facts import FLOATING_POINT, NOT_STATED, Disclosure, spent
from reports.metrics import title
from reports.plain import WHO
from reports.rows import round_up
from reports.wording import beside, interval

REQUIRED = ("name", "curators", "description", "intended_use", "region", "published", "authors")
"""What a registry cannot do without and only the user can say."""
MODELS = {"centralised": "Central", "one_message": "Local"}
"""The registry's deployment model, by strategy; the others are federated."""


def registry_entry(found: Disclosure) -> dict[str, Any]:
    """The entry of a setting whose released model has an (epsilon, delta).

    Raises: ValueError for a release without one, or for words that the registry needs.
    """
    missing = [key for key in REQUIRED if not found.words.get(key)]
    if missing:
        told = f"expected {missing[0]} in [deployment] of the grid, got none"
        more = f" (nor {', '.join(missing[1:])})" if missing[1:] else ""
        raise ValueError(f"{told}{more}: the registry asks for it")
    if not found.released.claimed:
        why = found.released.first.sentence
        raise ValueError(f"expected a guarantee for the released model, got none: {why}")
    if not found.secret:
        told = 'noise = "secret", as for a model that leaves the machine'
        raise ValueError(f"expected {told}, got repeatable noise, which its seed takes off")
    if found.audit is not None and found.audit["exit_code"] == 1:
        told = f"got one that audit says {found.audit['verdict']!r} of"
        raise ValueError(f"expected a model whose audit found nothing against it, {told}")
    words = found.words
    basic = {
        "name": words["name"],
        "data_curators": list(words["curators"]),
        "intended_use": words["intended_use"],
        "data_product_type": "Machine learning model",
        "data_product_region": words["region"],
        "description": words["description"],
        "publication_date": words["published"],
    }
    if words.get("sector"):
        basic["data_product_sector"] = words["sector"]
    return {
        "url_slug": _slug(words["name"]),
        "status": "Draft",
        "tier": 3,
        "deployment": {
            "basic": basic,
            "dp_variant": _variant(found),
            "privacy_loss": _loss(found),
            "deployment_model": _model(found),
            "accounting": _accounting(found),
            "implementation": _implementation(found),
            "administrative": {
                "notes": _notes(found),
                "registry_authors": list(words["authors"]),
            },
        },
    }


class _Lines(yaml.SafeDumper):  # type: ignore[misc]  # yaml ships no types
    """A writer that keeps texts of several lines as they are: they are shown as Markdown."""


def _text(dumper: yaml.SafeDumper, value: str) -> Any:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Lines.add_representer(str, _text)


def as_yaml(entry: dict[str, Any]) -> str:
    """The entry as the registry's files are written."""
    return str(yaml.dump(entry, Dumper=_Lines, sort_keys=False, allow_unicode=True, width=100))


def check_entry(entry: dict[str, Any], schema: Path) -> None:
    """None, once the entry fits the registry's own schema, given as a file.

    Raises: ValueError for an entry that does not, a file that is no schema, or without the package
    `jsonschema`.
    """
    try:
        jsonschema = importlib.import_module("jsonschema")
    except ImportError:
        what = "the package jsonschema (pip install 'fedbert-privacy[registry]')"
        raise ValueError(f"expected {what} to check an entry, got none") from None
    try:
        asked = yaml.safe_load(schema.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        first = str(error).splitlines()[0]
        raise ValueError(f"expected the registry's schema, got {first} in {schema}") from None
    if not isinstance(asked, dict) or "properties" not in asked:
        raise ValueError(f"expected the registry's schema, got none in {schema}")
    unresolvable: type[Exception] = importlib.import_module("referencing.exceptions").Unresolvable
    try:
        jsonschema.validate(entry, asked)
    except (unresolvable, RecursionError) as error:
        raise ValueError(f"expected a schema by itself, got {error} in {schema}") from None
    except jsonschema.SchemaError as error:
        raise ValueError(f"expected a JSON Schema, got {error.message} in {schema}") from None
    except jsonschema.ValidationError as error:
        told = f"{error.message} at {error.json_path}"
        raise ValueError(f"expected an entry of {schema}, got {told}") from None


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "model"


def _variant(found: Disclosure) -> dict[str, str]:
    entry = found.released.first.entry
    return {
        "variant_name": "Pure DP" if float(entry["delta"]) == 0 else "Approximate DP",
        "data_domain": (
            f"Training texts of task {found.row.task}, with labels where the task has them, of at "
            f"most {found.part('data').get('max_length')} tokens each."
        ),
        "unprotected_quantities": "Not covered: " + "; ".join(entry.get("exclusions", ())) + ".",
    }


def _loss(found: Disclosure) -> dict[str, Any]:
    first, further = found.released.first, found.released.promises[1:]
    entry, epsilon = first.entry, float(round_up(float(first.entry["epsilon"])))
    told = [first.sentence]
    if first.allows is not None:
        told.append(f"What it allows an attacker: {first.allows.words}.")
    told += [each.sentence for each in further]
    told += [
        f"{WHO[actor.view]} ({actor.view}): {each.sentence}"
        for actor in found.actors
        for each in actor.promises
        if actor.view != "release"
    ]
    return {
        "privacy_unit": f"{entry['unit']}-level",
        "privacy_unit_details": (
            f"Neighbouring data sets: {entry['relation']} of one {entry['unit']}. How many records "
            f"a person may have: {found.words.get('person', NOT_STATED)}."
        ),
        "privacy_parameters": {"epsilon": epsilon, "delta": float(entry["delta"])},
        "privacy_parameters_details": "\n\n".join(told),
    }


def _model(found: Disclosure) -> dict[str, str]:
    strategy, clients = found.row.strategy, found.part("data").get("clients")
    actors = []
    for actor in found.actors:
        kind = actor.first.entry.get("kind", "no guarantee")
        told = "a guarantee of its own" if actor.claimed else kind
        actors.append(f"- {WHO[actor.view]} ({actor.view}): {told}")
    again = found.words.get("refresh", NOT_STATED)
    return {
        "model_name": MODELS.get(strategy, "Federated"),
        "model_name_details": f"Strategy {strategy}, {clients} clients.",
        "actors": "\n".join(actors),
        "release_type": "One release",
        "release_type_details": f"Further use of the same data: {again}.",
        "data_source_type": "Static",
        "access_type": "Non-interactive",
    }


def _accounting(found: Disclosure) -> dict[str, str]:
    entry = found.released.first.entry
    counted = f"{entry['releases']} releases of one {entry['unit']}"
    return {
        "post_processing": "Everything that is computed from the released model.",
        "composition": f"{counted}; accountant: {entry['accountant']}.",
    }


def _implementation(found: Disclosure) -> dict[str, str]:
    words, record = found.words, found.first
    mechanisms = [
        f"- at {place}: {entry['name']}, clip norm {entry.get('clip_norm')}, "
        + ", ".join(spent(entry.get("cost")) or ["no cost"])
        for place, entry in record.mechanisms.items()
    ]
    commit = record.provenance.get("commit") or "not known"
    mechanisms += [
        f"- noise: {found.noise}",
        f"- floating point: {FLOATING_POINT}",
        f"- code: fedbert-privacy, commit {commit}",
    ]
    chosen = found.part("defence").get("chosen_among")
    counted = "counted in the claim" if chosen else "not counted by the ledger"
    return {
        "preprocessing_and_hyperparameter_tuning": (
            f"Preprocessing: {words.get('preprocessing', NOT_STATED)}. How settings were chosen: "
            f"{words.get('tuning', NOT_STATED)}; {counted}."
        ),
        "mechanisms": "\n".join(mechanisms),
        "justification": str(words.get("justification", NOT_STATED)),
    }


def _notes(found: Disclosure) -> str:
    row = found.row
    measured = [
        f"{leak.name} ({leak.view}) {title(leak.metric)} {interval(leak.estimate)}, {beside(leak)}"
        for leak in row.leaks
    ]
    told = [f"Attacks measured: {'; '.join(measured)}." if measured else "No attack was measured."]
    if row.utility is not None:
        told.append(f"Utility: {row.metric} {interval(row.utility)}, n = {row.utility.n}.")
    if found.audit is not None:
        told.append(f"Audit of {found.audit.get('made')}: {found.audit['verdict']}.")
    told.append(f"To be tested again: {found.words.get('test_again', NOT_STATED)}.")
    return "\n\n".join(told)
