"""Checkpoint of a run folder: found where a training's folder is given, refused of a grid's run."""

from pathlib import Path

from fedbert.errors import InputError, nearest_place
from fedbert.stopped import aside
from reports.records import RECORDS

MANIFEST, INSIDE = "manifest.json", "checkpoint"


def is_training(directory: Path) -> bool:
    """Return whether a directory is a checkpoint or export, or holds one."""
    return any((each / MANIFEST).is_file() for each in (directory, directory / INSIDE))


def checkpoint_of(directory: Path) -> Path:
    """Return a checkpoint or model directory: what is given, or what a training's folder holds.

    Raises:
        InputError: for no directory, or the folder of a grid's run.
    """
    if not directory.is_dir():
        near, stopped = nearest_place(directory), aside(directory.parent)
        raise InputError(f"expected a checkpoint directory, got none at {directory}{near}{stopped}")
    if (directory / MANIFEST).is_file():
        return directory
    if (directory / INSIDE / MANIFEST).is_file():
        return directory / INSIDE
    if (directory / RECORDS).is_file():
        raise InputError(
            f"expected a checkpoint, got a run, {directory}: it keeps records and no model; "
            "`fedbert-eval finetune` and `pretrain` write one, OUT/checkpoint"
        )
    return directory
