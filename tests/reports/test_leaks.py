"""The worst of every view: who sees more never recovers less; limits and flags over seeds."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from reports import metrics
from reports.checks import VIEWS
from reports.csv_table import csv_table
from reports.leaks import by_view
from reports.page import page
from reports.records import CellResult, Estimate, read_records
from reports.render import render
from reports.rows import cell_rows, setting_rows
from reports.tables import markdown, terminal_tables
from reports.wording import beside


def entry(view, attack, metric, value, **more):
    found = Estimate(value, max(0.0, value - 0.01), min(1.0, value + 0.01), n=100)
    return {"view": view, "attack": attack, "family": "inversion", "metric": metric,
            "estimate": found, "unit": "token", "chance": 0.1, **more}  # fmt: skip


EVERY = [
    entry("forward", "look-up", "token_accuracy", 0.4),
    entry("forward", "prior", "token_accuracy", 0.6),
    entry("forward", "prior", "token_recall", 0.7),
    entry("backward", "masked", "masked_token_accuracy", 0.93),
    entry("backward", "labels", "label_accuracy", 0.97),
    entry("aggregator", "rows", "token_recall", 0.81),
    entry("aggregator", "rows", "token_precision", 0.32),
    entry("aggregator", "matching", "token_precision", 0.55),
    entry("peer", "rows", "token_recall", 0.22),
]  # fmt: skip


def test_masked_words_labels_and_token_sets_stand_beside_token_accuracy(examples):
    record = replace(examples.done(), leakage=[*examples.done().leakage[:1], *EVERY])
    (row,) = cell_rows([record])
    found = {
        view: {leak.metric: (leak.attack, leak.estimate.value) for leak in leaks}
        for view, leaks in by_view(row.leaks)
    }
    assert found == {
        "forward": {"token_accuracy": ("prior", 0.6), "token_recall": ("prior", 0.7)},
        "backward": {"token_accuracy": ("prior", 0.6), "token_recall": ("prior", 0.7),
                     "masked_token_accuracy": ("masked", 0.93),
                     "label_accuracy": ("labels", 0.97)},
        "aggregator": {"token_recall": ("rows", 0.81), "token_precision": ("matching", 0.55)},
        "peer": {"token_recall": ("rows", 0.22)},
    }  # fmt: skip
    lines = [(view, leak.metric) for view, leak in row.view_lines]
    assert lines == [
        ("forward", "token_accuracy"), ("forward", "token_recall"),
        ("backward", "masked_token_accuracy"), ("backward", "label_accuracy"),
        ("aggregator", "token_recall"), ("aggregator", "token_precision"), ("peer", "token_recall"),
    ]  # fmt: skip
    console = Console(width=100, file=io.StringIO(), record=True)
    for table in terminal_tables([record]):
        console.print(table)
    shown = " ".join(console.export_text().split())
    text, html = markdown([record]), page([record], "t")
    (line,) = csv.DictReader(io.StringIO(csv_table([record])))
    for value in ("0.930 [0.920, 0.940]", "0.970 [0.960, 0.980]", "0.810 [0.800, 0.820]", "0.550"):
        assert value in shown and value in text and value in html, value
    assert (
        float(line["masked_token_accuracy"]) == 0.93 and line["label_accuracy_attack"] == "labels"
    )
    assert float(line["token_recall"]) == 0.81 and float(line["token_precision"]) == 0.55


ANY = st.lists(
    st.tuples(
        st.sampled_from(VIEWS), st.sampled_from(metrics.SHOWN), st.integers(0, 3), st.floats(0, 1)
    ),
    max_size=12,
)


@given(ANY, ANY)
@settings(max_examples=60, deadline=None)
def test_a_stronger_adversary_never_recovers_less(examples, attacks, further):
    """Stronger by seeing more, or by having more attacks."""

    done = examples.done()

    def worst(chosen):
        entries = [entry(v, f"{m} {k}", m, x) for v, m, k, x in {c[:3]: c for c in chosen}.values()]
        (row,) = cell_rows([replace(done, leakage=entries)])
        table = {v: {x.metric: x.estimate.value for x in each} for v, each in by_view(row.leaks)}
        return {
            (view, m): table.get(view, {}).get(m, -1.0) for view in VIEWS for m in metrics.SHOWN
        }

    few = worst(attacks)
    for view in VIEWS:
        for other in metrics.SEES[view]:
            assert set(metrics.SEES[other]) <= set(metrics.SEES[view])
            assert all(few[view, m] >= few[other, m] for m in metrics.SHOWN)
    more = worst([*further, *attacks])
    known = {c[:3] for c in attacks}
    same = {c[:3]: c for c in [*further, *attacks]}
    if all(same[key][3] == {c[:3]: c for c in attacks}[key][3] for key in known):
        assert all(more[key] >= few[key] for key in few)


def test_limits_and_flags_over_seeds(examples):
    floor = Estimate(0.3, 0.25, 0.35, n=50)
    limits = {"floor": floor, "ceiling_basis": "per token"}
    one = entry(
        "forward", "x", "token_accuracy", 0.9, ceiling=0.5, flags=["above the ceiling"], **limits
    )
    two = entry("forward", "x", "token_accuracy", 0.7, ceiling=0.8, flags=[], **limits)
    records = [replace(examples.done(seed=k), leakage=[e]) for k, e in enumerate((one, two))]
    (row,) = setting_rows(records)
    assert row.inversion is not None
    assert row.inversion.ceiling == pytest.approx(0.65) and row.inversion.floor.value == 0.3
    assert row.alarms == ("x (forward): " + metrics.FLAGS["above the ceiling"],)
    assert beside(row.inversion) == "chance 0.1, floor 0.300, ceiling 0.650"
    bare = entry("forward", "x", "token_accuracy", 0.7, ceiling=None, ceiling_basis="no guarantee")
    (row,) = setting_rows([records[0], replace(records[1], leakage=[bare])])
    assert row.inversion is not None and row.inversion.ceiling is None
    assert beside(row.inversion).endswith("no ceiling")
    again = CellResult.from_json(json.loads(json.dumps(records[0].to_json())))
    assert again == records[0] and again.leakage[0]["floor"] == floor


def test_records_of_schema_1_are_read_and_lose_their_flag(examples):
    values = examples.done().to_json()
    values["schema"] = 1
    values["leakage"] = [{**each, "headline": True} for each in values["leakage"]]
    record = CellResult.from_json(json.loads(json.dumps(values)))
    assert record == examples.done() and record.schema == 2
    assert "headline" not in json.dumps(record.to_json())


@pytest.mark.parametrize("run", sorted(Path("docs/results").rglob("records.jsonl")), ids=str)
def test_published_results_still_render_and_hold_no_text(run: Path, tmp_path: Path) -> None:
    records = read_records(run)
    assert records and markdown(records) and csv_table(records)
    assert not (run.parent / "samples.json").exists() and not (run.parent / "report.html").exists()


def test_a_published_run_renders_a_page(tmp_path: Path) -> None:
    runs = sorted(Path("docs/results").rglob("records.jsonl"))
    run = min(runs, key=lambda path: path.stat().st_size)
    (tmp_path / "records.jsonl").write_bytes(run.read_bytes())
    assert render(tmp_path).paths[0].read_text().count("<h2>") > 4
