"""Run of a grid whose cells train nothing, for `tests.kills --light`: all else of it is real."""

import random
import sys
import time
from pathlib import Path

import numpy as np

from evaluation.grid.parse import read_grid
from evaluation.grid.spec import Cell, Grid
from evaluation.run import runner, workers
from evaluation.run.changes import Known
from evaluation.run.outcome import Outcome
from fedbert.disk.writer import whole
from reports.records import CellResult
from reports.scores import Scored


def worked(cell: Cell, shadows: Path, data_sha256: str | None = None) -> Outcome:
    """Return an outcome that follows from the cell alone, after files like those of shadows."""
    rng = random.Random(cell.id)
    for number in range(4):
        path = shadows / f"{cell.id}{number:016x}.safetensors"
        if not path.exists():
            with whole(path) as draft:
                for _ in range(4):
                    with draft.open("ab") as file:
                        file.write(rng.randbytes(5000))
                    time.sleep(0.01)
        rng = random.Random(f"{cell.id}{number}")
    scores = np.array([rng.random() for _ in range(200)])
    record = CellResult(cell.id, "skipped", cell.spec(), cell.labels, "it trains nothing")
    sentences = [{"words": [["word", 1, 2]], "best": {"attack": "a", "words": ["word"]}}]
    scored = {"attack": Scored(scores, scores > 0.5, 7)}
    return Outcome(record, {"0": {"negative": 3}}, sentences, scored, {"loss": scores})


def unchecked(grid: Grid) -> Known:
    """Return nothing of note about a grid: model and data are not looked at."""
    return Known([])


def hangs(cell: Cell, shadows: Path) -> Outcome:
    """Return the outcome of a cell of no defence; of any other, never."""
    if cell.defence.name != "none":
        time.sleep(600)
    return worked(cell, shadows)


def main() -> None:
    """Run the grid of the first argument into the second, with two workers of the third's kind."""
    from evaluation.run.on_ray.engine import Ray, RaySettings
    from tests import light_cells

    grid, directory = read_grid(Path(sys.argv[1])), Path(sys.argv[2])
    workers.PRELOAD, runner.worked = "tests.light_cells", light_cells.worked
    on_ray = sys.argv[3:] == ["ray"]
    staff = Ray(RaySettings(workers=2, needed=())) if on_ray else workers.Workers(2)
    good = runner.run_grid(grid, directory, staff, lambda *_: None, lambda _: None)
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
