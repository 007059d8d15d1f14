"""Cells on a local Ray cluster: the same records, and the fates of workers, servers and drivers."""

import importlib.util
import json
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from evaluation.grid.parse import read_grid
from evaluation.grid.spec import Cell, Grid
from evaluation.run.attempts import TRIES
from evaluation.run.changes import Known
from evaluation.run.on_ray import engine
from evaluation.run.on_ray.engine import Ray, RaySettings
from evaluation.run.on_ray.tidy import living
from evaluation.run.outcome import Outcome
from evaluation.run.runner import checked, run_grid
from evaluation.run.workers import CellRunner, Loop, Workers
from fedbert.errors import InputError
from reports.records import read_records, without_times
from tests import kills
from tests.evaluation.run.doomed import begun, dies, first, hangs, raises, record

pytestmark = pytest.mark.skipif(  # not imported here: it reads its environment then
    importlib.util.find_spec("ray") is None,
    reason="Ray is not installed: pip install 'fedbert-privacy[ray]'",
)


def waits(place: Path, cell: Cell) -> Outcome:
    """End well; the first cell, begun for the first time, only after a while."""
    if begun(place, cell) == 1 and first(cell):
        time.sleep(600)
    return record(cell)


def with_data(cell: Cell, data_sha256: str | None = None) -> Outcome:
    """Return a record that says which data it was told to find."""
    told = replace(record(cell).record, reason=data_sha256 or "any")
    return Outcome(told, {})


@pytest.fixture(scope="module")
def cluster() -> Iterator[Ray]:
    """Two workers without what cells need, which takes seconds to import."""
    ray = Ray(RaySettings(workers=2, needed=()))
    yield ray
    end(ray)


def end(ray: Ray) -> None:
    driver = ray._driver
    assert driver is not None
    engine._end(driver.pipe, driver.process, driver.folder)


@pytest.fixture
def grid(small_grid: Path) -> Grid:
    return read_grid(small_grid)


@pytest.mark.parametrize("times", [TRIES - 1, TRIES])
def test_a_killed_worker_costs_its_own_cell_which_is_tried_again(
    tmp_path: Path, grid: Grid, times: int, cluster: Ray
) -> None:
    found = dict(cluster.run(partial(dies, tmp_path, times), grid.cells))
    tries = [len((tmp_path / cell.id).read_text().split()) for cell in grid.cells]
    assert tries == [3, 1, 1, 1]
    fates = [found[cell].record.status for cell in grid.cells]
    assert fates == ["skipped" if times < TRIES else "failed", *["skipped"] * 3]
    if times == TRIES:
        reason = found[grid.cells[0]].record.reason
        assert reason == "the worker process died before the cell ended, 3 times"


def test_a_cell_beyond_its_time_is_given_up_and_its_process_ends(
    tmp_path: Path, grid: Grid, cluster: Ray
) -> None:
    found = dict(cluster.run(partial(hangs, tmp_path), grid.cells, limit=5.0))
    given_up = found.pop(grid.cells[0]).record
    assert given_up.status == "failed"
    assert given_up.reason == "it took longer than 5 s: cell_time_limit"
    assert [each.record.status for each in found.values()] == ["skipped"] * 3
    (pid,) = (tmp_path / grid.cells[0].id).read_text().split()  # once: it would hang again
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not Path(f"/proc/{pid}").exists()


def test_what_a_function_raises_is_raised_here(grid: Grid, cluster: Ray) -> None:
    with pytest.raises(InputError, match="expected better of 0"):
        list(cluster.run(raises, grid.cells[:1]))


def test_the_hash_of_a_checks_data_travels_with_the_cells_that_draw_on_them(
    grid: Grid, cluster: Ray
) -> None:
    cluster._data.clear()
    cluster.call(partial(told_of, grid.cells[0].id), grid)
    found = dict(cluster.run(with_data, grid.cells))
    cluster._data.clear()
    told = {(cell.config.seed, each.record.reason) for cell, each in found.items()}
    assert told == {(0, "ab"), (1, "any")}  # another seed chooses other examples


def told_of(cell: str, grid: Grid) -> Known:
    return Known([], {cell: "ab"})


@pytest.mark.parametrize("whom", ["on_ray.driver", "raylet", "gcs_server"])
def test_a_server_that_dies_costs_the_cells_at_work_and_is_started_again(
    tmp_path: Path, grid: Grid, cluster: Ray, whom: str
) -> None:
    gone, at_work = [], tmp_path / grid.cells[0].id
    for number, (_, outcome) in enumerate(cluster.run(partial(waits, tmp_path), grid.cells)):
        assert outcome.record.status == "skipped"
        if number == 0:
            while not (at_work.exists() and at_work.read_text()):  # else it would wait afterwards
                time.sleep(0.01)
            gone = [pid for pid in session_of(cluster) if whom in command(pid)]
            os.kill(gone[0], signal.SIGKILL)
    assert len(gone) == 1 and number == 3 and len(at_work.read_text().split()) == 2


def test_a_server_that_dies_while_the_cluster_starts_is_started_again(grid: Grid) -> None:
    ray = Ray(RaySettings(workers=1, needed=()))
    ray.begin()
    gone: list[int] = []
    while not gone:
        gone = [pid for pid in session_of(ray) if "gcs_server" in command(pid)]
    os.kill(gone[0], signal.SIGKILL)
    found = list(ray.run(record, grid.cells[:1]))
    end(ray)
    assert [each.record.status for _, each in found] == ["skipped"]


def session_of(ray: Ray) -> list[int]:
    """Return the processes of the driver that an engine has now, itself included."""
    assert ray._driver is not None
    leader = ray._driver.process.pid
    return [leader, *living(leader)]


def command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"--")[0].decode()
    except OSError:
        return ""


def test_records_are_equal_in_this_process_on_processes_and_on_ray(tmp_path: Path) -> None:
    """Each of them is the whole way: check, cells, shadow models, files. Nothing is left of Ray."""
    file = tmp_path / "grid.toml"
    file.write_text(kills.GRID.replace("{seeds}", "[0]"))
    grid, ray = read_grid(file), Ray(RaySettings(workers=2))
    runners: dict[str, CellRunner] = {"loop": Loop(), "processes": Workers(2), "ray": ray}
    found = {}
    for name, runner in runners.items():
        runner.begin()
        known, run = runner.call(checked, grid), tmp_path / name
        assert run_grid(grid, run, runner, lambda *_: None, lambda _: None, known)
        records = [without_times(each.to_json()) for each in read_records(run / "records.jsonl")]
        for each in records:  # this process has as many threads as its environment says
            each["provenance"].pop("threads")
        found[name] = sorted(map(json.dumps, records))
        found[name] += [p.read_bytes() for p in sorted(run.glob("s*/*.*")) if p.is_file()]
    assert len(found["loop"]) > 4
    assert found["loop"] == found["processes"] == found["ray"]
    driver = ray._driver
    assert driver is not None and driver.folder is not None and living(driver.process.pid)
    end(ray)
    assert not living(driver.process.pid) and not driver.folder.exists()
