"""The log of a run: what, when, each cell's end; no folder, no text of the data, no key."""

import logging
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evaluation.run import runner
from evaluation.run.log import FILE, RunLog, fate, without_folders
from reports.records import CellResult
from tests import light_cells

LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ \S.*")
LABELS = {
    "task": "sst2", "model": "m", "strategy": "parallel", "defence": "none", "level": "-",
    "seed": "0",
}  # fmt: skip


def noon() -> datetime:
    return datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)


def test_a_run_leaves_a_log_and_goes_on_with_it(
    here, small_grid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "checked", light_cells.unchecked)
    monkeypatch.setattr(runner, "worked", light_cells.worked)
    for times in (1, 2):
        assert here("privacy-utility", small_grid, "--out", tmp_path / "run").returncode == 0
        lines = (tmp_path / "run" / FILE).read_text().splitlines()
        assert all(map(LINE.fullmatch, lines)) and str(tmp_path) not in "".join(lines)
        told = [line.split(" ", 1)[1] for line in lines]
        assert told[0] == "began: fedbert-eval privacy-utility small.toml --out run"
        assert told.count(told[0]) == times and told[-1] == "ended"
        cells = [line for line in told if line.startswith("cell ")]
        assert len(cells) == 4  # nothing is run twice
        assert f"{4 if times == 1 else 0} of 4 cells to run" in told
    assert (tmp_path / "run" / FILE).stat().st_mode & 0o077 == 0


def test_nothing_private_is_in_a_log(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), RunLog(["report", "/home/me/my runs/run"], noon) as log:
        logging.getLogger("fedbert.data.examples").warning("label Anna Example, 4 Elm Street")
        logging.getLogger("evaluation.x").warning("model /home/me/models/m: too\nmany heads")
        log.versions = {"torch": "2", "numpy": None}
        log.open(tmp_path)
        log.open(tmp_path)  # once is enough
        log.cell(CellResult("ab12", "failed", {}, LABELS, traceback="T\nValueError: Anna Example"))
        log.warned(["model /home/me/models/m: too\nmany heads"])
        raise KeyboardInterrupt
    text = (tmp_path / FILE).read_text()
    assert text.splitlines() == [
        f"2026-01-02T12:00:00Z {line}"
        for line in (
            "began: fedbert-eval report run",
            "versions: torch 2",
            "warning: of fedbert.data.examples; its words may quote data",
            "warning: model m: too\\nmany heads",
            "cell ab12: sst2 parallel none seed 0: failed: ValueError; its record has the "
            "traceback",
            "interrupted",
        )
    ]
    logging.getLogger("evaluation.x").warning("after the end")
    assert (tmp_path / FILE).read_text() == text


def test_paths_are_names_and_other_words_are_left() -> None:
    for text, told in (
        ("a /b/c.toml b", "a c.toml b"),
        ("~/x/y and /u/v/", "y and "),
        ("1 / 2, and/or, runs/mine", "1 / 2, and/or, runs/mine"),
        ("'/a b/c'", "'a b/c'"),
    ):
        assert without_folders(text) == told
    skipped = CellResult("ab", "skipped", {}, LABELS, reason="fedavg sends none")
    assert fate(skipped) == "skipped: fedavg sends none"
