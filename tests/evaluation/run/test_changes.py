"""Changes since a run began are named and refused; another grid is told by the key that differs."""

from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.grid.parse import read_grid
from evaluation.grid.spec import Cell, Grid
from evaluation.run.changes import Known
from evaluation.run.files import TRAINING, check_place
from evaluation.run.runner import checked, remaining
from fedbert.errors import InputError
from reports.records import RECORDS, CellResult, append_record

MADE = {
    "commit": "a" * 40,
    "dirty": False,
    "versions": {"python": "3.11.2", "torch": "2.13.0"},
    "data_sha256": "d" * 64,
}


def run_with(directory: Path, cells: tuple[Cell, ...], **made: object) -> None:
    """A run directory in which these cells have ended."""
    directory.mkdir()
    for cell in cells:
        record = CellResult(
            cell.id, "skipped", cell.spec(), cell.labels, "why", provenance=MADE | made
        )
        append_record(directory / RECORDS, record)


def today(grid: Grid, **made: object) -> Known:
    now = MADE | made
    return Known([], {grid.cells[0].id: str(now.pop("data_sha256"))}, now)


@pytest.mark.parametrize(
    ("made", "told"),
    [
        ({"data_sha256": "e" * 64}, "the data of sst2 in 'generated' are others"),
        ({"versions": {"python": "3.11.2", "torch": "2.14.0"}}, "torch was 2.13.0 and is 2.14.0"),
        ({"commit": "b" * 40}, "the code was of commit aaaaaaaaaaaa and is of bbbbbbbbbbbb"),
        ({"dirty": True}, "the code has changes that are not committed"),
    ],
)
def test_what_changed_is_named_with_how_to_go_on(
    tmp_path: Path, small_grid: Path, made: dict[str, object], told: str
) -> None:
    grid = read_grid(small_grid)
    run_with(tmp_path / "run", grid.cells[:2])
    with pytest.raises(InputError) as error:
        remaining(tmp_path / "run", grid, today(grid, **made))
    line = str(error.value)
    assert line.count(told) == 1 and "--accept-changes" in line and "--out" in line
    assert remaining(tmp_path / "run", grid) == list(grid.cells[2:])  # accepted


def test_nothing_changed_nothing_left_or_nothing_said_is_no_change(
    tmp_path: Path, small_grid: Path
) -> None:
    grid = read_grid(small_grid)
    run_with(tmp_path / "run", grid.cells[:1])
    assert remaining(tmp_path / "run", grid, today(grid)) == list(grid.cells[1:])
    run_with(tmp_path / "whole", grid.cells)
    assert remaining(tmp_path / "whole", grid, today(grid, commit="b" * 40)) == []
    with pytest.raises(InputError, match="are others"):  # what stands there is not of these data
        remaining(tmp_path / "whole", grid, today(grid, data_sha256="e" * 64))
    run_with(tmp_path / "bare", grid.cells[:1], commit=None, dirty=None, versions={})
    assert remaining(tmp_path / "bare", grid, today(grid)) == list(grid.cells[1:])


def test_a_look_at_a_grid_reads_the_data_once_and_knows_what_runs_it(small_grid: Path) -> None:
    grid = read_grid(small_grid)
    known = checked(grid)
    assert list(known.data) == [grid.cells[0].id]
    assert all(len(value) == 64 for value in known.data.values())
    assert {"torch", "numpy"} <= set(known.made_by["versions"])


def test_another_grid_is_told_by_the_key_that_differs_in_the_nearest_cell(
    tmp_path: Path, small_grid: Path
) -> None:
    grid = read_grid(small_grid)
    run_with(tmp_path / "run", grid.cells)
    small_grid.write_text(small_grid.read_text().replace("rounds = 2", "rounds = 3"))
    with pytest.raises(InputError) as error:
        remaining(tmp_path / "run", read_grid(small_grid))
    assert "4 records of other cells" in str(error.value)
    assert "training.rounds=2 where this grid has 3; choose another --out" in str(error.value)
    fewer = replace(grid, cells=grid.cells[1:])
    with pytest.raises(InputError, match=r"1 records of other cells.*=0 where this grid has 1"):
        remaining(tmp_path / "run", fewer)


def test_what_is_wrong_in_the_file_is_told_before_another_run_in_its_folder(
    tmp_path: Path, small_grid: Path, here
) -> None:
    run_with(tmp_path / "run", read_grid(small_grid).cells)
    rows = [f"{'good ' * (i % 9)}film,{i % 2}" for i in range(40)]
    (tmp_path / "x.csv").write_text("\n".join(["review,stars", *rows]))
    own = 'source = "x.csv"\ntext = "reviw"\nlabel = "stars"\nlabels = ["0", "1"]'
    text = small_grid.read_text().replace('tasks = ["sst2"]', 'tasks = ["own"]')
    small_grid.write_text(text.replace('source = "generated"\npool', f"{own}\npool"))
    for more in ((), ("--dry-run",)):
        done = here("privacy-utility", small_grid, "--out", tmp_path / "run", *more)
        assert done.returncode == 2 and "did you mean 'review'?" in done.stderr, done.stderr
    small_grid.write_text(small_grid.read_text().replace("reviw", "review"))
    done = here("privacy-utility", small_grid, "--out", tmp_path / "run")
    assert done.returncode == 2 and "records of other cells" in done.stderr


def test_the_command_refuses_other_data_and_goes_on_where_they_are_accepted(
    tmp_path: Path, small_grid: Path, here, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = read_grid(small_grid)
    known = checked(grid)
    made = {**known.made_by, "data_sha256": "0" * 64}
    run_with(tmp_path / "run", grid.cells[:1], **made)
    before = (tmp_path / "run" / RECORDS).read_bytes()
    done = here("privacy-utility", small_grid, "--out", tmp_path / "run")
    assert done.returncode == 2 and "the data of sst2 in 'generated' are others" in done.stderr
    assert (tmp_path / "run" / RECORDS).read_bytes() == before
    assert done.stderr.count("\n") == 1  # before any other word
    asked = []
    monkeypatch.setattr("evaluation.run.runner.run_grid", lambda *rest: asked.append(rest) or True)
    done = here("privacy-utility", small_grid, "--out", tmp_path / "run", "--accept-changes")
    assert done.returncode == 0 and asked[0][1] == tmp_path / "run" and asked[0][-1] is None


def test_a_place_that_is_no_folder_or_another_kind_of_run_is_refused(
    tmp_path: Path, small_grid: Path
) -> None:
    grid = read_grid(small_grid)
    (tmp_path / "file").write_text("x")
    with pytest.raises(InputError, match="expected a folder for --out, got the file"):
        remaining(tmp_path / "file", grid)
    (tmp_path / "out" / "checkpoint").mkdir(parents=True)
    with pytest.raises(InputError, match="got that of a training with checkpoint in"):
        remaining(tmp_path / "out", grid)
    check_place(tmp_path / "out", TRAINING)
    run_with(tmp_path / "run", grid.cells[:1])
    with pytest.raises(InputError, match="got that of a grid's run with records"):
        check_place(tmp_path / "run", TRAINING)
    check_place(tmp_path / "new", TRAINING)
