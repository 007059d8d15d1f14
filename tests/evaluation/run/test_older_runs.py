"""Runs of an earlier version: intervals that did not hold are made again, or left out."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.metrics.membership import judged
from evaluation.run.verify import made_again, verify_run
from reports.leak import Leak, NotMeasured
from reports.older import RUN_AGAIN
from reports.records import read_records
from reports.render import render
from reports.rows import setting_rows
from reports.run_folder import scores_path
from reports.scores import Scored, write_scores
from tests.reports import examples

LOW_FPR = ("tpr_at_1pct_fpr", "tpr_at_01pct_fpr")
ATTACK = {"view": "release", "attack": "loss threshold", "family": "membership"}


def scored(candidates: int) -> Scored:
    rng = np.random.default_rng(1)
    members = np.arange(candidates) % 2 == 0
    return Scored(rng.normal(size=candidates) + members, members, 3)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of schema 2 whose intervals at low false-positive rates are too narrow."""
    found = judged(scored(600))
    values: dict[str, Any] = examples.done().to_json()
    auc, *_ = found.values()
    narrow = {"value": 0.5, "low": 0.49, "high": 0.51, "n": 300, "confidence": 0.95, "method": ""}
    values["leakage"] = [
        {**ATTACK, "metric": "auc", "unit": "record", "chance": 0.5, "estimate": auc.to_json()},
        *({**ATTACK, "metric": name, "unit": "record", "chance": 0.01, "estimate": narrow}
          for name in LOW_FPR),
        {**ATTACK, "metric": "balanced_accuracy", "unit": "record", "chance": 0.5,
         "estimate": found["balanced_accuracy"].to_json()},
    ]  # fmt: skip
    values["baseline"] = values.pop("majority_baseline")
    (tmp_path / "records.jsonl").write_text(json.dumps({**values, "schema": 2}) + "\n")
    return tmp_path


def low_fpr(leakage: Any) -> list[Any]:
    return [each for each in leakage if each.metric in LOW_FPR]


def test_without_scores_they_are_not_measured_and_say_why(run: Path) -> None:
    (record,) = read_records(run / "records.jsonl")
    assert low_fpr(record.leakage) == [
        NotMeasured(**ATTACK, reason=RUN_AGAIN, metric=name) for name in LOW_FPR
    ]
    assert len(record.leakage) == 4  # AUC and balanced accuracy held
    assert any(RUN_AGAIN in text for text in setting_rows([record])[0].unmeasured)
    render(run)
    assert RUN_AGAIN in (run / "report.html").read_text()
    assert verify_run(run) == 0 and made_again(run) == [record]


@pytest.mark.parametrize("candidates", [600, 60])
def test_with_scores_they_are_made_again(run: Path, candidates: int) -> None:
    (record,) = read_records(run / "records.jsonl")
    write_scores(scores_path(run, record.cell), {"loss threshold": scored(candidates)}, {})
    (again,) = made_again(run)
    first, second = low_fpr(again.leakage)
    if candidates == 600:
        assert verify_run(run) == 3
        assert isinstance(first, Leak)
        assert first.estimate == judged(scored(600))["tpr_at_1pct_fpr"]
        assert first.chance == pytest.approx(4 / 301)
    else:
        assert "30 non-members are too few" in first.reason
    assert isinstance(second, NotMeasured) and "too few" in second.reason
    render(run, [again])
    assert RUN_AGAIN not in (run / "report.html").read_text()
