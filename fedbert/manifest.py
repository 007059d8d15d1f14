"""Manifest of a checkpoint: read, and found to be of the form that is written."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from fedbert.config import STEPS
from fedbert.errors import InputError
from fedbert.run_key import key_of, keyed
from fedbert.stopped import aside

FORMAT, EXPORT = "fedbert-privacy checkpoint", "fedbert-privacy export"
VERSION = 1
MOST = 2**53
"""No count reaches it."""
RENAMED = {"pool": "pool_size"}
"""Keys of [data] by what they were called in manifests of version 1."""


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value < MOST


def _counts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_count, value))


def _objects(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, dict) for each in value)


def _numbers(value: Any) -> bool:
    return isinstance(value, list) and all(type(each) in (int, float) for each in value)


def _hashes(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


def _object(value: Any) -> bool:
    return isinstance(value, dict)


Check = tuple[Callable[[Any], bool], str]
SHOWN: dict[str, Check] = {
    "config": (_object, "an object"),
    "round": (lambda v: _count(v) and v <= STEPS, f"a count up to {STEPS}"),
    "sha256": (_hashes, "a hash by file"),
    "defence": (_object, "an object"),
    "costs": (_objects, "a list of objects"),
}
"""What a manifest needs, an exported one as well."""
KEPT: dict[str, Check] = {
    "plain": (_object, "an object"),
    "bytes": (lambda v: isinstance(v, dict) and all(map(_count, v.values())), "counts by kind"),
    "losses": (_numbers, "a list of numbers"),
    "members": (_counts, "a list of counts"),
}
"""What a checkpoint's own needs besides."""
MAY: dict[str, Check] = {
    "guarantees": (_objects, "a list of objects"),
    "launches": (lambda v: isinstance(v, list) and all(map(_counts, v)), "lists of counts"),
    "pool": (_count, "a count"),
    "provenance": (_object, "an object"),
    "data_hmac": (lambda v: isinstance(v, str), "a text"),
    "data_sha256": (lambda v: isinstance(v, str), "a text"),
}
"""What it may hold."""


def read_manifest(directory: Path) -> dict[str, Any]:
    """Return the manifest of a checkpoint, or of an export of one.

    Raises:
        InputError: naming what is missing, of another type, tampered with or foreign.
    """
    path = directory / "manifest.json"
    if not path.is_file():
        why = aside(directory.parent)
        raise InputError(f"expected a checkpoint with manifest.json, got none in {directory}{why}")
    try:
        manifest = json.loads(path.read_text())
    except RecursionError:
        raise InputError(f"expected JSON, got one nested too deep in {path}") from None
    except ValueError as error:
        raise InputError(f"expected JSON, got {error} in {path}") from None
    if not isinstance(manifest, dict) or manifest.get("format") not in (FORMAT, EXPORT):
        raise InputError(f"expected format {FORMAT!r}, got a foreign manifest in {path}")
    if manifest.get("version") != VERSION:
        raise InputError(
            f"expected version {VERSION}, got version={manifest.get('version')!r} in {path}"
        )
    needed = SHOWN if exported(manifest) else SHOWN | KEPT
    for key in needed:
        if key not in manifest:
            raise InputError(f"expected key {key!r} in the manifest, got none in {path}")
    for key, (fits, expected) in (needed | MAY).items():
        if key in manifest and not fits(manifest[key]):
            raise InputError(f"expected {key} to be {expected}, got another type in {path}")
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
    """Raise InputError unless a directory holds the manifest's files as they were, alone."""
    for name, expected in manifest["sha256"].items():
        path = directory / name
        if "\0" in name or not path.resolve().is_relative_to(directory.resolve()):
            raise InputError(f"expected files inside the checkpoint, got {name!r} in {directory}")
        if not path.is_file():
            raise InputError(f"expected {name} in checkpoint {directory}, got no such file")
        if file_sha256(path) != expected:
            raise InputError(f"expected the sha256 of the manifest, got another for {path}")
    extra = {str(p.relative_to(directory)) for p in files_of(directory)} - set(manifest["sha256"])
    if extra - {"manifest.json"}:
        names = ", ".join(sorted(extra - {"manifest.json"}))
        raise InputError(f"expected only files named in the manifest, got {names} in {directory}")


def upgraded(config: Any) -> Any:
    """Return a manifest's configuration with the keys of today.

    One without a word about noise was trained with noise that follows from its seed.

    >>> upgraded({"data": {"pool": 60}, "seed": 1})
    {'data': {'pool_size': 60}, 'seed': 1, 'noise': 'repeatable'}
    """
    if isinstance(config, dict) and "noise" not in config:
        config = config | {"noise": "repeatable"}
    data = config.get("data") if isinstance(config, dict) else None
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
