"""Running a grid: records, resume, refusal, workers, failures."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.grid.parse import read_grid
from evaluation.run.files import locked
from evaluation.run.runner import remaining, run_grid
from evaluation.run.workers import Loop, Workers
from fedbert.disk.writer import SUFFIX
from fedbert.errors import InputError
from reports.records import read_records, without_times

pytestmark = pytest.mark.xdist_group("runner")  # one worker: what they set up is dear


def comparable(path: Path) -> list[dict[str, object]]:
    """Return the records without times, by cell."""
    found = [without_times(json.loads(line)) for line in path.read_text().splitlines()]
    return sorted(found, key=lambda record: str(record["cell"]))


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in found]


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, small_text: str
) -> list[dict[str, object]]:
    place = tmp_path_factory.mktemp("undisturbed")
    (place / "small.toml").write_text(small_text)
    grid = read_grid(place / "small.toml")
    assert run_grid(grid, place / "run", Loop(), lambda *_: None, lambda _: None)
    return comparable(place / "run" / "records.jsonl")


def test_records_do_not_depend_on_workers(tmp_path: Path, small_grid: Path, undisturbed) -> None:
    grid = read_grid(small_grid)
    assert run_grid(grid, tmp_path / "run", Workers(2), lambda *_: None, lambda _: None)
    assert comparable(tmp_path / "run" / "records.jsonl") == undisturbed


@pytest.mark.parametrize("workers", [1, 2])
def test_killed_and_continued_equals_undisturbed(
    tmp_path: Path, small_grid: Path, undisturbed, workers: int, environment, here
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "evaluation.cli.main", "privacy-utility", str(small_grid)]
    command += ["--out", str(run), "--workers", str(workers)]
    first = subprocess.Popen(
        command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    deadline = time.monotonic() + 120
    records = run / "records.jsonl"
    while not (records.exists() and records.read_bytes().count(b"\n")):
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.02)
    workers_of_first = children(first.pid)
    first.kill()
    first.wait()
    while any(Path(f"/proc/{pid}").exists() for pid in workers_of_first):  # none lives on
        assert time.monotonic() < deadline
        time.sleep(0.05)
    before = records.read_bytes()
    kept = before[: before.rfind(b"\n") + 1]
    with records.open("ab") as file:  # what a write torn by the kill would leave
        file.write(b'{"cell": "ab')
    second = here("privacy-utility", small_grid, "--out", run, "--workers", workers)
    assert second.returncode == 0, second.stderr
    assert records.read_bytes().startswith(kept)  # nothing lost, nothing repeated
    assert comparable(records) == undisturbed
    assert [p for p in run.rglob("*") if p.name.endswith((".tmp", SUFFIX))] == []
    samples = json.loads((run / "samples.json").read_text())
    assert sorted(samples) == [record["cell"] for record in undisturbed]


def test_second_run_on_a_directory_is_refused(tmp_path: Path, small_grid: Path, here) -> None:
    run = tmp_path / "run"
    with locked(run):
        second = here("privacy-utility", small_grid, "--out", run)
    assert second.returncode == 2 and "got another run" in second.stderr
    assert not (run / "records.jsonl").exists()


def test_records_of_another_grid_are_refused(tmp_path: Path, small_grid: Path, undisturbed) -> None:
    lines = "".join(json.dumps(record) + "\n" for record in undisturbed)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "records.jsonl").write_text(lines)
    grid = read_grid(small_grid)
    assert remaining(tmp_path / "run", grid) == []
    small_grid.write_text(small_grid.read_text().replace("rounds = 2", "rounds = 3"))
    with pytest.raises(InputError, match="records of other cells"):
        remaining(tmp_path / "run", read_grid(small_grid))


@pytest.mark.parametrize("wait_for_record", [False, True])
def test_ctrl_c_ends_all_processes_with_one_line(
    tmp_path: Path, small_grid: Path, environment, wait_for_record: bool
) -> None:
    run = tmp_path / "run"
    command = [sys.executable, "-m", "evaluation.cli.main", "privacy-utility", str(small_grid)]
    first = subprocess.Popen(
        [*command, "--out", str(run), "--workers", "2"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # nohup ignores it
    )
    awaited = run / ("records.jsonl" if wait_for_record else "grid.json")
    deadline = time.monotonic() + 120
    while not awaited.exists():
        assert time.monotonic() < deadline and first.poll() is None
        time.sleep(0.02)
    time.sleep(0.3)
    os.killpg(first.pid, signal.SIGINT)  # as a terminal does: the whole group
    _, errors = first.communicate(timeout=60)
    assert first.returncode == 130
    assert "Traceback" not in errors, errors
    assert "stopped; the same command continues" in errors


BROKEN = """
from privacy.mechanism import ClipOnly

class Broken(ClipOnly):
    def clip(self, records):
        raise RuntimeError("broken on purpose")

class Deadly(ClipOnly):
    def clip(self, records):
        import os
        os.kill(os.getpid(), 9)
"""


def _with_outsider(tmp_path: Path, grid: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "outsider.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.getcwd()}")
    text = grid.read_text().split('[[defences]]\nname = "gaussian"')[0]
    text += f'[[defences]]\nname = "{name}"\n'
    text += f'smashed = {{ mechanism = "outsider:{name}", clip_norm = 1.0 }}\n'
    grid.write_text(text.replace("seeds = [0, 1]", "seeds = [0]"))
    return grid


def test_a_broken_cell_is_recorded_and_the_run_goes_on(
    tmp_path: Path, small_grid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = read_grid(_with_outsider(tmp_path, small_grid, "Broken", monkeypatch), allow_code=True)
    order = replace(grid, cells=tuple(reversed(grid.cells)))
    good = run_grid(order, tmp_path / "run", Loop(), lambda *_: None, lambda _: None)
    records = read_records(tmp_path / "run" / "records.jsonl")
    assert not good and [r.status for r in records] == ["failed", "done"]
    assert "broken on purpose" in records[0].traceback
    # A failed cell runs again; a finished one does not.
    assert [c.id for c in remaining(tmp_path / "run", order)] == [records[0].cell]


def test_a_dying_worker_costs_its_cells_alone(
    tmp_path: Path, small_grid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = read_grid(_with_outsider(tmp_path, small_grid, "Deadly", monkeypatch), allow_code=True)
    order = replace(grid, cells=tuple(reversed(grid.cells)))
    good = run_grid(order, tmp_path / "run", Workers(1), lambda *_: None, lambda _: None)
    records = read_records(tmp_path / "run" / "records.jsonl")
    assert not good and [r.status for r in records] == ["failed", "done"]
    assert "worker process died" in records[0].traceback


def test_refused_combinations_are_skipped_with_the_reason(tmp_path: Path, small_grid: Path) -> None:
    text = small_grid.read_text().replace(
        "seeds = [0, 1]", 'seeds = [0]\nstrategies = ["centralised"]'
    )
    small_grid.write_text(text)
    assert run_grid(
        read_grid(small_grid), tmp_path / "run", Loop(), lambda *_: None, lambda _: None
    )
    none, gaussian = read_records(tmp_path / "run" / "records.jsonl")
    assert none.status == "done" and not none.bytes
    assert gaussian.status == "skipped" and "centralised sends none" in gaussian.reason
