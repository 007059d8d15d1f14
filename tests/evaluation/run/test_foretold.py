"""Foretold durations: a dry run's prices are the first word on the time left, until cells end."""

import io
import json
import platform
from pathlib import Path

import pytest
from rich.console import Console

from evaluation.cli.progress import GridProgress
from evaluation.grid.parse import read_grid
from evaluation.run.foretold import FOLDER, foretold, keep
from reports.records import CellResult


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(FOLDER, str(tmp_path / "cache"))
    return tmp_path / "cache" / "foretold.json"


def test_a_dry_run_tells_the_run_after_it_how_long_it_takes(
    tmp_path: Path, small_grid: Path, here
) -> None:
    out = ("--out", tmp_path / "run")
    done = here("privacy-utility", small_grid, *out, "--dry-run", "--json")
    assert done.returncode == 0 and not (tmp_path / "run").exists()
    told = json.loads(done.stdout)
    cells = {each["id"]: each["seconds"] for one in told["settings"] for each in one["cells"]}
    assert foretold(cells) == pytest.approx(cells) and len(cells) == 4
    words = _started(small_grid)
    assert "about " in words and "left, as a dry run here timed it" in words


def test_cells_that_ended_say_more_than_a_dry_run(small_grid: Path) -> None:
    grid = read_grid(small_grid)
    keep({cell.id: 600.0 for cell in grid.cells})
    progress = GridProgress(1)
    progress.start(grid.cells, len(grid.cells))
    assert progress.remaining.seconds(1) == 2400.0
    first = grid.cells[0]
    progress.record(
        CellResult(
            first.id, "failed", first.spec(), first.labels, traceback="x", seconds={"train": 1.0}
        )
    )
    left = progress.remaining.seconds(1)
    assert left is not None and left < 100


def test_of_some_cells_alone_nothing_is_foretold(small_grid: Path, cache: Path) -> None:
    assert "left" not in _started(small_grid)
    cells = read_grid(small_grid).cells
    keep({cells[0].id: 5.0})
    assert "left" not in _started(small_grid)
    for content in (
        "",
        "[]",
        '{"machine": 1, "seconds": {}}',
        "[" * 100_000,
        json.dumps({"machine": platform.node(), "seconds": {cells[0].id: 10**400}}),
    ):
        cache.write_text(content)
        assert foretold([cells[0].id]) == {}
    cache.unlink()
    cache.mkdir()
    keep({"a": 1.0})
    assert foretold(["a"]) == {}


def test_what_is_no_time_of_this_machine_is_not_believed(cache: Path) -> None:
    keep({"a": 1.0, "b": 2.0})
    told = json.loads(cache.read_text())
    told["seconds"] |= {"b": -1, "c": True, "d": "9"}
    cache.write_text(json.dumps(told))
    assert foretold("abcd") == {"a": 1.0}
    cache.write_text(json.dumps(told | {"machine": "another"}))
    assert foretold("abcd") == {}


def _started(grid: Path) -> str:
    """What is printed as a grid begins."""
    cells, stream = read_grid(grid).cells, io.StringIO()
    progress = GridProgress(1)
    progress.console = Console(file=stream, width=200)
    progress.start(cells, len(cells))
    return stream.getvalue()


def test_a_cell_that_is_timed_again_is_among_the_latest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evaluation.run.foretold.MOST", 2)
    keep({"a": 1.0, "b": 2.0})
    keep({"a": 3.0})
    keep({"c": 4.0})
    assert foretold(["a", "b", "c"]) == {"a": 3.0, "c": 4.0}


def test_without_a_home_folder_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(self: Path) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", homeless)
    keep({"a": 1.0})
    assert foretold(["a"]) == {}
