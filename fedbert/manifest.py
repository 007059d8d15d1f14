"""Manifest of a checkpoint: read, found to be as it was written, and held against its files."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedbert.disk.writer import write_whole
from fedbert.errors import InputError
from fedbert.manifest_types import check_types, read_json
from fedbert.model_card import FILE as CARD
from fedbert.paths import within
from fedbert.run_key import key_of, keyed
from fedbert.stopped import aside
from fedbert.tasks import TASKS, is_of_pairs

FAULT = "fault"
"""The key under which a manifest says what a live audit found."""
FORMAT, EXPORT = "fedbert-privacy checkpoint", "fedbert-privacy export"
VERSION = 1
RELEASED = ("model.safetensors", "message.safetensors")
"""Files of weights that a checkpoint's model consists of."""
RENAMED = {"pool": "pool_size"}
"""Keys of [data] by what they were called in manifests of version 1."""


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return the manifest of a checkpoint, or of an export of one.

    Raises:
        InputError: naming what is missing, of another type, tampered with or foreign.
    """
    path = directory / "manifest.json"
    if not path.is_file():
        why = aside(directory.parent)
        raise InputError(f"expected a checkpoint with manifest.json, got none in {directory}{why}")
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") not in (FORMAT, EXPORT):
        raise InputError(f"expected format {FORMAT!r}, got a foreign manifest in {path}")
    if manifest.get("version") != VERSION or manifest["version"] is True:
        raise InputError(
            f"expected version {VERSION}, got version={manifest.get('version')!r} in {path}"
        )
    check_types(manifest, path, exported(manifest))
    if manifest.get("manifest_sha256") != content_sha256(manifest):
        raise InputError(f"expected the manifest as it was written, got another content in {path}")
    return manifest


def exported(manifest: Mapping[str, Any]) -> bool:
    """Return whether a manifest is that of an export, which does not say who was trained on."""
    return manifest.get("format") == EXPORT


def content_sha256(manifest: Mapping[str, Any]) -> str:
    """Return the sha256 of a manifest's content, its own hash apart, however it is laid out."""
    content = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def as_text(manifest: Mapping[str, Any]) -> str:
    """Return a manifest with its own hash, as it is written."""
    whole = {**manifest, "manifest_sha256": content_sha256(manifest)}
    return json.dumps(whole, indent=1, sort_keys=True, allow_nan=False) + "\n"


def mark_faulty(directory: Path, why: str) -> None:
    """Write into a checkpoint's manifest that its claims cannot stand, and why, in a line."""
    manifest = read_manifest(directory) | {FAULT: " ".join(why.split())}
    write_whole(directory / "manifest.json", as_text(manifest).encode())


def refuse_faulty(manifest: Mapping[str, Any], directory: Path) -> None:
    """Raise InputError for a checkpoint whose live audit found that its claims cannot stand."""
    if FAULT in manifest:
        raise InputError(
            f"expected a checkpoint whose claims can stand, got a fault in {directory}: "
            f"{manifest[FAULT]}; choose another --out"
        )


def released_sha256(manifest: Mapping[str, Any]) -> str:
    """Return a hash of the weights of a checkpoint's model, the same for an export of it."""
    found = manifest["sha256"]
    named = {name.removeprefix("model/"): each for name, each in found.items()}
    weights = {name: named[name] for name in RELEASED if name in named}
    return hashlib.sha256(json.dumps(weights, sort_keys=True).encode()).hexdigest()


def files_of(directory: Path) -> list[Path]:
    """Return every file below a directory, sorted."""
    return sorted(path for path in directory.rglob("*") if path.is_file())


def hashes_of(directory: Path) -> dict[str, str]:
    """Return the sha256 of every file below a directory, by its name from there."""
    return {str(path.relative_to(directory)): file_sha256(path) for path in files_of(directory)}


def file_sha256(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_files(directory: Path, manifest: Mapping[str, Any]) -> None:
    """Raise InputError unless a directory holds the manifest's files as they were, alone.

    A model card may lie beside them, and be added to.
    """
    present = {str(path.relative_to(directory)) for path in files_of(directory)}
    for name, expected in manifest["sha256"].items():
        path = directory / name
        if not within(directory, path):
            raise InputError(f"expected files inside the checkpoint, got {name!r} in {directory}")
        if name not in present:
            raise InputError(f"expected {name} in checkpoint {directory}, got no such file")
        if file_sha256(path) != expected:
            raise InputError(f"expected the sha256 of the manifest, got another for {path}")
    extra = present - set(manifest["sha256"])
    if others := extra - {"manifest.json", CARD}:
        names = ", ".join(sorted(others))
        raise InputError(f"expected only files named in the manifest, got {names} in {directory}")


def upgraded(config: Any) -> Any:
    """Return a manifest's configuration with the keys of today.

    One without a word about noise was trained with noise that follows from its seed; one by one
    message without a word about pairs read them as one text; without one about how scores go with
    likeness, knew nothing of that.

    >>> upgraded({"data": {"pool": 60}, "seed": 1})
    {'data': {'pool_size': 60}, 'seed': 1, 'noise': 'repeatable'}
    """
    if isinstance(config, dict) and "noise" not in config:
        config = config | {"noise": "repeatable"}
    data = config.get("data") if isinstance(config, dict) else None
    message = config.get("message") if isinstance(config, dict) else None
    if isinstance(message, dict) and isinstance(data, dict) and "pairs" not in message:
        of_pairs = is_of_pairs(str(data.get("task")), data.get("pair"))
        config = config | {"message": message | ({"pairs": "together"} if of_pairs else {})}
    elif isinstance(message, dict) and isinstance(data, dict) and "alike" not in message:
        of_likeness = [name for name, task in TASKS.items() if task.of_likeness]
        free = message.get("pairs") == "apart" and data.get("task") in of_likeness
        config = config | {"message": message | ({"alike": "free"} if free else {})}
    if not isinstance(data, dict) or "pool" not in data or "pool_size" in data:
        return config
    return config | {"data": {RENAMED.get(key, key): value for key, value in data.items()}}


def coin_of(manifest: Mapping[str, Any]) -> Any:
    """Return what the hold-out coin of a manifest fell for: in those that do not say, a row.

    >>> coin_of({"coin": "text"}), coin_of({})
    ('text', 'row')
    """
    return manifest.get("coin", "row")


def same_data(directory: Path, manifest: Mapping[str, Any], data_sha256: str) -> bool:
    """Return whether a checkpoint was trained on these data, by the key that lies in it.

    Those of earlier versions hold the hash itself.
    """
    if "data_sha256" in manifest:
        return bool(manifest["data_sha256"] == data_sha256)
    key = key_of(directory)
    return key is not None and manifest.get("data_hmac") == keyed(key, data_sha256)
