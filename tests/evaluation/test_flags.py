"""A broken mechanism and a weak attack, through a whole run: in the record, the table, the page."""

import io
import json
import sys
from pathlib import Path

import pytest
from rich.console import Console

from evaluation.grid.parse import grid_from, read_toml
from evaluation.run.runner import run_grid
from evaluation.run.workers import Loop
from reports.leak import Leak
from reports.metrics import ABOVE_BOUND, BELOW_REFERENCE
from reports.records import read_records
from reports.render import render

ATTACK = """
import numpy as np

class Guesser:
    name = "guesser"
    view = "forward"

    def missing(self, knowledge):
        return None

    def reconstruct(self, messages, knowledge, generator):
        return [np.full(m.attention_mask.shape, 7) for m in messages]
"""


def test_a_broken_mechanism_and_a_weak_attack_are_flagged_everywhere(
    tmp_path: Path, small_grid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "guessing.py").write_text(ATTACK)
    monkeypatch.syspath_prepend(str(tmp_path))
    values = read_toml(small_grid, "grid")
    values["seeds"] = [0]
    values["data"]["pool_size"] = 400
    values["training"]["batch_size"] = 64
    values["attacks"]["inversion"] = ["nearest_token", "guessing:Guesser"]
    claim = {"clip_norm": 8.0, "noise_multiplier": 3.0}
    broken = {"mechanism": "tests.privacy.mistakes:PartOfTheNoise", "part": 1e-3, **claim}
    values["defences"] = [{"name": "broken", "smashed": broken}]
    run = tmp_path / "run"
    assert run_grid(
        grid_from(values, "test", "flags"), run, Loop(), lambda *_: None, lambda _: None
    )
    (record,) = read_records(run / "records.jsonl")
    flags = {
        each.attack: each.flags for each in record.leakage if isinstance(each, Leak) and each.flags
    }
    assert flags == {"nearest token": (ABOVE_BOUND,), "guesser": (BELOW_REFERENCE,)}
    report = render(run)
    page = (run / "report.html").read_text()
    console = Console(width=100, file=io.StringIO(), record=True)
    for table in report.tables:
        console.print(table)
    shown = " ".join(console.export_text().split())
    for words in (ABOVE_BOUND, "mechanism is broken", "attack is weak"):
        assert words in page and words in shown, words
    assert ABOVE_BOUND in (run / "table.md").read_text()
    assert "mechanism is broken" in (run / "table.csv").read_text()
    text = json.loads((run / "samples.json").read_text())
    assert list(text) == [record.cell] and 1 <= len(text[record.cell]) <= 4
    assert text[record.cell][0]["words"][0][0] in page and "Sample sentences" in page
    assert "words" not in json.dumps(record.to_json()["leakage"])
    (run / "samples.json").unlink()
    render(run)
    assert "Sample sentences" not in (run / "report.html").read_text()
    assert "guessing" in sys.modules
