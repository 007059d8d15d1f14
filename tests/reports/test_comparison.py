import csv
import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from reports.compact import compact_table
from reports.comparison import BARE, FAILED, HOLDS, UNSURE, VOID, comparisons, judged
from reports.csv_table import csv_table
from reports.drawing.screen import png
from reports.estimate import Estimate
from reports.figures.depth import Depth, DepthFigure, Line, describe_depth
from reports.figures.roc import RocFigure, RocPanel, describe_roc
from reports.figures.utility import comparison_data, describe, leakage_data
from reports.page import decided, decisions, page
from reports.records import CellResult
from reports.rows import setting_rows
from reports.tables import markdown

SAID = "this comparison is void: undefended training did not leave the majority class"


def _with(record, value, half=0.02, metric="accuracy", baseline=0.5, **rest):
    found = Estimate(value, value - half, value + half, n=1000)
    return replace(record, utility={metric: found}, majority_baseline={metric: baseline}, **rest)


def _void(examples, defences=(0, 3), seeds=1):
    """A run whose undefended row is at the majority class, as is every other."""
    return [
        _with(examples.done(defence=number, seed=seed), 0.505)
        for number in defences
        for seed in range(seeds)
    ]


@pytest.mark.parametrize(
    ("metric", "baseline", "value", "half", "verdict"),
    [
        ("accuracy", 0.5, 0.8, 0.03, HOLDS),
        ("accuracy", 0.5, 0.50, 0.03, VOID),
        ("accuracy", 0.5, 0.45, 0.03, VOID),
        ("accuracy", 0.5, 0.57, 0.09, UNSURE),  # between nothing and a third of what there is
        ("accuracy", 0.9, 0.91, 0.02, UNSURE),  # of a tenth that is left, a fifth is .02
        ("matthews", 0.0, 0.0, 0.06, VOID),
        ("matthews", 0.0, 0.25, 0.06, HOLDS),
        ("pearson", None, 0.04, 0.07, VOID),
        ("pearson", None, 0.81, 0.02, HOLDS),
        ("masked_accuracy", 0.06, 0.2, 0.01, HOLDS),
        ("perplexity", None, 20.0, 1.0, UNSURE),
        ("f1", 0.0, 0.4, 0.02, UNSURE),  # a coin has it: F1 against the majority class says nothing
    ],
)
def test_a_verdict_by_hand(examples, metric, baseline, value, half, verdict):
    record = _with(examples.done(), value, half, metric, baseline)
    found = judged([record])
    assert found.value == verdict
    assert bool(found.short) == bool(found.words) == bool(found.hint) == (verdict != HOLDS)


def test_f1_leaves_the_word_to_accuracy(examples):
    record = _with(examples.done(), 0.85)
    both = {"f1": Estimate(0.81, 0.78, 0.84, n=400), "accuracy": Estimate(0.78, 0.74, 0.82, n=400)}
    majority = {"f1": 0.812, "accuracy": 0.684}
    assert judged([replace(record, utility=both, majority_baseline=majority)]).holds


def test_every_seed_has_to_have_left_and_all_at_once(examples):
    good, bad = _with(examples.done(), 0.8), _with(examples.done(seed=1), 0.5)
    assert judged([good, good]).holds
    found = judged([good, bad])
    assert found.value == VOID and "in 1 of 2 seeds" in found.words and "seed 1" in found.words
    few = _with(examples.done(seed=2), 0.57, half=0.09)
    assert judged([few, bad]).value == VOID and judged([good, few]).value == UNSURE
    near = _with(examples.done(), 0.521)  # .001 above at 95 %: not at what ten seeds ask for
    assert judged([near]).holds and not judged([near] * 10).holds


@given(st.floats(-0.2, 0.4), st.floats(0.001, 0.2), st.integers(1, 12), st.floats(0, 0.3))
def test_more_utility_never_makes_a_comparison_worse(value, half, seeds, more):
    rank = {VOID: 0, UNSURE: 1, HOLDS: 2}
    records = [_with(_BASE, 0.5 + x, half) for x in (value, value + more)]
    worse, better = (judged([record] * seeds).value for record in records)
    assert rank[worse] <= rank[better]
    assert judged([records[0]]).holds or not judged([records[0]] * seeds).holds


_BASE = CellResult("00", "failed", {}, dict.fromkeys(
    ("task", "model", "strategy", "defence", "level", "seed"), "none"), traceback="x")  # fmt: skip
_BASE = replace(
    _BASE, status="done", traceback="",
    guarantees=[{"view": view, "kind": "no guarantee", "reason": "", "sentence": "None."}
                for view in ("forward", "backward", "aggregator", "peer", "release")],
)  # fmt: skip


def test_a_paired_gain_counts_where_the_record_holds_one(examples):
    record = _with(examples.done(), 0.53, half=0.01)  # alone, it would hold
    assert judged([record]).holds
    paired = {"accuracy": Estimate(0.03, -0.01, 0.07, n=1000)}
    assert judged([replace(record, gains=paired)]).value == VOID
    again = CellResult.from_json(replace(record, gains=paired).to_json())
    assert again.gains == paired
    older = {key: each for key, each in record.to_json().items() if key != "gains"}
    assert CellResult.from_json(older) == record


def test_groups_are_what_is_compared(examples):
    bare = _with(examples.done(strategy="fedavg", defence=6), 0.5)
    swept = [
        replace(_with(examples.done(defence=k), value), labels=examples.done(defence=k).labels |
                {"data.clients": clients})
        for clients, value in (("4", 0.8), ("64", 0.5)) for k in (0, 3)
    ]  # fmt: skip
    found = comparisons([bare, *swept])
    assert [each.value for each in found.values()] == [BARE, HOLDS, VOID]
    rows = setting_rows([bare, *swept])
    assert [row.comparison.value for row in rows] == [BARE, HOLDS, HOLDS, VOID, VOID]


def test_a_row_that_failed_is_no_row_to_hold_others_against(examples):
    labels = examples.done().labels
    failed = CellResult("ab", "failed", {}, labels, traceback="ValueError: no")
    found = judged([failed])
    assert found.value == FAILED and "row failed (ValueError: no)" in found.words
    assert "show RUN ab" in found.hint and "name =" not in found.told
    assert "row failed" in markdown([failed, examples.done(defence=3)])
    half = judged([_with(examples.done(), 0.8), failed])
    assert half.value == UNSURE and "show RUN ab" in half.hint
    skipped = CellResult("cd", "skipped", {}, labels, reason="no room")
    assert "row was skipped (no room)" in judged([skipped]).told


def test_every_table_page_and_figure_says_that_a_comparison_is_void(examples):
    records = _void(examples)
    console = Console(width=100, file=io.StringIO(), record=True)
    console.print(compact_table(records))
    shown = " ".join(console.export_text().split())
    assert shown.lower().count("this comparison is void") == 1
    text = markdown(records)
    assert text.startswith("- **sst2, parallel: this comparison is void")
    assert "Hint: try more steps" in text and text.count(SAID) == 3
    heads = [line for line in text.splitlines() if "| defence |" in line and "forward" not in line]
    assert len(heads) == 2 and all("| comparison |" in head for head in heads)
    lines = list(csv.DictReader(io.StringIO(csv_table(records))))
    assert {line["comparison"] for line in lines} == {"void"}
    html = " ".join(page(records, "t").split())
    first = html[: html.index("<nav")]
    assert SAID in first and "No defence is to blame" in first and "try more steps" in first
    assert "not clearly better" not in html and html.count("comparison: void") == 2


def test_a_comparison_that_holds_is_not_spoken_of(examples):
    records = [examples.done(defence=k) for k in (0, 3)]
    assert "comparison" not in page(records, "t").replace("void comparison", "").split("<dl")[0]
    assert "void" not in markdown(records) and "| holds |" in markdown(records)


def test_no_defence_is_blamed_where_training_failed(examples):
    void = _void(examples, (0, 3, 5))
    (told,) = decided(void, decisions(void))
    assert told.startswith("sst2: Void: undefended training learnt nothing.")
    assert "worth shipping" not in told
    good = [_with(examples.done(defence=0), 0.8), _with(examples.done(defence=5), 0.5)]
    assert "not worth shipping (keeps too little" in decided(good, decisions(good))[0]


TRADE = "scatter:draw_trade"


def test_figures_carry_the_notice(examples):
    rows = setting_rows(_void(examples))
    data = leakage_data(rows, "sst2", "inversion")
    assert data is not None and data.notice == SAID
    assert describe(data).startswith("This comparison is void")
    assert png(data, TRADE, "") != png(replace(data, notice=""), TRADE, "")
    good = setting_rows([_with(examples.done(defence=k), 0.8) for k in (0, 3)])
    both = comparison_data({"one": rows, "other": good}, "sst2", "inversion")
    assert both is not None and both.notice == f"one: {SAID}"
    depth = DepthFigure("sst2", (Depth("none", (Line("a", (0,), (rows[0].utility,)),)),), (0,), 0.1)
    roc = RocFigure("sst2", (RocPanel("none", ()),), ())
    for figure, by, words in (
        (depth, "curves:draw_depths", describe_depth), (roc, "rates:draw_rates", describe_roc)
    ):  # fmt: skip
        flagged = replace(figure, notice=SAID)
        assert png(flagged, by, "") != png(figure, by, "")
        assert words(flagged).startswith("This comparison is void")


@pytest.mark.filterwarnings("error")
def test_a_notice_is_never_read_as_mathematics(examples):
    rows = setting_rows(_void(examples))
    data = leakage_data(rows, "sst2", "inversion")
    assert data is not None
    assert png(replace(data, notice="$x^ " * 400), TRADE, "").startswith(b"\x89PNG")
