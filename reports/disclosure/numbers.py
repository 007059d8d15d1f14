"""Disclosure as JSON: numbers as numbers; of settings what an export holds as well."""

import json
from collections.abc import Mapping
from typing import Any

from reports.disclosure.facts import (
    FLOATING_POINT,
    NOT_MEASURED,
    NOT_STATED,
    RATES,
    WORDS,
    Actor,
    Disclosure,
    Promise,
)
from reports.disclosure.means import attackers
from reports.disclosure.persons import as_json as as_json_of
from reports.disclosure.persons import persons
from reports.leak import NotMeasured
from reports.plain import WHO

MECHANISM = ("name", "clip_norm", "noise_std", "cost")
SETTINGS = {
    "model": ("architecture", "cut_layer", "freeze_embeddings", "dropout", "pooling"),
    "data": ("task", "max_length", "clients", "records_per_user"),
    "training": (
        "strategy", "rounds", "local_steps", "batch_size", "clients_per_round", "participation",
        "learning_rate", "optimizer", "precision",
    ),
}  # fmt: skip
"""Settings that an export holds, too: no seed, no path, no hash of the data."""
PROVENANCE = ("commit", "dirty", "versions", "precision")
AUDIT = ("verdict", "exit_code", "made", "checks")


def as_json(found: Disclosure) -> str:
    """The disclosure as JSON, numbers as numbers; of settings what an export holds as well."""
    row, record = found.row, found.first
    content = {
        "format": "fedbert-privacy disclosure",
        "version": 1,
        "setting": {
            "task": row.task,
            "strategy": row.strategy,
            "defence": row.defence,
            "level": row.level,
            "seeds": len(row.seeds),
            **dict(row.further),
        },
        "actors": [_actor_json(each) for each in found.actors],
        "made": found.made,
        "worst_person": [as_json_of(each, RATES) for each in persons(found)] or NOT_STATED,
        "noise": found.noise,
        "floating_point": FLOATING_POINT,
        "mechanisms": {p: _of(each, MECHANISM) for p, each in record.mechanisms.items()},
        "tuning": found.part("defence").get("chosen_among") or NOT_STATED,
        "utility": {
            "metric": row.metric,
            "estimate": None if row.utility is None else row.utility.to_json(),
            "majority_baseline": row.majority_baseline,
            "comparison": row.comparison.value,
            "subgroups": _groups_json(found),
        },
        "attackers": {
            "attacks": dict(found.part("attacks")),
            "means": [each.to_json() for each in attackers(found)] or NOT_MEASURED,
            "seconds": found.seconds,
            "measured": [each.to_json() for each in row.leaks],
            "not_measured": [
                each.to_json() for each in record.leakage if isinstance(each, NotMeasured)
            ],
        },
        "audit": _audit_json(found),
        "live_audit": found.watched or NOT_MEASURED,
        "doubts": record.doubts,
        "training": {part: _of(found.part(part), keys) for part, keys in SETTINGS.items()},
        "provenance": _of(record.provenance, PROVENANCE),
        "stated": {key: found.words.get(key, NOT_STATED) for key in WORDS},
    }
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _of(values: Mapping[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: values[key] for key in keys if key in values}


def _actor_json(actor: Actor) -> dict[str, Any]:
    return {
        "view": actor.view,
        "who": WHO[actor.view],
        "promises": [_promise_json(each) for each in actor.promises],
        "worst_membership": None if actor.members is None else actor.members.to_json(),
        "worst_inversion": None if actor.text is None else actor.text.to_json(),
    }


def _promise_json(promise: Promise) -> dict[str, Any]:
    found = {key: value for key, value in promise.entry.items() if key not in ("tradeoff", "view")}
    allows = promise.allows
    if allows is not None:
        found["allows"] = {
            "advantage": allows.advantage,
            "tpr_at": {f"{rate:g}": allows.tpr_at(rate) for rate in RATES},
            "basis": allows.basis,
        }
    return found


def _audit_json(found: Disclosure) -> Any:
    """What an audit checked, and its verdict."""
    if found.audit is None:
        return NOT_MEASURED
    return {key: found.audit[key] for key in AUDIT if key in found.audit}


def _groups_json(found: Disclosure) -> Any:
    """What every group gets, of the first seed."""
    return {
        way: {name: each.to_json() for name, each in estimates.items()}
        for way, estimates in found.first.subgroups.items()
    } or NOT_MEASURED
