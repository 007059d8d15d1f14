"""A broken mechanism and a weak attack, through a whole run: in the record, the table, the page."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from evaluation.grid.catalogue import INVERSION
from evaluation.grid.parse import grid_from, read_grid, read_toml
from evaluation.run.cell import run_cell
from evaluation.run.runner import run_grid
from evaluation.run.workers import Loop
from reports.compact import compact_table
from reports.leak import Leak
from reports.metrics import ABOVE_BOUND, BELOW_REFERENCE
from reports.records import read_records
from reports.render import render
from reports.rows import setting_rows

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
        grid_from(values, "test", "flags", allow_code=True),
        run,
        Loop(),
        lambda *_: None,
        lambda _: None,
    )
    (record,) = read_records(run / "records.jsonl")
    flags = {
        each.attack: each.flags for each in record.leakage if isinstance(each, Leak) and each.flags
    }
    assert flags == {"nearest token": (ABOVE_BOUND,), "guesser": (BELOW_REFERENCE,)}
    report = render(run)
    page = (run / "report.html").read_text()
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(compact_table(report.records))
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


def test_a_baseline_is_neither_weak_nor_worst_nor_a_reconstruction(
    tmp_path: Path, small_grid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "constant.py").write_text(ATTACK)
    monkeypatch.syspath_prepend(str(tmp_path))
    entry = SimpleNamespace(target="constant:Guesser", alone=True, baseline=True)
    monkeypatch.setitem(INVERSION, "constant", entry)
    cell = read_grid(small_grid).cells[0]
    attacks = replace(cell.attacks, inversion=("constant",), backward=(), updates=(), membership=())
    outcome = run_cell(replace(cell, attacks=attacks))
    leaks = [each for each in outcome.record.leakage if isinstance(each, Leak)]
    assert leaks and all(each.baseline and not each.flags for each in leaks)
    assert leaks[0].reference_attack is not None
    assert leaks[0].estimate.high < leaks[0].reference_attack.low
    assert not outcome.samples
    (row,) = setting_rows([outcome.record])
    assert row.inversion is None and row.view_lines == []
