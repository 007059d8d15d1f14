"""Places of models: which can be seen not to be there, or not to fit, without torch."""

import json
from pathlib import Path
from typing import Any

from fedbert.data.places import is_path
from fedbert.errors import InputError, nearest, nearest_place
from fedbert.setting_types import SIZES

GIVEN = (*SIZES, "embedded")
"""Sources that are no place."""
TOKENIZERS = (
    "tokenizer.json", "vocab.txt", "vocab.json", "tokenizer_config.json", "spiece.model",
    "sentencepiece.bpe.model", "tokenizer.model",
)  # fmt: skip
"""Files of which a tokenizer's directory has one."""


def refuse_no_model(source: str) -> None:
    """Raise InputError for a source that is no directory with a model, and no name on the hub."""
    refuse_no_place("source", source)
    folder = Path(source)
    if source not in GIVEN and folder.is_dir() and not (folder / "config.json").is_file():
        inside = folder / "model"
        near = f": did you mean {inside}?" if (inside / "config.json").is_file() else ""
        raise InputError(f"expected a model with a config.json, got none in {source=}{near}")


def refuse_no_tokenizer(name: str) -> None:
    """Raise InputError for a tokenizer that is no directory with one, and no name on the hub."""
    if name in ("model", "generated"):
        return
    refuse_no_place("tokenizer", name)
    folder = Path(name)
    if folder.is_dir() and not any((folder / each).is_file() for each in TOKENIZERS):
        some = " or ".join(TOKENIZERS[:2])
        raise InputError(f"expected a tokenizer's files, as {some}, got none in tokenizer={name!r}")


def layers_of(source: str) -> int | None:
    """Return the layers of a model in a directory here; None where its config.json does not say."""
    try:
        raw: dict[str, Any] = json.loads((Path(source) / "config.json").read_text("utf-8"))
        found = raw["num_hidden_layers"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return found if type(found) is int and found > 0 else None


def refuse_deep_cut(cut_layer: int, layers: int) -> None:
    """Raise InputError for a cut below the last layer."""
    if not 0 <= cut_layer <= layers:
        raise InputError(f"expected 0 <= cut_layer <= {layers}, got cut_layer={cut_layer}")


def refuse_no_place(key: str, name: str) -> None:
    """Raise InputError for what is no directory here, and no name on the hub; key: whose it is."""
    folder = Path(name)
    if name in GIVEN or folder.is_dir():
        return
    if folder.is_file():
        raise InputError(f"expected a directory, got the file {key}={name!r}")
    if is_path(name):
        near = nearest_place(folder)
        raise InputError(f"expected a directory that exists, got {key}={name!r}{near}")
    here = [] if "/" in name else [path.name for path in Path().iterdir() if path.is_dir()]
    near = nearest(name, [*here, *GIVEN])
    if near:  # a slip of the pen rather than a model of the hub
        raise InputError(f"expected a directory that exists, got {key}={name!r}{near}")
