"""Cases by number: the kinds in turn, each drawn from seed and number alone."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

from tests.fuzz import checkpoints, data_files, grids, options, records
from tests.fuzz.trial import Outcome, Trial, judged

KINDS: dict[str, Callable[[random.Random, Path], Trial]] = {
    "data": data_files.make,
    "records": records.make,
    "grids": grids.make,
    "checkpoints": checkpoints.make,
    "options": options.make,
}
"""What makes a trial of each kind, in a folder of its own."""


def kind_of(number: int) -> str:
    """Return the kind of a case."""
    return list(KINDS)[number % len(KINDS)]


def run_case(seed: int, number: int, folder: Path) -> tuple[str, Outcome]:
    """Return what was done in a case, and what became of it; its folder is gone afterwards."""
    place = folder / str(number)
    place.mkdir()
    try:
        trial = KINDS[kind_of(number)](random.Random(f"{seed} {number}"), place)
        return trial.told, judged(trial)
    finally:
        shutil.rmtree(place)
