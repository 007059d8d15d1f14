"""The log of a run: what, when, each cell's end; no folder, no text of the data, no key."""

import logging
import re
import traceback
from datetime import UTC, datetime
from pathlib import Path

import pytest

from evaluation.run import runner
from evaluation.run.log import FILE, RunLog, fate, word
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
        logging.getLogger("evaluation.x").warning("model /home/me/My Drive/m: Anna")
        told = {"public": "sst2: 2 doubts"}
        logging.getLogger("evaluation.x").warning("model /home/me/m: 1", extra=told)
        logging.getLogger("evaluation.x").warning("model /home/me/m: 2", extra=told)
        logging.getLogger("privacy.x").warning("delta is too\nlarge")
        log.versions = {"torch": "2", "numpy": None}
        log.open(tmp_path)
        log.open(tmp_path)  # once is enough
        labels = LABELS | {"data.path": "/mnt/My Drive/Dr Smith/x.csv"}
        log.cell(CellResult("ab12", "failed", {}, labels, traceback="T\nValueError: Anna Example"))
        log.warned(["delta is too\nlarge"])
        raise KeyboardInterrupt
    text = (tmp_path / FILE).read_text()
    assert text.splitlines() == [
        f"2026-01-02T12:00:00Z {line}"
        for line in (
            "began: fedbert-eval report run",
            "versions: torch 2",
            "warning: of fedbert.data.examples; its words may quote data",
            "warning: of evaluation.x; its words may quote data",
            "warning: sst2: 2 doubts",
            "warning: delta is too\\nlarge",
            "cell ab12: sst2 parallel none seed 0, data.path = x.csv: failed; its record has the "
            "traceback",
            "interrupted",
        )
    ]
    logging.getLogger("privacy.x").warning("after the end")
    assert (tmp_path / FILE).read_text() == text
    (other := tmp_path / "other").mkdir()
    with pytest.raises(SystemExit), RunLog([], noon) as log:
        log.open(other)
        raise SystemExit("Anna Example")
    assert (other / FILE).read_text().endswith("Z ended with an error\n")


def test_of_arguments_that_are_paths_the_last_part_is_kept() -> None:
    for text, told in (
        ("/mnt/My Drive/Dr Smith patients/x.csv", "x.csv"),
        ("--out=/srv/My Data/John Doe/runs", "--out=runs"),
        ("--out=C:\\Users\\John Doe\\runs", "--out=runs"),
        ("../../home/jane/grid.toml", "grid.toml"),
        ("~jane/x", "x"),
        ("~jane", "~"),
        (str(Path.home()), "~"),
        ("runs/a,b:c/", "a,b:c"),
        ("-o/home/jane doe/x", "x"),
        ("--workers", "--workers"),
        ("--every=2", "--every=2"),
        ("frontier", "frontier"),
        (".", "."),
    ):
        assert word(text) == told


def _error(make) -> str:
    try:
        make()
    except Exception:
        return traceback.format_exc()
    raise AssertionError("expected an error")


def _smith() -> None:
    raise ValueError('bad row\nSmith has HIV\n  File "x", line 1\nSmith: has HIV')


def _anew() -> None:
    try:
        _smith()
    except ValueError as error:
        raise RuntimeError("of Smith\nSmith") from error


def test_what_became_of_a_cell_is_told_without_its_message() -> None:
    def of(text: str, **more) -> str:
        return fate(CellResult("ab", "failed", {}, LABELS, traceback=text, **more))

    record = "; its record has the traceback"
    assert of(_error(_smith)) == of(_error(_anew)) == f"failed: ValueError{record}"
    for text in ("Smith", "T\nSmith: HIV", "Traceback (most recent call last):\n  x\nDr Smith: a"):
        assert of(text) == f"failed{record}"
    line = "stopped by its noise: round 5: Smith; evidence 10^9: the claim cannot stand"
    assert of(line) == "stopped by its noise: round 5; its record has the evidence"
    assert of(f"Smith {line}") == f"failed{record}"
    assert of("late\n", reason="no end after 60 s") == "failed: no end after 60 s"
    skipped = CellResult("ab", "skipped", {}, LABELS, reason="fedavg sends none")
    assert fate(skipped) == "skipped: fedavg sends none"
