"""Files of a model released after one message: its public encoder, and what was made of messages.

DIR/model.safetensors, config.json   the public base model, as transformers' AutoModel loads it: no
                                     head, so that nobody takes a fresh one for a trained one
DIR/message.safetensors              projection and head, which read what E answers at the cut
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save_file

from fedbert.config import Config
from fedbert.errors import InputError
from fedbert.messages import Array
from fedbert.model import load_model
from fedbert.one_message.comparison import frame_of
from fedbert.one_message.facts import width_of
from fedbert.one_message.run import HEAD, from_values
from fedbert.split import SplitBert
from fedbert.tasks import Task
from fedbert.tensor_files import BASE, some
from fedbert.weights import check_tensors

MESSAGE = "message.safetensors"
WEIGHTS = "model.safetensors"
CENTRE, MATRIX = "encoder.centre", "encoder.matrix"
WEIGHT, BIAS = f"{HEAD}.weight", f"{HEAD}.bias"
KINDS = {CENTRE: "float64", MATRIX: "float64", WEIGHT: "float32", BIAS: "float32"}
"""What the file of a message holds: the public mean and directions, and the head's two tensors."""
PAIRS, APART, TOGETHER = "pairs", "apart", "together"
"""Of pairs that are compared its header says so; one without a word reads an example as it is."""


def write_released(
    directory: Path, config: Config, public: SplitBert, values: Mapping[str, Array]
) -> None:
    """Write the model that a training by one message released.

    public: the model whose E was used; values: what `values_of` named.
    """
    whole = public.whole
    getattr(whole, whole.config.model_type).save_pretrained(directory)
    made = {name: np.asarray(values[name], order="C") for name in KINDS}
    save_file(made, directory / MESSAGE, {PAIRS: APART} if config.compares else None)


def read_released(directory: Path, config: Config, task: Task, tokenizer: Any) -> SplitBert:
    """Return the released model that lies in a directory; config: of its training, with the
    directory as model.source.

    Raises:
        InputError: in one line, for tensors that are missing, fit nothing, have another shape or
            type, or are no finite numbers; in either file.
    """
    path, precision = directory / WEIGHTS, config.training.precision
    names = _names(path)
    public = load_model(config.model, task, tokenizer, config.seed, precision)  # its head is let go
    base = getattr(public.whole, public.whole.config.model_type)
    if missing := base.state_dict().keys() - names:
        raise InputError(f"expected a whole encoder, got one without {some(missing)} in {path}")
    frame, outputs = frame_of(config, tokenizer), task.num_labels
    width = width_of(config, public.whole.config.hidden_size)
    values = read_message(directory, width, config.directions, outputs, config.compares)
    return replace(from_values(config, public, values, frame), notes=())


def read_message(
    directory: Path, width: int, directions: int, outputs: int, compares: bool = False
) -> dict[str, Array]:
    """Return projection and head by name: of `width` values onto so many directions, outputs.

    compares: whether the values compare the two texts of a pair.

    Raises:
        InputError: as `read_released`.
    """
    path = directory / MESSAGE
    try:
        found = load_file(path)
        with safe_open(path, framework="numpy") as file:
            told = (file.metadata() or {}).get(PAIRS, TOGETHER)
    except (SafetensorError, OSError, TypeError) as error:
        raise InputError(f"expected the safetensors of a message, got {error} in {path}") from None
    if told != (expected := APART if compares else TOGETHER):
        raise InputError(f"expected pairs {expected!r} as the settings say, got {told!r} in {path}")
    shapes = {
        CENTRE: torch.Size([width]),
        MATRIX: torch.Size([width, directions]),
        WEIGHT: torch.Size([outputs, directions]),
        BIAS: torch.Size([outputs]),
    }
    tensors = {name: torch.from_numpy(value) for name, value in found.items()}
    check_tensors(tensors, shapes, shapes.keys() - tensors.keys(), str(path))
    for name, kind in KINDS.items():
        if found[name].dtype.name != kind:
            raise InputError(f"expected {name} in {kind}, got {found[name].dtype} in {path}")
    return found


def _names(path: Path) -> set[str]:
    """Return the names of an encoder's tensors; what is no encoder's is refused."""
    try:
        with safe_open(path, framework="numpy") as file:
            names = set(file.keys())
    except (SafetensorError, OSError) as error:
        raise InputError(f"expected the safetensors of an encoder, got {error} in {path}") from None
    others = [name for name in names if name.split(".")[0] not in BASE]
    if others:
        raise InputError(f"expected an encoder without a head, got {some(others)} in {path}")
    return names
