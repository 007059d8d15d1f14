"""Checkpoints: safetensors and a JSON manifest, hashed, written whole or not at all.

DIR/manifest.json       what was trained, on what, how far, at which cost, hashes of the rest
DIR/state.safetensors   what the parties carry, to resume from
DIR/model/              the joined model and its tokenizer, as transformers' from_pretrained loads;
                        of a training by one message as `fedbert.one_message.files` says
DIR/run.secret          the key of the manifest's hash of the data: that of the run folder
"""

import errno
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from fedbert.arrivals import refuse_diverged
from fedbert.config import Config
from fedbert.disk.writer import sweep, whole_folder
from fedbert.errors import InputError
from fedbert.manifest import (
    FORMAT,
    VERSION,
    as_text,
    check_files,
    coin_of,
    exported,
    hashes_of,
    read_manifest,
    refuse_faulty,
    same_data,
    upgraded,
)
from fedbert.one_message.files import write_released
from fedbert.precision import settled
from fedbert.prepare import Prepared
from fedbert.provenance import provenance
from fedbert.run_key import FILE, keyed, run_key
from fedbert.setting_types import ONE_MESSAGE
from fedbert.settings import first_difference, from_mapping
from fedbert.split import duplicate
from fedbert.trainer import State, load_values


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read and found whole."""

    directory: Path
    manifest: dict[str, Any]
    config: Config
    state: State

    @property
    def model(self) -> Path:
        """Return the directory that transformers' from_pretrained loads: of an export, itself."""
        return self.directory if exported(self.manifest) else self.directory / "model"


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
        OSError: naming the directory, if it cannot be written.
    """
    refuse_diverged(state.round, state.losses, state.values | state.arrays)
    recover(directory)
    key = run_key(directory.parent)
    with whole_folder(directory) as draft:
        try:
            _write_model(draft / "model", config, prepared, state)
            arrays = {f"state/{n}": np.asarray(v, order="C") for n, v in state.arrays.items()}
            arrays |= {f"values/{n}": np.asarray(v, order="C") for n, v in state.values.items()}
            save_file(arrays, draft / "state.safetensors")
        except SafetensorError as error:  # it names neither file nor kind
            raise OSError(errno.EIO, str(error), str(directory)) from error
        (draft / FILE).write_bytes(key)
        manifest = {
            "format": FORMAT,
            "version": VERSION,
            "config": config.to_json(),
            "defence": dict(defence),
            "costs": costs,
            "guarantees": list(guarantees),
            "launches": [list(each) for each in launches],
            "round": state.round,
            "data_hmac": keyed(key, prepared.data_sha256),
            "members": _members(prepared),
            "coin": prepared.per,
            "pool": len(prepared.pool),
            "plain": state.plain,
            "bytes": state.bytes,
            "losses": list(state.losses),
            "provenance": provenance()
            | settled(config, prepared.split.whole.config, state.plain)[1],
            "sha256": hashes_of(draft),
        }
        (draft / "manifest.json").write_text(as_text(manifest))
    return directory


def read(directory: Path) -> Checkpoint:
    """Return a checkpoint, every file checked against its hash. Nothing is unpickled.

    Of an export the state is empty: it is not there to be resumed.

    Raises:
        InputError: naming what is missing, truncated, tampered with or foreign.
    """
    manifest = read_manifest(directory)
    check_files(directory, manifest)
    config = from_mapping(Config, upgraded(manifest["config"]), str(directory))
    if exported(manifest):
        return Checkpoint(directory, manifest, config, State(manifest["round"], {}, {}, {}, {}, ()))
    path = directory / "state.safetensors"
    try:
        arrays = load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"expected safetensors, got {error} in {path}") from None
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
    return Checkpoint(directory, manifest, config, state)


def check_same(
    checkpoint: Checkpoint, config: Config, data_sha256: str, defence: Mapping[str, Any]
) -> None:
    """Raise InputError unless a checkpoint belongs to this configuration, data and defence."""
    if exported(checkpoint.manifest):
        raise InputError(f"expected a checkpoint, got an export in {checkpoint.directory}")
    refuse_faulty(checkpoint.manifest, checkpoint.directory)
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
    directory = checkpoint.directory
    if not same_data(directory, checkpoint.manifest, data_sha256):
        raise InputError(f"expected a checkpoint of the same data, got another hash in {directory}")


def _members(prepared: Prepared) -> list[int]:
    """Return the pool positions of the examples that the clients hold."""
    held = [d.in_pool for d in prepared.clients]
    return sorted(int(position) for position in np.concatenate(held))


def _write_model(directory: Path, config: Config, prepared: Prepared, state: State) -> None:
    """Write the joined model with the state's values, and the tokenizer."""
    if config.training.strategy == ONE_MESSAGE:
        write_released(directory, config, prepared.split, state.values)
    else:
        split = duplicate(prepared.split)
        load_values(split, state.values)
        split.whole.save_pretrained(directory)
    prepared.tokenizer.save_pretrained(directory)


def recover(directory: Path) -> None:
    """Put back the checkpoint that a run killed between two renames left aside; remove litter."""
    sweep(directory.parent)
    old, draft = (directory.with_name(f".{directory.name}.{what}") for what in ("old", "tmp"))
    if old.exists() and not directory.exists():  # these two are of earlier versions
        os.rename(old, directory)
    for left in (old, draft):
        shutil.rmtree(left, ignore_errors=True)
