"""Scale: what engines add to a cell, what many cells and many clients cost: `make bench-scale`."""

import argparse
import importlib.util
import math
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from statistics import median

from evaluation.grid.parse import grid_from
from evaluation.grid.spec import Cell, Grid
from evaluation.run import workers
from evaluation.run.outcome import Outcome
from evaluation.run.runner import remaining, run_grid
from evaluation.run.workers import CellRunner, Loop, Workers
from reports.records import RECORDS, CellResult, append_record, read_records

NONE = [{"name": "none"}]
SIZES, CLIENTS = (100, 1000, 10_000), (8, 32, 128, 512)
CELLS = 60


def grid_of(cells: int) -> Grid:
    """Return a grid of so many cells, which differ in their seed."""
    return grid_from({"tasks": ["sst2"], "seeds": list(range(cells)), "defences": NONE}, "", "big")


def empty(cell: Cell, shadows: Path | None = None) -> Outcome:
    """Return the outcome of a cell that trains nothing."""
    return Outcome(CellResult(cell.id, "skipped", cell.spec(), cell.labels, "empty"), {})


def engines() -> Iterator[str]:
    """Yield what each engine adds to a cell, between the first answer and the last."""
    from benchmarks import scale

    grid = grid_of(CELLS)
    found: dict[str, CellRunner] = {"in-process": Loop(), "processes": Workers(1)}
    if importlib.util.find_spec("ray") is not None:
        from evaluation.run.on_ray.engine import Ray, RaySettings

        found["Ray"] = Ray(RaySettings(workers=1, needed=()))
    for name, runner in found.items():
        began, times = time.perf_counter(), []
        for _ in runner.run(scale.empty, grid.cells):
            times.append(time.perf_counter())
        gaps = [1000 * (b - a) for a, b in pairwise(times)]
        start = times[0] - began
        yield f"{name}: {median(gaps):.2f} ms for an empty cell, first after {start:.1f} s"


def held(cells: int) -> str:
    """Return the peak memory of a process that runs so many empty cells and writes the records."""
    from benchmarks import scale

    with tempfile.TemporaryDirectory() as folder:
        grid, staff = grid_of(cells), Workers(1)
        base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        for _, outcome in staff.run(scale.empty, grid.cells):
            append_record(Path(folder) / RECORDS, outcome.record)
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return f"{cells} cells: {most:.0f} MB at the peak, {most - base:.0f} of them for running them"


def memory() -> Iterator[str]:
    """Yield what the command holds for a grid, a process for each size."""
    for cells in SIZES:
        command = [sys.executable, "-m", "benchmarks.scale", "--held", str(cells)]
        yield subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def files() -> Iterator[str]:
    """Yield what it takes to read, resume and report a grid of many cells."""
    from reports.render import render

    with tempfile.TemporaryDirectory() as folder:
        run, grid = Path(folder), grid_of(SIZES[-1])
        run_grid(grid, run, _Filled(), lambda *_: None, lambda _: None)
        steps: dict[str, Callable[[], object]] = {
            "read": lambda: read_records(run / RECORDS),
            "resumed": lambda: remaining(run, grid),
            "reported": lambda: render(run),
        }
        for name, step in steps.items():
            began = time.process_time()
            step()
            yield f"{SIZES[-1]} cells {name} in {time.process_time() - began:.1f} s"


class _Filled(Loop):
    """Empty cells, in this process."""

    def run(self, function: object, cells: Sequence[Cell], limit: float | None = None):  # type: ignore[no-untyped-def,override]
        for cell in cells:
            yield cell, empty(cell)


def clients() -> Iterator[str]:
    """Yield the seconds of a round by how many clients take part, and the fitted exponent."""
    import torch

    from fedbert.prepare import prepare
    from fedbert.trainer import train
    from privacy.defence import Defence

    torch.set_num_threads(1)
    model = {"source": "tiny", "tokenizer": "generated"}
    data = {"source": "generated", "pool_size": 4 * CLIENTS[-1], "evaluation": 10}
    found = []
    for count in CLIENTS:
        values = {
            "tasks": ["sst2"],
            "defences": NONE,
            "model": model,
            "data": data | {"clients": count, "max_length": 16},
            "training": {"rounds": 1, "local_steps": 1, "batch_size": 2},
        }
        cell = grid_from(values, "", "clients").cells[0]
        prepared, took = prepare(cell.config, coin=False), []
        for rounds in (1, 3):
            training = replace(cell.config.training, rounds=rounds)
            began = time.process_time()
            train(replace(cell.config, training=training), prepared, Defence("none"))
            took.append(time.process_time() - began)
        found.append((count, (took[1] - took[0]) / 2))
    told = ", ".join(f"{count} clients {1000 * spent:.0f} ms" for count, spent in found)
    yield f"a round: {told}; exponent {exponent(found):.2f}"


def exponent(pairs: Sequence[tuple[float, float]]) -> float:
    """Return the slope of a line through the logarithms.

    >>> round(exponent([(1, 2), (2, 8), (4, 32)]), 6)
    2.0
    """
    xs, ys = ([math.log(pair[i]) for pair in pairs] for i in (0, 1))
    mean, level = sum(xs) / len(xs), sum(ys) / len(ys)
    above = sum((x - mean) * (y - level) for x, y in zip(xs, ys, strict=True))
    return above / sum((x - mean) ** 2 for x in xs)


PARTS = {"engines": engines, "memory": memory, "files": files, "clients": clients}


def main() -> None:
    """Print what was asked for, or all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("--only", choices=list(PARTS))
    parser.add_argument("--held", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    workers.PRELOAD = "json"  # empty cells need nothing
    if asked.held is not None:
        print(held(asked.held))
        return
    for name, part in PARTS.items():
        if asked.only in (None, name):
            for line in part():
                print(line, flush=True)


if __name__ == "__main__":
    main()
