"""Export of a checkpoint: the folder to hand over, of what is named here and of nothing else.

DIR/model.safetensors, config.json, tokenizer...   as transformers' from_pretrained loads
DIR/message.safetensors                            projection and head, of a training by one message
DIR/manifest.json                                  how it was trained and what is claimed of it
DIR/README.md                                      the same as a model card, which may be added to

What a training leaves besides is not covered by any noise: who was trained on, a hash of the data
(which alone settles which of two data sets it was), losses, clip shares, label counts, the
partition, the optimiser's moments, the seed, paths. Whatever later versions add stays out, too,
until it is named here.
"""

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from fedbert.checkpoint import Checkpoint, read
from fedbert.disk.writer import sweep, whole_folder
from fedbert.errors import InputError
from fedbert.manifest import EXPORT, VERSION, as_text, exported, hashes_of, refuse_faulty
from fedbert.model_card import FILE as CARD
from fedbert.model_card import card_of
from fedbert.one_message.files import MESSAGE
from fedbert.setting_types import ONE_MESSAGE

WEIGHTS = "model.safetensors"
WHOLE = (WEIGHTS, MESSAGE, "tokenizer.json", "vocab.txt", "vocab.json", "merges.txt")
"""Files that go over as they are: weights, and the words of the tokenizer."""
MODEL = (
    "add_cross_attention", "architectures", "attention_probs_dropout_prob", "bos_token_id",
    "classifier_dropout", "classifier_pooling", "dtype", "eos_token_id", "hidden_act",
    "hidden_dropout_prob", "hidden_size", "id2label", "initializer_range", "intermediate_size",
    "is_decoder", "label2id", "layer_norm_eps", "max_position_embeddings",
    "model_type", "num_attention_heads", "num_hidden_layers",
    "pad_token_id", "problem_type", "tie_word_embeddings", "transformers_version",
    "type_vocab_size", "use_cache", "vocab_size",
)  # fmt: skip
TOKENIZER = (
    "add_prefix_space", "added_tokens_decoder", "backend", "bos_token",
    "clean_up_tokenization_spaces", "cls_token", "do_lower_case", "eos_token", "errors",
    "mask_token", "model_max_length", "pad_token", "padding_side", "sep_token", "strip_accents",
    "tokenize_chinese_chars", "tokenizer_class", "trim_offsets", "truncation_side", "unk_token",
)  # fmt: skip
FILTERED = {"config.json": MODEL, "tokenizer_config.json": TOKENIZER}
"""Files of settings, and the keys of them that go over."""

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
SENT = ("public_size", "pooling", "directions", "clip_quantile", "labels", "pairs")
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


def export(checkpoint: Path, out: Path) -> Checkpoint:
    """Write what of a checkpoint is to be handed over, and return it, read again.

    Raises:
        InputError: for what is no checkpoint, or a place that holds something already.
    """
    found, out = read(checkpoint), out.resolve()
    if exported(found.manifest):
        raise InputError(f"expected a checkpoint, got an export already in {checkpoint}")
    refuse_faulty(found.manifest, checkpoint)
    sweep(out.parent)
    if out.is_relative_to(checkpoint.resolve()):
        raise InputError(f"expected a folder outside the checkpoint, got --out {out}")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"expected a new or an empty folder, got --out {out}")
    if not (found.model / WEIGHTS).is_file():
        raise InputError(f"expected {WEIGHTS}, got none in {found.model}")
    with whole_folder(out, shared=True) as draft:
        for name in WHOLE:
            if (found.model / name).is_file():
                (draft / name).write_bytes((found.model / name).read_bytes())
        for name, keys in FILTERED.items():
            if (found.model / name).is_file():
                settings = _chosen(json.loads((found.model / name).read_text("utf-8")), keys)
                text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
                (draft / name).write_text(text, encoding="utf-8")
        manifest = shown(found.manifest, hashes_of(draft))
        (draft / "manifest.json").write_text(as_text(manifest))
        (draft / CARD).write_text(card_of(manifest), encoding="utf-8")
    return read(out)


def shown(manifest: Mapping[str, Any], sha256: Mapping[str, str]) -> dict[str, Any]:
    """Return the manifest of an export of a checkpoint; sha256: of the files that go with it."""
    config = manifest["config"]
    return {
        "format": EXPORT,
        "version": VERSION,
        "config": {part: _chosen(config[part], keys) for part, keys in CONFIG.items()}
        | {"noise": config.get("noise", "repeatable")}
        | _message(config),
        "defence": _defence(manifest["defence"]),
        "costs": [
            _chosen(cost, COST) | {"event": _chosen(cost["event"], EVENT)}
            for cost in manifest["costs"]
        ],
        "guarantees": [_guarantee(each) for each in manifest.get("guarantees", [])],
        "launches": manifest.get("launches", []),
        "round": manifest["round"],
        "provenance": _chosen(manifest.get("provenance", {}), PROVENANCE),
        "sha256": dict(sha256),
    } | _audit(manifest)


def _audit(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Return what canaries were planted, and how the training was watched; nothing without any."""
    shown = manifest.get("plain", {}).get("audit", {}).get("shown")
    return {} if shown is None else {"audit": _chosen(shown, AUDIT)}


def _message(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a message was made of; nothing of a training without one."""
    if config["training"].get("strategy") != ONE_MESSAGE:
        return {}
    return {"message": _chosen(config["message"], SENT) | {"public": PUBLIC}}


def _defence(defence: Mapping[str, Any]) -> dict[str, Any]:
    found = _chosen(defence, ("name", "delta", "chosen_among"))
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
    found = _chosen(entry, GUARANTEE)
    if "sentence" in found:
        found["sentence"] = COUNTED.sub("the records", found["sentence"])
    if "exclusions" in found:
        found["exclusions"] = [COUNTED.sub("the records", each) for each in found["exclusions"]]
    return found


def _chosen(values: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Any]:
    return {key: values[key] for key in keys if key in values}
