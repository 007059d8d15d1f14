"""Run folder given in place of a checkpoint: told apart, with where its checkpoint is."""

from pathlib import Path

from fedbert.errors import InputError
from reports.records import RECORDS


def refuse_run(directory: Path) -> None:
    """Raise InputError for the folder of a grid's run, or for the one around a checkpoint."""
    inside = directory / "checkpoint"
    if (inside / "manifest.json").is_file():
        raise InputError(
            f"expected a checkpoint, got the folder of a training, {directory}: its checkpoint is "
            f"{inside}"
        )
    if (directory / RECORDS).is_file():
        raise InputError(
            f"expected a checkpoint, got a run, {directory}: it keeps records and no model; "
            "`fedbert-eval finetune` and `pretrain` write one, OUT/checkpoint"
        )
