"""World of one-message trainings: a small one on generated data, and one with less noise."""

from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

from evaluation.run.training import run_training
from evaluation.run.training_file import read_training
from fedbert.one_message import training as training_module
from fedbert.protect import protect

TRAINING = """
noise = "{noise}"
[model]
source = "tiny"
tokenizer = "generated"
cut_layer = 1
freeze_embeddings = true
[data]
task = "{task}"
source = "{source}"
pool_size = {pool}
evaluation = 10
max_length = 12
clients = 2
hold_out = 0.5
[training]
strategy = "one_message"
[message]
public = "{public}"
public_size = 100
directions = {directions}
labels = "{labels}"
{more}
[defence]
name = "d"
{defence}
"""
GAUSSIAN = 'smashed = { mechanism = "gaussian", noise_multiplier = 0.6 }'
ANSWERED = """
smashed = { mechanism = "gaussian", noise_multiplier = 1.0 }
labels = { mechanism = "randomised_response", epsilon = 1.0 }
"""
USUAL = {
    "noise": "secret", "task": "sst2", "source": "generated", "pool": "400",
    "public": "generated", "labels": "within", "defence": GAUSSIAN, "directions": "8",
    "more": "",
}  # fmt: skip


def written(folder: Path, **parts: str) -> Path:
    """Return the file of a training."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "t.toml"
    path.write_text(TRAINING.format(**(USUAL | parts)))
    return path


def trained(folder: Path, scale: float = 1.0, said: list[Any] | None = None, **parts: str) -> Path:
    """Return the checkpoint of a training, whose messages get `scale` times the noise recorded."""

    def less(mechanism: Any, *rest: Any) -> Any:
        less_ = replace(mechanism, noise_multiplier=scale * mechanism.noise_multiplier)
        return protect(less_, *rest)

    told = [] if said is None else said
    settings = read_training(written(folder, **parts), pretraining=False)
    with mock.patch.object(training_module, "protect", protect if scale == 1.0 else less):
        told += run_training(settings, folder / "out", 1, lambda *of: told.append(of))
    return folder / "out" / "checkpoint"
