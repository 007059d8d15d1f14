"""Checkpoints: safetensors and a JSON manifest, hashed, written whole or not at all.

DIR/manifest.json       what was trained, on what, how far, at which cost, hashes of the rest
DIR/state.safetensors   what the parties carry, to resume from
DIR/model/              the joined model and its tokenizer, as transformers' from_pretrained loads
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fedbert.config import Config
from fedbert.errors import InputError
from fedbert.manifest import check_types, read_json
from fedbert.paths import within
from fedbert.prepare import Prepared
from fedbert.provenance import provenance
from fedbert.settings import first_difference, from_mapping
from fedbert.split import duplicate
from fedbert.trainer import State, load_values

FORMAT = "fedbert-privacy checkpoint"
VERSION = 1
RENAMED = {"pool": "pool_size"}
"""Keys of [data] by what they were called in manifests of version 1."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read and found whole."""

    directory: Path
    manifest: dict[str, Any]
    config: Config
    state: State

    @property
    def model(self) -> Path:
        """Return the directory that transformers' from_pretrained loads."""
        return self.directory / "model"


def save(
    directory: Path,
    config: Config,
    prepared: Prepared,
    state: State,
    defence: Mapping[str, Any],
    costs: list[dict[str, Any]],
    guarantees: Sequence[dict[str, Any]] = (),
    launches: Sequence[Sequence[int]] = (),
) -> Path:
    """Write a checkpoint and return its directory; an earlier one there is replaced whole.

    defence, costs and guarantees are plain JSON: what was asked for, what has been spent so far,
    and what follows for each view. The guarantee of `release` speaks of `model/` alone. launches:
    of a training that was resumed under fresh noise, which the costs count.

    Raises:
        InputError: if the training has diverged; an earlier checkpoint stays.
    """
    if not all(math.isfinite(loss) for loss in state.losses):
        raise InputError(
            f"expected finite losses, got losses={list(state.losses)}: the training diverged"
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    recover(directory)
    temporary = _aside(directory, "tmp")
    temporary.mkdir()
    try:
        _write_model(temporary / "model", prepared, state)
        arrays = {f"state/{n}": np.asarray(v, order="C") for n, v in state.arrays.items()}
        arrays |= {f"values/{n}": np.asarray(v, order="C") for n, v in state.values.items()}
        save_file(arrays, temporary / "state.safetensors")
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "config": config.to_json(),
            "defence": dict(defence),
            "costs": costs,
            "guarantees": list(guarantees),
            "launches": [list(each) for each in launches],
            "round": state.round,
            "data_sha256": prepared.data_sha256,
            "members": _members(prepared),
            "coin": prepared.per,
            "pool": len(prepared.pool),
            "plain": state.plain,
            "bytes": state.bytes,
            "losses": list(state.losses),
            "provenance": provenance(),
            "sha256": {str(p.relative_to(temporary)): _sha256(p) for p in _files(temporary)},
        }
        manifest["manifest_sha256"] = _content_sha256(manifest)
        text = json.dumps(manifest, indent=1, sort_keys=True, allow_nan=False)
        (temporary / "manifest.json").write_text(text + "\n")
        _replace(temporary, directory)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return directory


def read(directory: Path) -> Checkpoint:
    """Return a checkpoint, every file checked against its hash. Nothing is unpickled.

    Raises:
        InputError: naming what is missing, truncated, tampered with or foreign.
    """
    manifest = _read_manifest(directory)
    present = {str(p.relative_to(directory)) for p in _files(directory)}
    for name, expected in manifest["sha256"].items():
        path = directory / name
        if not within(directory, path):
            raise InputError(f"expected files inside the checkpoint, got {name!r} in {directory}")
        if name not in present:
            raise InputError(f"expected {name} in checkpoint {directory}, got no such file")
        if _sha256(path) != expected:
            raise InputError(f"expected the sha256 of the manifest, got another for {path}")
    extra = present - set(manifest["sha256"])
    if extra - {"manifest.json"}:
        names = ", ".join(sorted(extra - {"manifest.json"}))
        raise InputError(f"expected only files named in the manifest, got {names} in {directory}")
    try:
        arrays = load_file(directory / "state.safetensors")
    except (SafetensorError, OSError) as error:
        raise InputError(
            f"expected safetensors, got {error} in {directory}/state.safetensors"
        ) from None
    for value in arrays.values():
        value.flags.writeable = False
    state = State(
        round=manifest["round"],
        values={n.removeprefix("values/"): v for n, v in arrays.items() if n.startswith("values/")},
        arrays={n.removeprefix("state/"): v for n, v in arrays.items() if n.startswith("state/")},
        plain=manifest["plain"],
        bytes=manifest["bytes"],
        losses=tuple(manifest["losses"]),
    )
    return Checkpoint(
        directory,
        manifest,
        from_mapping(Config, upgraded(manifest["config"]), str(directory)),
        state,
    )


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


def check_same(
    checkpoint: Checkpoint, config: Config, data_sha256: str, defence: Mapping[str, Any]
) -> None:
    """Raise InputError unless a checkpoint belongs to this configuration, data and defence."""
    here = config.to_json() | {"defence": dict(defence)}
    there = checkpoint.config.to_json() | {"defence": checkpoint.manifest["defence"]}
    difference = first_difference(there, here)
    if difference is not None:
        key, old, new = difference
        raise InputError(
            f"expected a checkpoint of the same {key}, got {key}={old} in {checkpoint.directory}; "
            f"this run has {new}"
        )
    if config.data.hold_out > 0 and coin_of(checkpoint.manifest) != "text":
        raise InputError(
            "expected a checkpoint whose coin fell for each text, got coin='row' "
            f"in {checkpoint.directory}: other rows would be trained on from here"
        )
    if checkpoint.manifest["data_sha256"] != data_sha256:
        raise InputError(
            "expected a checkpoint of the same data, got "
            f"sha256={checkpoint.manifest['data_sha256'][:16]}... in {checkpoint.directory}; the "
            f"files of this run have {data_sha256[:16]}..."
        )


def coin_of(manifest: Mapping[str, Any]) -> Any:
    """Return what the hold-out coin of a manifest fell for: in those that do not say, a row.

    >>> coin_of({"coin": "text"}), coin_of({})
    ('text', 'row')
    """
    return manifest.get("coin", "row")


def _read_manifest(directory: Path) -> dict[str, Any]:
    path = directory / "manifest.json"
    if not path.is_file():
        raise InputError(f"expected a checkpoint with manifest.json, got none in {directory}")
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise InputError(f"expected format {FORMAT!r}, got a foreign manifest in {path}")
    if manifest.get("version") != VERSION or manifest["version"] is True:
        raise InputError(
            f"expected version {VERSION}, got version={manifest.get('version')!r} in {path}"
        )
    check_types(manifest, path)
    if manifest.get("manifest_sha256") != _content_sha256(manifest):
        raise InputError(f"expected the manifest as it was written, got another content in {path}")
    return manifest


def _content_sha256(manifest: Mapping[str, Any]) -> str:
    """Return the sha256 of a manifest's content, its own hash apart, however it is laid out."""
    content = {key: value for key, value in manifest.items() if key != "manifest_sha256"}
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _members(prepared: Prepared) -> list[int]:
    """Return the pool positions of the examples that the clients hold."""
    held = [d.in_pool for d in prepared.clients]
    return sorted(int(position) for position in np.concatenate(held))


def _write_model(directory: Path, prepared: Prepared, state: State) -> None:
    """Write the joined model with the state's values, and the tokenizer."""
    split = duplicate(prepared.split)
    load_values(split, state.values)
    split.whole.save_pretrained(directory)
    prepared.tokenizer.save_pretrained(directory)


def _files(directory: Path) -> list[Path]:
    return sorted(p for p in directory.rglob("*") if p.is_file())


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def recover(directory: Path) -> None:
    """Put back the checkpoint that a run killed between two renames left aside; remove litter."""
    old = _aside(directory, "old")
    if old.exists() and not directory.exists():
        os.rename(old, directory)
    for left in (old, _aside(directory, "tmp")):
        shutil.rmtree(left, ignore_errors=True)


def _aside(directory: Path, what: str) -> Path:
    return directory.with_name(f".{directory.name}.{what}")


def _replace(temporary: Path, directory: Path) -> None:
    """Put a finished directory in place of an earlier one, losing neither on the way."""
    old = _aside(directory, "old")
    if directory.exists():
        os.rename(directory, old)
    try:
        os.rename(temporary, directory)
    except OSError:
        if old.exists():
            os.rename(old, directory)
        raise
    shutil.rmtree(old, ignore_errors=True)
