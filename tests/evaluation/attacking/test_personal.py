"""Personal records through a whole cell: in the open every span is read off, in noise none."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from evaluation.attacking.personal import spans_of
from evaluation.grid.parse import read_grid
from evaluation.grid.spec import AttackSettings, Cell, Spec
from evaluation.run.cell import run_cell
from fedbert.config import ModelConfig
from fedbert.data.personal import PERSONAL
from fedbert.prepare import prepare
from reports.leak import Leak

METRICS = {f"{kind}_{what}" for kind in ("name", "number", "date") for what in
           ("spans", "span_tokens")}  # fmt: skip


def cell_of(path: Path, defence: str) -> Cell:
    cell: Cell = next(c for c in read_grid(path).cells if c.defence.name == defence)
    data = replace(cell.config.data, source=PERSONAL, pool_size=60, max_length=64)
    attacks = AttackSettings(
        inversion=(Spec("nearest_token"),), backward=(), updates=(), membership=(), messages=2
    )
    config = replace(cell.config, data=data, model=ModelConfig("tiny"))
    return replace(cell, config=config, attacks=attacks)


def test_marks_are_the_tokens_of_the_spans(small_grid: Path) -> None:
    config = cell_of(small_grid, "none").config
    prepared = prepare(config, coin=True)
    found = spans_of(config, prepared)
    assert found is not None and len(found.marks) == len(prepared.pool)
    for example, (marks, spans) in enumerate(zip(found.marks, found.spans, strict=True)):
        ids = prepared.pool.take([example]).tokens
        for k, span in enumerate(spans, start=1):
            text = prepared.tokenizer.decode(ids[marks == k]).replace(" ", "")
            assert len(text) == len("".join(c for c in text)) and text
            assert (marks == k).any(), span
        assert not marks[np.isin(ids, prepared.vocabulary.special)].any()
    other = replace(config, data=replace(config.data, source="generated"))
    assert spans_of(other, prepared) is None


def test_spans_are_told_by_kind_beside_chance(small_grid: Path) -> None:
    """Epsilon 1 on every token: what comes through is no whole name, number or date."""
    for defence in ("none", "gaussian"):
        record = run_cell(cell_of(small_grid, defence)).record
        assert record.status == "done", record.traceback
        found = {x.metric: x for x in record.leakage if isinstance(x, Leak) and x.metric in METRICS}
        assert set(found) == METRICS
        for name, leak in found.items():
            assert leak.view == "forward" and leak.chance is not None
            if defence == "none":
                assert leak.estimate.value == 1.0 and leak.estimate.low > leak.chance
            elif name.endswith("_spans"):
                assert leak.estimate.value == 0.0
