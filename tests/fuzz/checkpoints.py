"""Fuzzed checkpoints: manifests of other types, tensors of other shapes, files cut or exchanged."""

import hashlib
import json
import random
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from evaluation.auditing.manifest import mismatches
from evaluation.auditing.subject import open_subject
from fedbert.checkpoint import read
from fedbert.errors import InputError
from tests.evaluation.auditing.test_manifest import SMASHED, made
from tests.fuzz import odd, strict_checkpoint
from tests.fuzz.trial import EITHER, Trial, verdict_of

_FOLDER = tempfile.TemporaryDirectory()
NAMES = (
    "../x",
    "model/../../x",
    "/etc/hosts",
    "a\x00b",
    "",
    ".",
    "model",
    "x" * 300,
    "é",
    "model/",
)


@cache
def template() -> Path:
    """Return a checkpoint as a training leaves it, made once in a process."""
    directory = made(Path(_FOLDER.name), defence=SMASHED)
    arrays = {"values/a": np.ones((2, 3), np.float32), "state/b:c": np.arange(4)}
    (directory / "state.safetensors").write_bytes(save(arrays))
    _rehash(directory)
    return directory


def make(rng: random.Random, folder: Path) -> Trial:
    """Return a checkpoint that is right, or odd in one way or two."""
    directory = folder / "checkpoint"
    shutil.copytree(template(), directory)
    how = rng.choice((_typed, _typed, _typed, _bytes, _bytes, _tensors, _files, _model))
    told, either = how(directory, rng)
    verdict = verdict_of(lambda: strict_checkpoint.essence(directory))
    if verdict.accepted and either:
        verdict = EITHER
    return Trial(f"{how.__name__[1:]}: {told}", lambda: _read(directory), verdict, folder)


def _read(directory: Path) -> tuple[Any, ...]:
    """Return round, losses, members and tensors, as a training that goes on reads them.

    An audit opens it as well, and may refuse what it finds, but in one line.
    """
    found = read(directory)
    shapes = {f"values/{name}": each.shape for name, each in found.state.values.items()}
    shapes |= {f"state/{name}": each.shape for name, each in found.state.arrays.items()}
    with suppress(InputError):
        mismatches(open_subject(directory, None))
    return found.state.round, list(found.state.losses), found.manifest["members"], shapes


def _manifest(directory: Path) -> dict[str, Any]:
    return dict(json.loads((directory / "manifest.json").read_text()))


def _write(directory: Path, manifest: dict[str, Any]) -> None:
    manifest["manifest_sha256"] = strict_checkpoint.content_hash(manifest)
    (directory / "manifest.json").write_text(json.dumps(manifest))


def _rehash(directory: Path, manifest: dict[str, Any] | None = None) -> None:
    """Write a manifest to fit the files, as somebody would who means ill."""
    manifest = _manifest(directory) if manifest is None else manifest
    paths = [p for p in directory.rglob("*") if p.is_file() and p.name != "manifest.json"]
    manifest["sha256"] = {
        str(p.relative_to(directory)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths
    }
    _write(directory, manifest)


def _typed(directory: Path, rng: random.Random) -> tuple[str, bool]:
    """Change a place of the manifest, hashed anew; settings are the business of grids."""
    manifest = _manifest(directory)
    config = json.dumps(manifest["config"])
    part = rng.choice((*manifest, *(5 * ["costs", "guarantees", "defence", "launches", "config"])))
    manifest["launches"] = [[0, 1, 4]]
    if rng.random() < 0.4:
        manifest[part] = odd.value(rng)
        told = f"value at {part!r}"
    else:
        tree = {part: manifest[part]} if rng.random() < 0.2 else manifest[part]
        whole = isinstance(tree, dict | list) and tree
        told = f"{part}: {odd.change(tree if whole else manifest, rng)}"
    _write(directory, manifest)
    return told, json.dumps(manifest.get("config")) != config


def _bytes(directory: Path, rng: random.Random) -> tuple[str, bool]:
    """Damage a file, and leave the hashes; sometimes the manifest is damaged beyond JSON."""
    path = rng.choice([p for p in sorted(directory.rglob("*")) if p.is_file()])
    data, how = odd.damaged(path.read_bytes(), rng)
    if rng.random() < 0.1:
        path = directory / "manifest.json"
        data = rng.choice((b"[" * 100_000, b'{"round": ' + b"9" * 5000 + b"}", b'{"a":' * 50_000))
    path.write_bytes(data)
    return f"{how} {path.name}", False


def _tensors(directory: Path, rng: random.Random) -> tuple[str, bool]:
    """Change the header of the tensors, or its length, hashed anew."""
    path = directory / "state.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, values = json.loads(data[8 : 8 + length]), data[8 + length :]
    told, either = "length", False
    if rng.random() < 0.2:
        data = rng.choice((0, 2**63, length + 9, length - 1)).to_bytes(8, "little") + data[8:]
    elif rng.random() < 0.2:
        data, told = odd.damaged(data, rng)
        either = True  # of keys that stand twice and of blanks the library has its own mind
    else:
        told = odd.change(header, rng)
        if rng.random() < 0.3:
            header["values/a"] = {"dtype": rng.choice(("BF16", "F8_E4M3", "F16", "U64", "C64")),
                                  "shape": [2, 3], "data_offsets": [0, 24]}  # fmt: skip
            told, either = "type of numbers", True
        packed = json.dumps(header).encode()
        data = len(packed).to_bytes(8, "little") + packed + values
    path.write_bytes(data)
    _rehash(directory)
    return told, either


def _files(directory: Path, rng: random.Random) -> tuple[str, bool]:
    """Take a file away, add one, put a folder or a link in its place, or name another."""
    path = rng.choice([p for p in sorted(directory.rglob("*")) if p.is_file()])
    what = rng.choice(("gone", "more", "folder", "link", "named"))
    if what == "named":
        manifest = _manifest(directory)
        manifest["sha256"][rng.choice(NAMES)] = "0" * 64
        _write(directory, manifest)
        return what, False
    if what == "more":
        (directory / rng.choice(("x.json", "model/x.txt", ".hidden"))).write_text("{}")
        return what, False
    path.unlink()
    if what == "folder":
        path.mkdir()
    elif what == "link":
        path.symlink_to(rng.choice(("/etc/hosts", "manifest.json", path.name)))
    return f"{what} {path.name}", False


def _model(directory: Path, rng: random.Random) -> tuple[str, bool]:
    """Change a JSON file of the model or the tokenizer, hashed anew."""
    path = (
        directory / "model" / rng.choice(("config.json", "tokenizer.json", "tokenizer_config.json"))
    )
    tree = json.loads(path.read_text())
    told = odd.change(tree, rng)
    data = json.dumps(tree).encode()
    if rng.random() < 0.2:
        data, told = odd.damaged(data, rng)
    path.write_bytes(data)
    _rehash(directory)
    return f"{path.name}, {told}", True
