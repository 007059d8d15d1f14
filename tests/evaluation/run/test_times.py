"""Times of a run: every phase has a name, and what is neither training nor judging is dead."""

import json
from pathlib import Path

import pytest

from evaluation.run.times import TIMES, Times

CELL = {
    "prepare": 1.0, "train": 30.0, "evaluate": 2.0, "membership": 3.0, "inversion": 1.0,
    "updates": 1.0, "account": 0.5, "write": 0.5,
}  # fmt: skip


def times() -> Times:
    found = Times(2, 0.0, start=3.0, beside=90.0, report=1.0)
    for _ in range(4):
        found.cell(CELL)
    return found


def test_dead_is_all_but_training_and_judging() -> None:
    found = times()
    assert found.dead == pytest.approx(3 + 4 * (1 + 0.5 + 0.5) + 1)
    assert found.idle == pytest.approx(2 * 90 - 4 * 39)
    written = found.to_json()
    assert written["dead_share_of_training"] == pytest.approx(12 / 120)
    assert sum(written["seconds"].values()) == pytest.approx(3 + 1 + 2 * 90)
    assert found.sentence() == (
        "time of 4 cells: train 120 s, evaluate 8 s, attack 20 s; all else 12.0 s (10.0% of train)"
    )


def test_a_run_without_training_has_no_share() -> None:
    found = Times(1, 0.0, start=3.0)
    found.cell({})
    assert found.to_json()["dead_share_of_training"] is None
    assert found.sentence().endswith("all else 3.0 s")


def test_every_command_adds_its_times(tmp_path: Path) -> None:
    for count, before in enumerate(("", "[", "{}"), start=1):
        if before:
            (tmp_path / TIMES).write_text(before)
        times().note(tmp_path)
        times().note(tmp_path)
        assert json.loads((tmp_path / TIMES).read_text()) == [times().to_json()] * 2, count
