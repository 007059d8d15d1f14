"""Foreign model folder: its settings, the task it was made for, and nothing to be run in it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from fedbert.config import ModelConfig
from fedbert.errors import InputError
from fedbert.inert import refuse_code_in
from fedbert.label_order import saved_names
from fedbert.model_settings import check_labels, has_head, is_tied
from fedbert.pooling import SETTING
from fedbert.setting_types import Pooling
from fedbert.tasks import TASKS, Task

PICKLES = (".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz", ".py")
MAGIC = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04")
BESIDE = ("training_args.bin", "optimizer.pt", "scheduler.pt", "scaler.pt", "rng_state.pth")
"""Files that a trainer leaves beside a model: no part of it, and never opened."""


def refuse_code(directory: Path) -> None:
    """Raise InputError if a file is, may hold or names a pickle or code, or leads elsewhere."""
    refuse_code_in(directory)
    for path in sorted(p for p in directory.rglob("*") if p.is_file()):
        if path.parent == directory and path.name in BESIDE:
            continue
        with path.open("rb") as file:
            start = file.read(4)
        if path.suffix in PICKLES or start.startswith(MAGIC):
            raise InputError(f"expected safetensors and JSON alone, got a pickle or code in {path}")


def settings_of(directory: Path) -> dict[str, Any]:
    """Return the settings of a transformers directory.

    Raises:
        InputError: if there are none.
    """
    path = directory / "config.json"
    try:
        found = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"expected a transformers directory, got {error} in {path}") from None
    if not isinstance(found, dict):
        raise InputError(f"expected a model's settings, got none in {path}")
    check_labels(found, str(directory))
    return found


def foreign_config(settings: dict[str, Any], directory: Path) -> ModelConfig:
    """Return how a foreign model is to be read, from its own settings."""
    mean = settings.get(SETTING) == "mean" and has_head(settings, "classification")
    pooling: Pooling = "mean" if mean else "cls"
    return ModelConfig(source=str(directory), tie_decoder=is_tied(settings), pooling=pooling)


def task_of(settings: dict[str, Any], task: str | None, directory: Path) -> Task:
    """Return the task that a foreign model was made for, from its configuration."""
    if task is not None:
        if task not in TASKS:
            raise InputError(f"expected a task of {', '.join(TASKS)}, got task={task!r}")
        check_head(TASKS[task], settings, directory)
        return TASKS[task]
    if has_head(settings, "mlm"):
        return TASKS["mlm"]
    labels = settings.get("id2label", {"0": "LABEL_0", "1": "LABEL_1"})
    names = saved_names({"id2label": labels}, len(labels)) if isinstance(labels, dict) else ()
    if has_head(settings, "classification") and len(names) > 1:
        return replace(TASKS["sst2"], label_names=names)
    raise InputError(
        "expected a masked-LM or a classifier of labels by number, or a task by --task, "
        f"got architectures={settings.get('architectures')!r} in {directory}/config.json"
    )


def check_head(task: Task, settings: dict[str, Any], directory: Path) -> None:
    """Raise InputError for a model without the task's head, which would be made up at random."""
    wanted = "ForMaskedLM" if task.kind == "mlm" else "ForSequenceClassification"
    if has_head(settings, task.kind) is False:
        heads = [str(name) for name in settings["architectures"]]
        raise InputError(
            f"expected a model {wanted} for task {task.name!r}, got heads={heads} "
            f"in {directory}/config.json"
        )
