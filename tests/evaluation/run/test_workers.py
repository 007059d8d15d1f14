"""Workers that die, hang or raise: each costs its own cell, and that one is tried again."""

import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from multiprocessing import connection, forkserver
from pathlib import Path

import pytest

from evaluation.grid.parse import read_grid
from evaluation.grid.spec import Cell, Grid
from evaluation.run import runner, workers
from evaluation.run.attempts import TRIES
from evaluation.run.outcome import Outcome
from evaluation.run.workers import Loop, Workers, _Worker
from fedbert.errors import InputError
from reports.records import CellResult, read_records
from tests import kills
from tests.evaluation.run.doomed import begun, dies, hangs, raises, record


def deadly(cell: Cell, shadows: Path) -> Outcome:
    """End well where there is no defence, and kill every worker elsewhere."""
    if cell.defence.name != "none":
        os.kill(os.getpid(), signal.SIGKILL)
    return record(cell)


def checks(place: Path, times: int, grid: Grid) -> None:
    if begun(place, grid.cells[0]) <= times:
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module", autouse=True)
def light() -> Iterator[None]:
    """Workers without what cells need, which takes seconds to import."""
    before, workers.PRELOAD = workers.PRELOAD, "json"
    yield
    workers.PRELOAD = before
    mine = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    if mine is not None:
        os.kill(mine, signal.SIGKILL)  # other tests have one that is quicker at cells


@pytest.fixture
def grid(small_grid: Path) -> Grid:
    return read_grid(small_grid)


@pytest.mark.parametrize("times", [TRIES - 1, TRIES])
def test_a_killed_worker_costs_its_own_cell_which_is_tried_again(
    tmp_path: Path, grid: Grid, times: int
) -> None:
    found = dict(Workers(2).run(partial(dies, tmp_path, times), grid.cells))
    assert set(found) == set(grid.cells)
    tries = {cell: len((tmp_path / cell.id).read_text().split()) for cell in grid.cells}
    assert [tries[cell] for cell in grid.cells] == [3, 1, 1, 1]  # nobody else lost anything
    fates = [found[cell].record.status for cell in grid.cells]
    if times < TRIES:
        assert fates == ["skipped"] * 4
        return
    assert fates == ["failed", *["skipped"] * 3]
    reason = found[grid.cells[0]].record.reason
    assert "the worker process died by SIGKILL" in reason and "3 times" in reason


def test_a_dying_worker_costs_a_run_its_cells_alone(
    tmp_path: Path, grid: Grid, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "worked", deadly)
    order = replace(grid, cells=(grid.cells[-1], grid.cells[0]))
    run = tmp_path / "run"
    assert not runner.run_grid(order, run, Workers(1), lambda *_: None, lambda _: None)
    records = read_records(run / "records.jsonl")
    assert [each.status for each in records] == ["failed", "skipped"]
    assert "worker process died" in records[0].traceback


def test_a_cell_beyond_its_time_is_given_up_and_its_process_ends(
    tmp_path: Path, grid: Grid
) -> None:
    found = dict(Workers(2).run(partial(hangs, tmp_path), grid.cells, limit=5.0))
    first = found.pop(grid.cells[0]).record
    assert first.status == "failed" and first.reason == "it took longer than 5 s: cell_time_limit"
    assert [each.record.status for each in found.values()] == ["skipped"] * 3
    (pid,) = (tmp_path / grid.cells[0].id).read_text().split()  # once: it would hang again
    assert not Path(f"/proc/{pid}").exists()
    with pytest.raises(ValueError, match="expected workers for a limit"):
        list(Loop().run(record, grid.cells, 1.0))


def forking() -> int:
    """Return the process that workers are forked from; one is started where there is none."""
    _Worker().end()
    found: int = forkserver._forkserver._forkserver_pid  # type: ignore[attr-defined]
    return found


def test_a_worker_starts_though_what_forks_it_is_killed() -> None:
    for after in (0.0, 0.0, 0.002, 0.02):
        threading.Timer(after, os.kill, (forking(), signal.SIGKILL)).start()
        worker = _Worker()
        try:
            worker.give(abs, -7)
            assert connection.wait([worker.pipe], 60)
            answer = worker.answer()
            assert answer is not None and answer.value() == 7
        finally:
            worker.end()


def test_what_a_function_raises_is_raised_here(grid: Grid) -> None:
    with pytest.raises(InputError, match="expected better of 0"):
        list(Workers(1).run(raises, grid.cells))


def test_a_check_that_is_killed_is_tried_again_and_then_told_in_a_line(
    tmp_path: Path, grid: Grid
) -> None:
    Workers(1).call(partial(checks, tmp_path, 1), grid)
    with pytest.raises(InputError, match=r"check of the grid to end, but .* SIGKILL .*, 3 times"):
        Workers(1).call(partial(checks, tmp_path, 10), grid)


def whose(given: object) -> Outcome | int:
    """Return the process that is asked; of a cell, in its record."""
    if not isinstance(given, Cell):
        return os.getpid()
    told = CellResult(given.id, "skipped", given.spec(), given.labels, str(os.getpid()))
    return Outcome(told, {})


def test_the_process_of_a_check_runs_cells_thereafter(grid: Grid) -> None:
    workers = Workers(1)
    asked = workers.call(whose, grid)
    found = dict(workers.run(whose, grid.cells))  # type: ignore[arg-type]
    assert {outcome.record.reason for outcome in found.values()} == {str(asked)}
    assert not Path(f"/proc/{asked}").exists()


def test_a_time_limit_is_no_part_of_a_cell(small_grid: Path, grid: Grid) -> None:
    small_grid.write_text("cell_time_limit = 90\n" + small_grid.read_text())
    limited = read_grid(small_grid)
    assert limited.cell_time_limit == 90 and limited.cells == grid.cells
    assert limited.to_json() == grid.to_json() | {"cell_time_limit": 90.0}
    for wrong in ("0", "-1", "inf", '"1 h"'):
        small_grid.write_text(small_grid.read_text().replace("= 90", f"= {wrong}"))
        with pytest.raises(InputError, match="cell_time_limit"):
            read_grid(small_grid)
        small_grid.write_text(small_grid.read_text().replace(f"= {wrong}", "= 90"))


def test_random_kills_of_a_run_lose_nothing_and_leave_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A sample of `make kill`, with cells that train nothing."""
    monkeypatch.setattr("sys.argv", ["kills", "--light", "--times", "2", "--seed", "1"])
    with pytest.raises(SystemExit) as end:
        kills.main()
    told = capsys.readouterr().out
    assert end.value.code == 0 and told.endswith("wrong: nothing\n"), told
