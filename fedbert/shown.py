"""Shown part of a checkpoint's manifest: settings, costs and claims that an export names.

All else stays out: who was trained on, a hash of the data, losses, clip shares, label counts, the
partition, the seed, paths.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from fedbert.manifest import EXPORT, VERSION
from fedbert.setting_types import ONE_MESSAGE

CONFIG = {
    "model": (
        "architecture", "cut_layer", "dropout", "freeze_embeddings", "pooling", "tie_decoder",
    ),
    "data": ("task", "max_length", "clients", "text", "pair", "label", "labels", "metric",
        "records_per_user",
    ),
    "training": (
        "strategy", "rounds", "local_steps", "batch_size", "clients_per_round", "participation",
        "learning_rate",
        "warmup_fraction", "weight_decay", "max_grad_norm", "optimizer", "optimizer_state",
        "client_parts", "precision", "micro_batch",
    ),
}  # fmt: skip
SENT = ("public_size", "pooling", "directions", "clip_quantile", "labels", "pairs", "alike")
PUBLIC = "not named"
"""How an export calls the public text of a training by one message, whose source may be a path."""
PLACES = (
    "smashed", "hidden", "hidden_gradient", "smashed_gradient", "update", "labels", "training",
    "penalty",
)  # fmt: skip
WORDS = ("mechanism", "unit", "view", "clipping")
"""Settings of a mechanism that are words; any other that goes over is a number."""
COST = ("place", "unit", "relation", "releases")
EVENT = ("kind", "noise_multiplier", "sample_rate", "epsilon", "eta")
GUARANTEE = (
    "view", "kind", "unit", "relation", "epsilon", "delta", "eta", "releases", "scope",
    "accountant", "exclusions", "reason", "sentence", "tradeoff", "tradeoff_basis", "advantage",
    "mu", "mu_delta",
)  # fmt: skip
AUDIT = ("kind", "canaries", "fresh", "noise", "alpha", "rounds", "releases")
"""Of a live audit; where its canaries' coins fell, and what was seen of them, is nobody's."""
PROVENANCE = ("commit", "dirty", "versions", "precision")
COUNTED = re.compile(r"n=\d+ records")


def shown(manifest: Mapping[str, Any], sha256: Mapping[str, str]) -> dict[str, Any]:
    """Return the manifest of an export of a checkpoint; sha256: of the files that go with it."""
    config = manifest["config"]
    return {
        "format": EXPORT,
        "version": VERSION,
        "config": {part: chosen(config[part], keys) for part, keys in CONFIG.items()}
        | {"noise": config.get("noise", "repeatable")}
        | _message(config),
        "defence": _defence(manifest["defence"]),
        "costs": [
            chosen(cost, COST) | {"event": chosen(cost["event"], EVENT)}
            for cost in manifest["costs"]
        ],
        "guarantees": [_guarantee(each) for each in manifest.get("guarantees", [])],
        "launches": manifest.get("launches", []),
        "round": manifest["round"],
        "provenance": chosen(manifest.get("provenance", {}), PROVENANCE),
        "sha256": dict(sha256),
    } | _audit(manifest)


def _audit(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what canaries were planted, and how the training was watched; nothing without any."""
    shown = manifest.get("plain", {}).get("audit", {}).get("shown")
    return {} if shown is None else {"audit": chosen(shown, AUDIT)}


def _message(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a message was made of; nothing of a training without one."""
    if config["training"].get("strategy") != ONE_MESSAGE:
        return {}
    return {"message": chosen(config["message"], SENT) | {"public": PUBLIC}}


def _defence(defence: Mapping[str, Any]) -> dict[str, Any]:
    found = chosen(defence, ("name", "delta", "chosen_among"))
    for place in PLACES:
        if isinstance(defence.get(place), dict):
            found[place] = {
                key: value
                for key, value in defence[place].items()
                if key in WORDS or isinstance(value, int | float)
            }
    return found


def _guarantee(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Return a claim, or that there is none, without the size of the smallest client."""
    found = chosen(entry, GUARANTEE)
    if "sentence" in found:
        found["sentence"] = COUNTED.sub("the records", found["sentence"])
    if "exclusions" in found:
        found["exclusions"] = [COUNTED.sub("the records", each) for each in found["exclusions"]]
    return found


def chosen(values: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    """Return the entries that are named, as far as they are there."""
    return {key: values[key] for key in keys if key in values}
