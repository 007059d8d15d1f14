"""Kills of a grid with two workers at random moments: `python -m tests.kills [--light]`.

--engine ray: the workers are those of a local Ray cluster, whose own processes are killed as well.

A run is killed by SIGKILL again and again, its main process or one of those that it started, and
continued until it ends. Then its records, its report and its samples are those of an undisturbed
run, nothing is left behind in its folder or where temporary files go, and no process is alive.

--light: runner, workers, locks and files are the real ones, cells come from `tests.light_cells`: a
hundred kills in minutes.
"""

import argparse
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from evaluation.run.times import TIMES
from reports.records import without_times

GRID = """
name = "kills"
tasks = ["sst2"]
seeds = {seeds}
[model]
source = "tiny"
tokenizer = "generated"
[data]
source = "generated"
pool_size = 40
evaluation = 10
max_length = 12
clients = 2
[training]
rounds = 1
local_steps = 1
batch_size = 8
[attacks]
inversion = ["nearest_token"]
backward = []
updates = []
membership = ["loss_threshold", "reference_ratio"]
shadows = 2
messages = 2
candidates = 10
[[defences]]
name = "none"
[[defences]]
name = "gaussian"
smashed = { mechanism = "gaussian", clip_norm = 8.0, noise_multiplier = 4.0 }
"""
MOST = 30
"""Kills of one run before it is left to end."""


@dataclass
class Tally:
    """What became of the kills: of whom, at which share of the run, and what was wrong after."""

    killed: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


class Place:
    """A folder for one run: its grid, its run directory, and temporary files of its own."""

    def __init__(self, folder: Path, light: bool, engine: str = "processes") -> None:
        self.light, self.engine = light, engine
        self.run, self.grid, self.temporary = folder / "run", folder / "grid.toml", folder / "t"
        self.temporary.mkdir(parents=True)
        seeds = (20 if engine == "ray" else 12) if light else 2
        self.grid.write_text(GRID.replace("{seeds}", str(list(range(seeds)))))

    def start(self) -> subprocess.Popen[bytes]:
        """Start, or go on with, the run."""
        command = [sys.executable, "-m", "evaluation.cli.main", "privacy-utility", str(self.grid)]
        command += ["--out", str(self.run), "--workers", "2"]
        command += ["--engine", self.engine]
        if self.light:
            command = [sys.executable, "-m", "tests.light_cells", str(self.grid), str(self.run)]
            command += [self.engine]
        return subprocess.Popen(
            command,
            env=os.environ | {"TMPDIR": str(self.temporary), "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def content(self) -> dict[str, object]:
        """Return everything of the run that a second one has to give again, by file."""
        found: dict[str, object] = {}
        for path in sorted(p for p in self.run.rglob("*") if p.is_file()):
            name = str(path.relative_to(self.run))
            if path.name == TIMES:
                continue
            if path.name == "records.jsonl":
                lines = [without_times(json.loads(each)) for each in path.read_text().splitlines()]
                found[name] = sorted(lines, key=lambda record: str(record["cell"]))
            elif path.suffix in (".npz", ".safetensors", ".png", ".json"):
                text = name == "samples.json"
                found[name] = json.loads(path.read_text()) if text else path.read_bytes()
            else:  # pages and tables show seconds
                found[name] = None
        return found

    def left(self) -> set[str]:
        """Return what lies where temporary files go, or in the run under a draft's name."""
        drafts = {p.name for p in self.run.rglob("*") if p.name.endswith((".fedbert-tmp", ".tmp"))}
        ours = {str(p) for p in Path("/tmp").glob(".f.*") if self.engine == "ray" and nobodys(p)}
        return drafts | ours | {p.name for p in self.temporary.iterdir()}


def nobodys(folder: Path) -> bool:
    """Return whether no process holds a temporary folder."""
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def family(pid: int) -> list[int]:
    """Return the processes that a process has started, and those that they have, deep."""
    found: list[int] = []
    for each in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in each.read_text().split()]
        except OSError:
            continue
        for child in children:
            found += [child, *family(child)]
    return found


def alive(place: Path) -> list[int]:
    """Return the processes whose temporary files go to a place: a run's, by whomever started."""
    found = []
    for each in Path("/proc").iterdir():
        if each.name.isdigit():
            try:
                environment = (each / "environ").read_bytes()
            except OSError:
                continue
            if f"TMPDIR={place}\0".encode() in environment and _state(each) not in "ZX":
                found.append(int(each.name))
    return found


def _state(process: Path) -> str:
    try:
        return process.joinpath("stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "X"


def kill_one(place: Place, rng: random.Random, seconds: float, tally: Tally) -> bool:
    """Start a run and kill the whole of it, or one process; return whether it ended by itself."""
    process = place.start()
    deadline = time.monotonic() + rng.uniform(0.0, seconds)
    while time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.005)
    started = family(process.pid)
    if process.poll() is not None:
        return True
    if started and rng.random() < 0.4:
        victim = rng.choice(started)
        tally.killed["one that it started"] += 1
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            return process.wait() is not None
        process.wait(300)
        if process.returncode != 0:
            tally.wrong.append(f"exit code {process.returncode} after the kill of one process")
        wait_for_none(place, tally)
        return True
    tally.killed["the run itself"] += 1
    process.kill()
    process.wait()
    wait_for_none(place, tally)
    return False


def wait_for_none(place: Place, tally: Tally) -> None:
    """Wait until no process of a run lives: none may outlive it by more than some seconds."""
    deadline = time.monotonic() + 20
    while (pids := alive(place.temporary)) and time.monotonic() < deadline:
        time.sleep(0.02)
    if pids:
        tally.wrong.append(f"alive 20 s after: {pids}")


def one_run(
    place: Place, expected: dict[str, object], usual: set[str], rng: random.Random, seconds: float
) -> Tally:
    """Kill and continue one run until it ends, and compare what is there with what should be.

    usual: what an undisturbed run leaves among temporary files, too (torch keeps a folder there).
    """
    tally = Tally()
    for _ in range(MOST):
        if kill_one(place, rng, seconds, tally):
            break
    last = place.start()
    if last.wait(300) != 0:
        tally.wrong.append(f"exit code {last.returncode} at the end")
    wait_for_none(place, tally)
    found = place.content()
    tally.wrong += [f"another {k}" for k in expected if found.get(k, "") != expected[k]]
    tally.wrong += [f"more: {name}" for name in found if name not in expected]
    tally.wrong += [f"left behind: {name}" for name in sorted(place.left() - usual)]
    return tally


def main() -> None:
    """Kill so often, and print the tally; end with 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=100, help="kills in all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after so many")
    parser.add_argument("--light", action="store_true", help="cells that train nothing")
    parser.add_argument("--engine", choices=("processes", "ray"), default="processes")
    asked = parser.parse_args()
    rng, total, runs, began = random.Random(asked.seed), Tally(), 0, time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    try:
        whole = Place(folder / "whole", asked.light, asked.engine)
        started = time.monotonic()
        if whole.start().wait() != 0:
            raise SystemExit("the undisturbed run failed")
        seconds, expected = time.monotonic() - started, whole.content()
        usual = whole.left()
        while sum(total.killed.values()) < asked.times:
            if time.monotonic() - began > 60 * asked.minutes:
                break
            runs += 1
            place = Place(folder / str(runs), asked.light, asked.engine)
            tally = one_run(place, expected, usual, rng, 1.1 * seconds)
            total.killed += tally.killed
            total.wrong += [f"run {runs}: {each}" for each in tally.wrong]
            shutil.rmtree(folder / str(runs))
            print(runs, dict(total.killed), total.wrong[-3:], flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(f"{sum(total.killed.values())} kills in {runs} runs: {dict(total.killed)}")
    print(f"wrong: {total.wrong or 'nothing'}")
    raise SystemExit(1 if total.wrong else 0)


if __name__ == "__main__":
    main()
