"""ROC curves: the corners agree with the judge's shares, the picture repeats, the page shows it."""

from pathlib import Path

import numpy as np
import pytest

from evaluation.metrics.membership import tpr_at_fpr
from reports.drawing.screen import png
from reports.figures.roc import corners, describe_roc, roc_data
from reports.records import append_record
from reports.render import render
from reports.run_folder import scores_path
from reports.scores import Scored, write_scores
from tests.reports import examples


def scored(seed: int, ties: bool = False) -> Scored:
    rng = np.random.default_rng(seed)
    members = rng.random(300) < 0.5
    scores = rng.normal(size=300) + members
    return Scored(np.round(scores) if ties else scores, members, 1)


@pytest.mark.parametrize("ties", [False, True])
def test_corners_are_the_shares_that_the_judge_finds(ties: bool) -> None:
    each = scored(0, ties)
    fpr, tpr = corners(each)
    for k in range(0, len(fpr), 7):
        found = tpr_at_fpr(each.member_scores, each.non_member_scores, float(fpr[k]))
        assert found is None if fpr[k] == 0 else found.value == tpr[k]
    assert fpr[-1] == tpr[-1] == 1.0 and (np.diff(tpr) >= 0).all()


def test_the_page_shows_the_curves_of_the_first_seed_and_repeats_itself(tmp_path: Path) -> None:
    records = [examples.done("sst2", "parallel", defence, seed)
               for defence in (0, 6) for seed in (0, 1)]  # fmt: skip
    for record in records:
        append_record(tmp_path / "records.jsonl", record)
        attacks = {"loss threshold": scored(3), "another $attack$": scored(4, ties=True)}
        write_scores(scores_path(tmp_path, record.cell), attacks, {})
    paths = render(tmp_path).paths
    (figure,) = [path for path in paths if path.name == "roc-sst2.png"]
    before = figure.read_bytes()
    assert before.startswith(b"\x89PNG") and figure.stat().st_size > 10_000
    assert render(tmp_path).paths == paths and figure.read_bytes() == before
    html = (tmp_path / "report.html").read_text()
    assert "Logarithmic ROC curves of membership attacks on sst2" in html
    first = [record for record in records if record.labels["seed"] == "0"]
    data = roc_data(first, {r.cell: {"loss threshold": scored(3)} for r in first})
    assert len(data.panels) == 2 and "loss threshold: AUC 0." in describe_roc(data)
    again = png(data, "rates:draw_rates", "")
    assert again == png(data, "rates:draw_rates", "") != before
