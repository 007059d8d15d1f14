"""Running a grid: records, resume, refusal, workers, failures."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

from evaluation.grid.parse import read_grid
from evaluation.grid.spec import Grid
from evaluation.run.files import locked
from evaluation.run.runner import remaining, run_grid
from evaluation.run.workers import Loop
from fedbert import provenance
from fedbert.disk.writer import SUFFIX
from fedbert.errors import InputError
from reports.records import read_records, without_times
from tests.evaluation.cli.test_main import HEAVY, without


def comparable(path: Path) -> list[dict[str, object]]:
    """Return the records without times, by cell."""
    found = [without_times(json.loads(line)) for line in path.read_text().splitlines()]
    return sorted(found, key=lambda record: str(record["cell"]))


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in found]


@pytest.fixture(scope="session")
def small_text(small_text: str) -> str:
    """The grid with one attack of each kind that leaves something in the run's folder."""
    few = 'inversion = ["nearest_token"]\nbackward = []\nupdates = []\n'
    return small_text.replace("[attacks]\n", f"[attacks]\n{few}")


@pytest.fixture
def small_grid(tmp_path: Path, small_text: str) -> Path:
    path = tmp_path / "small.toml"
    path.write_text(small_text)
    return path


def in_a_loop(grid: Grid, run: Path) -> bool:
    """Run a grid in this process."""
    return run_grid(grid, run, Loop(), lambda *_: None, lambda _: None)


@pytest.fixture(scope="module")
def undisturbed(
    tmp_path_factory: pytest.TempPathFactory, small_text: str
) -> list[dict[str, object]]:
    place = tmp_path_factory.mktemp("undisturbed")
    (place / "small.toml").write_text(small_text)
    assert in_a_loop(read_grid(place / "small.toml"), place / "run")
    return comparable(place / "run" / "records.jsonl")


def killed(pid: int, run: Path, alive: Callable[[], bool]) -> bytes:
    """Kill a run that has left a record, with a write torn by it; return the whole records."""
    deadline = time.monotonic() + 120
    records = run / "records.jsonl"
    while not (records.exists() and records.read_bytes().count(b"\n")):
        assert time.monotonic() < deadline and alive()
        time.sleep(0.02)
    started = children(pid)
    os.kill(pid, signal.SIGKILL)
    while alive() or any(Path(f"/proc/{each}").exists() for each in started):  # none lives on
        assert time.monotonic() < deadline
        time.sleep(0.05)
    before = records.read_bytes()
    with records.open("ab") as file:
        file.write(b'{"cell": "ab')
    return before[: before.rfind(b"\n") + 1]


def continued(run: Path, kept: bytes, undisturbed: list[dict[str, object]]) -> None:
    """Check what a run has left that was killed and went on: nothing lost, nothing repeated."""
    records = run / "records.jsonl"
    assert records.read_bytes().startswith(kept)
    assert comparable(records) == undisturbed
    assert [p for p in run.rglob("*") if p.name.endswith((".tmp", SUFFIX))] == []
    samples = json.loads((run / "samples.json").read_text())
    assert sorted(samples) == [record["cell"] for record in undisturbed]


def killed_loop(grid: Path, run: Path) -> bytes:
    """Kill a loop; its process is forked from this one, which has imported what it needs."""
    provenance._git.cache_clear()  # what it says of the code is what a new process will say
    first = get_context("fork").Process(target=in_a_loop, args=(read_grid(grid), run))
    first.start()
    assert first.pid is not None
    return killed(first.pid, run, first.is_alive)


def test_killed_and_continued_equals_undisturbed(
    tmp_path: Path, small_grid: Path, undisturbed, here
) -> None:
    run = tmp_path / "run"
    kept = killed_loop(small_grid, run)
    second = here("privacy-utility", small_grid, "--out", run, "--workers", 1)
    assert second.returncode == 0, second.stderr
    continued(run, kept, undisturbed)


def test_with_workers_too_and_neither_run_nor_report_need_torch_themselves(
    tmp_path: Path, small_grid: Path, undisturbed, here
) -> None:
    """What a kill leaves of a run with workers, test_workers looks at."""
    run = tmp_path / "run"
    kept = killed_loop(small_grid, run)
    second = without(HEAVY, "privacy-utility", small_grid, "--out", run, "--workers", 2)
    assert "report: " in second.stdout and "token accuracy, forward" in second.stdout
    continued(run, kept, undisturbed)
    lines = (run / "records.jsonl").read_text().splitlines()
    first_record = json.loads(lines[0])
    assert [each["view"] for each in first_record["guarantees"]] == [
        "forward", "backward", "aggregator", "peer", "release",
    ]  # fmt: skip
    left = {p.name: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    (run / "report.html").unlink()
    without(("torch", "transformers"), "report", run)
    assert left == {p.name: p.read_bytes() for p in run.rglob("*") if p.is_file()}

    # The same directory again: nothing to do, nothing changes.
    more = here("privacy-utility", small_grid, "--out", run)
    assert more.returncode == 0 and "4 of 4 cells have a record already" in more.stderr
    assert (run / "records.jsonl").read_text().splitlines() == lines

    plots = here("plot", run, run, "--out", tmp_path / "plots")
    assert plots.returncode == 0, plots.stderr
    assert all(Path(tmp_path / p).stat().st_size > 1000 for p in plots.stdout.split())


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


HANGING = """
from evaluation.cli.main import main
from evaluation.run import runner, workers
from tests import light_cells

workers.PRELOAD = "tests.light_cells"
runner.checked, runner.worked = light_cells.unchecked, light_cells.hangs
main()
"""


@pytest.mark.parametrize("wait_for_record", [False, True])
def test_ctrl_c_ends_all_processes_with_one_line(
    tmp_path: Path, small_grid: Path, environment, wait_for_record: bool
) -> None:
    """As the run begins, and while its workers are at cells, which here train nothing."""
    run = tmp_path / "run"
    first = subprocess.Popen(
        [sys.executable, "-c", HANGING, "privacy-utility", str(small_grid), "--out", str(run),
         "--workers", "2"],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # nohup ignores it
    )  # fmt: skip
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
"""


def test_a_broken_cell_is_recorded_and_the_run_goes_on(
    tmp_path: Path, small_grid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "outsider.py").write_text(BROKEN)
    monkeypatch.syspath_prepend(str(tmp_path))
    text = small_grid.read_text().split('[[defences]]\nname = "gaussian"')[0]
    text += '[[defences]]\nname = "Broken"\n'
    text += 'smashed = { mechanism = "outsider:Broken", clip_norm = 1.0 }\n'
    small_grid.write_text(text.replace("seeds = [0, 1]", "seeds = [0]"))
    grid = read_grid(small_grid, allow_code=True)
    order = replace(grid, cells=tuple(reversed(grid.cells)))
    good = run_grid(order, tmp_path / "run", Loop(), lambda *_: None, lambda _: None)
    records = read_records(tmp_path / "run" / "records.jsonl")
    assert not good and [r.status for r in records] == ["failed", "done"]
    assert "broken on purpose" in records[0].traceback
    # A failed cell runs again; a finished one does not.
    assert [c.id for c in remaining(tmp_path / "run", order)] == [records[0].cell]


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
