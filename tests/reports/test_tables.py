import csv
import io
import math
import re
from dataclasses import replace

import pytest
from rich.console import Console
from scipy.stats import t

from reports import glossary, metrics
from reports.averages import mean_estimate
from reports.checks import VIEWS
from reports.compact import brief, compact_table, worst_leak
from reports.csv_table import csv_table
from reports.estimate import Estimate
from reports.leak import NotMeasured
from reports.page import page
from reports.rows import cell_rows, round_up, setting_rows
from reports.run_folder import in_order
from reports.tables import markdown


def _shown(records, width=100):
    console = Console(width=width, file=io.StringIO(), record=True)
    console.print(compact_table(records, width=width))
    return console.export_text()


def test_every_metric_has_a_direction_and_a_meaning():
    better = {name: each.better for name, each in metrics.METRICS.items()}
    assert better == {
        "accuracy": "higher", "f1": "higher", "macro_f1": "higher", "matthews": "higher",
        "pearson": "higher",
        "spearman": "higher", "perplexity": "lower", "masked_accuracy": "higher",
        "token_accuracy": "lower", "content_token_accuracy": "lower", "auc": "lower",
        "number_accuracy": "lower", "rare_word_accuracy": "lower",
        "function_word_accuracy": "lower", "token_precision": "lower", "token_recall": "lower",
        "token_f1": "lower",
        "rouge1": "lower", "rouge2": "lower", "rougeL": "lower", "exact_match": "lower",
        "masked_token_accuracy": "lower", "label_accuracy": "lower",
        "tpr_at_1pct_fpr": "lower", "tpr_at_01pct_fpr": "lower", "balanced_accuracy": "lower",
        "client_auc": "lower", "blind_auc": "lower", "attribute_accuracy": "lower",
        "attribute_auc": "lower", "name_spans": "lower", "name_span_tokens": "lower",
        "number_spans": "lower", "number_span_tokens": "lower", "date_spans": "lower",
        "date_span_tokens": "lower",
    }  # fmt: skip
    assert {each.title for each in metrics.METRICS.values()} <= set(glossary.meanings())
    assert all(each.worse != each.better for each in metrics.METRICS.values())
    with pytest.raises(ValueError, match="got metric='bleu'"):
        metrics.metric("bleu")


def test_clearly_better_needs_the_whole_interval_on_the_good_side():
    assert metrics.clearly_better("accuracy", 0.6, 0.7, 0.5) is True
    assert metrics.clearly_better("accuracy", 0.4, 0.7, 0.5) is False
    assert metrics.clearly_better("perplexity", 4.0, 5.0, 6.0) is True
    assert metrics.clearly_better("perplexity", 4.0, 7.0, 6.0) is False
    assert metrics.clearly_better("bleu", 4.0, 7.0, 6.0) is None


def test_a_cell_row_by_hand(examples):
    record = examples.done("sst2", "parallel", 3, 0)
    (row,) = cell_rows([record])
    assert (row.task, row.strategy, row.defence, row.level) == (
        "sst2", "parallel", "gaussian token", "eps 8")  # fmt: skip
    assert row.utility == record.utility["accuracy"] and row.majority_baseline == 0.509
    assert row.inversion is not None and row.membership is not None
    assert (row.inversion.attack, row.inversion.view) == ("nearest token", "forward")
    assert row.inversion.estimate == record.leakage[2].estimate
    assert row.membership.estimate == record.leakage[0].estimate
    assert [each.short for each in row.guarantees] == [
        "eps 8.0 (token, replace-one, local)", "none", "none", "none", "none"]  # fmt: skip
    assert row.units == ("token",)
    assert row.bytes == 131_000_000
    assert row.seconds == math.fsum(record.seconds.values())


def test_nothing_sent_is_not_no_guarantee(examples):
    (row,) = cell_rows([examples.done("sst2", "fedavg", 0)])
    assert [each.short for each in row.guarantees] == ["nothing sent"] * 2 + ["none"] * 3
    assert row.inversion is None
    assert row.unmeasured == (
        "nearest token (inversion, forward view): nothing is sent in the forward view",
    )


LABEL = {"view": "release", "kind": "guarantee", "unit": "label", "relation": "replace-one",
         "epsilon": 1.5, "delta": 0.0, "releases": 1, "scope": "data set", "accountant": "pure",
         "exclusions": ["the text"], "sentence": "Labels are protected."}  # fmt: skip
METRIC = {"view": "forward", "kind": "metric guarantee", "unit": "token", "eta": 10.0,
          "releases": 3, "scope": "local", "exclusions": ["lengths"],
          "sentence": "By distance."}  # fmt: skip


def test_claims_about_labels_stand_beside_the_entry_of_their_view(examples):
    record = examples.done("sst2", "parallel", 3)
    labelled = replace(record, guarantees=[*record.guarantees, LABEL])
    (row,) = cell_rows([labelled])
    assert [each.view for each in row.guarantees] == list(VIEWS)
    last = row.guarantees[-1]
    assert last.short == "eps 1.5 (label, replace-one, data set), none for the text"
    assert last.sentence == f"{record.guarantees[-1]['sentence']} Labels are protected."
    assert last.kind == "no guarantee" and last.units == ("label",) and last.delta is None
    assert row.units == ("token", "label")
    assert brief(last.short) == "1.5 (label)"
    shown = " ".join(_shown([labelled]).split())
    assert "8.0 (token):" in shown and "1.5 (label):" in shown
    assert last.short in markdown([labelled]) and last.short in csv_table([labelled])
    bare = examples.done("sst2", "parallel", 0)
    (row,) = cell_rows([replace(bare, guarantees=[*bare.guarantees, LABEL])])
    assert row.units == ("label",)


def test_a_metric_guarantee_is_shown_and_never_counted_as_an_epsilon(examples):
    record = examples.done("sst2", "parallel", 0)
    metric = replace(record, guarantees=[METRIC, *record.guarantees[1:]])
    (row,) = cell_rows([metric])
    first = row.guarantees[0]
    assert first.short == "metric, eta 10.0 over 3 releases (token, local)"
    assert (first.unit, first.epsilon, first.delta) == ("", None, None)
    assert row.units == () and first.claimed
    assert "eta 10.0 (token):" in _shown([metric])


def test_the_worst_attack_is_chosen_by_its_mean_over_seeds(examples):
    def record(seed, first, second):
        entries = [
            examples.leak("forward", name, "inversion", "token_accuracy",
                          Estimate(value, value, value, n=10))
            for name, value in (("a", first), ("b", second))
        ]  # fmt: skip
        return replace(examples.done(seed=seed), leakage=tuple(entries))

    (row,) = setting_rows([record(0, 0.9, 0.5), record(1, 0.1, 0.6)])
    assert row.inversion is not None
    assert row.inversion.attack == "b"
    assert row.inversion.estimate.value == pytest.approx(0.55)
    assert row.inversion.chance == pytest.approx(0.036)


def test_a_leak_of_fewer_seeds_than_its_row_says_so_in_its_cell(examples):
    both, one = examples.done(seed=0), examples.done(seed=1)
    (row,) = setting_rows([both, one])
    assert {row.fewer_seeds(leak) for leak in row.leaks} == {""}
    assert "1 of 2 seeds" not in _shown([both, one]) + markdown([both, one])
    records = [both, replace(one, leakage=())]
    (row,) = setting_rows(records)
    assert len(row.seeds) == 2
    assert {row.fewer_seeds(leak) for leak in row.leaks} == {"1 of 2 seeds"}
    for told in (markdown(records), page(records, "t", ())):
        assert told.count("1 of 2 seeds") >= 3  # either family's worst, and a view's
    assert _shown(records).count("1 of 2 seeds") == 1


def test_the_mean_over_seeds_by_hand():
    runs = [Estimate(0.70, 0.66, 0.73, n=100, method="m"), Estimate(0.74, 0.70, 0.77, n=100)]
    found = mean_estimate(runs, "accuracy")
    spread = t.ppf(0.975, 1) * 0.02  # standard error of two values 0.04 apart: 0.02
    assert found.value == pytest.approx(0.72)
    assert found.low == pytest.approx(0.72 - math.hypot(spread, 0.04))
    assert found.high == pytest.approx(0.72 + math.hypot(spread, 0.03))
    assert found.n == 2
    assert "2 seeds" in found.method and "Student" in found.method and "(m)" in found.method
    assert mean_estimate(runs[:1], "accuracy") is runs[0]


def test_a_mean_keeps_within_the_bounds_of_its_metric():
    runs = [Estimate(0.9, 0.8, 1.0, n=9), Estimate(0.1, 0.0, 0.2, n=9)]
    found = mean_estimate(runs, "accuracy")
    assert (found.low, found.high) == (0.0, 1.0)
    assert mean_estimate(runs, "matthews").low == -1.0


def test_cells_are_averaged_over_seeds_and_over_nothing_else(examples):
    same = [examples.done(seed=seed) for seed in range(3)]
    other = replace(same[0], cell="ff", spec={**same[0].spec, "rounds": 9})
    rows = setting_rows([*same, other])
    assert [row.seeds for row in rows] == [("0", "1", "2"), ("0",)]


def test_a_failed_seed_leaves_the_others_and_a_note(examples):
    lost = replace(examples.done(seed=1), status="failed", traceback="Traceback\nBoom: 3")
    (row,) = setting_rows([examples.done(seed=0), lost])
    assert row.status == "done" and row.seeds == ("0",) and row.note == "failed: Boom: 3"
    assert "failed: Boom: 3" in " ".join(_shown([examples.done(seed=0), lost]).split())


def test_seeds_that_differ_in_their_guarantee_show_the_weakest(examples):
    first, second = examples.done(defence=3, seed=0), examples.done(defence=3, seed=1)
    weaker = [{**second.guarantees[0], "epsilon": 9.0}, *second.guarantees[1:]]
    (row,) = setting_rows([first, replace(second, guarantees=weaker)])
    assert row.guarantees[0].epsilon == 9.0
    assert "eps 8.0" in row.guarantees[0].short and "eps 9.0" in row.guarantees[0].short
    nothing = [{**second.guarantees[1], "view": "forward"}, *second.guarantees[1:]]
    (row,) = setting_rows([first, replace(second, guarantees=nothing)])
    assert row.guarantees[0].kind == "no guarantee" and row.units == ()


@pytest.mark.parametrize(
    ("epsilon", "text"),
    [(0.0, "0.0"), (8.0, "8.0"), (8.001, "8.01"), (7.994, "8.0"), (0.12345, "0.124"),
     (1234.0, "1.24e+03"), (3e-7, "3e-07"), (8.0000000001, "8.0")],
)  # fmt: skip
def test_an_epsilon_is_never_rounded_down(epsilon, text):
    assert round_up(epsilon) == text
    assert float(text) >= epsilon * (1 - 1e-6)


def test_the_terminals_table_has_a_row_a_setting_and_fits(examples):
    records = examples.grid()
    rows = setting_rows(records)
    table = compact_table(records)
    assert table.row_count == len(rows)
    text = _shown(records)
    assert max(map(len, text.splitlines())) <= 100 and "…" not in text
    assert len(text.splitlines()) <= 4 * len(rows) + 12
    flat = " ".join(text.split())
    for row in rows:
        leak = worst_leak(row)
        for estimate in (row.utility, leak and leak.estimate):
            if estimate is not None and row.task != "mlm":
                assert f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]" in flat
    for words in ("8.0 (token):", "none", "token accuracy, forward", "No defence is to blame"):
        assert words in flat
    assert "skipped: dp-fedavg needs" in flat and "failed: ValueError" in flat


def test_the_worst_leak_is_the_furthest_above_its_own_chance(examples):
    def leak(name, value, chance, metric="token_accuracy", **more):
        found = Estimate(value, value - 0.01, value + 0.01, n=500)
        family = "membership" if metric == "auc" else "inversion"
        return replace(examples.leak("forward", name, family, metric, found, **more), chance=chance)

    every = [leak("a", 0.6, 0.55), leak("b", 0.5, 0.1), leak("c", 0.7, 0.5, "auc")]
    (row,) = setting_rows([replace(examples.done(), leakage=every)])
    worst = worst_leak(row)
    assert worst is not None and worst.attack == "b"
    shown = " ".join(_shown([replace(examples.done(), leakage=every)]).split())
    assert "0.500 [0.490, 0.510] 0.1 none token accuracy, forward" in shown
    (row,) = setting_rows([replace(examples.done(), leakage=[])])
    assert worst_leak(row) is None
    assert "not measured" in _shown([replace(examples.done(), leakage=[])])


def test_the_terminals_table_fits_eighty_columns_and_cuts_nothing(examples):
    same = {"data.alpha": "1"}
    swept = [replace(r, cell=f"{r.cell}{n}", labels=r.labels | {"data.clients": n} | same)
             for n in ("4", "64") for r in examples.grid(("sst2", "mlm"))]  # fmt: skip
    shown = _shown([examples.done()], 80)
    assert max(map(len, shown.splitlines())) <= 80
    words = "defence utility accuracy worst leak chance epsilon views"
    assert set(words.split()) <= set(re.split(r"[\s:,]+", shown))
    named = replace(examples.done(), labels=examples.done().labels | {"level": "sigma=100000.0"})
    narrow, wide = _shown([named], 80), _shown([named], 200)
    assert "sigma 100000" in " ".join(narrow.split()) and narrow.count("]") == wide.count(
        "]"
    )  # nothing is cut
    told = set(_shown(swept, 140).split())
    assert {"data.", "clients"} <= told and "alpha" not in told  # of every setting the same


def test_what_was_not_measured_is_told_once_with_its_seeds(examples):
    def record(seed, *reasons):
        lacking = [NotMeasured("release", f"a{i}", "membership", why, "auc")
                   for i, why in enumerate(reasons) if why]  # fmt: skip
        return replace(examples.done(seed=seed), leakage=lacking)

    (row,) = setting_rows([record(0, "9 are few", "x", "y"), record(1, "8 are few", "x", None),
                           record(2, "8 are few", "x", None)])  # fmt: skip
    assert row.unmeasured == (
        "a0 (membership, release view, AUC): 9 are few (seed 0); 8 are few (seeds 1, 2)",
        "a1 (membership, release view, AUC): x",
        "a2 (membership, release view, AUC): y (seed 0)",
    )


def test_labels_are_not_read_as_markup(examples):
    record = examples.done()
    record = replace(record, labels={**record.labels, "defence": "[red]x[/red] |a| <b> [k](u)"})
    assert "[red]x[/red]" in " ".join(_shown([record]).split())
    text = markdown([record])
    assert r"\|a\| &lt;b&gt; [k\](u)" in text and "<b>" not in text


def test_markdown_has_whole_rows_and_every_sentence(examples):
    records = examples.grid()
    text = markdown(records)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    widths = {line.replace(r"\|", "").count("|") for line in lines}
    assert widths == {15, 12, 10}
    for record in records:
        for entry in record.guarantees:
            before, after = entry["sentence"].split(entry["view"], 1)
            after = after.partition(" view")[2]  # views may stand together
            assert before in text and after in text
    assert "skipped: dp-fedavg needs" in text and "failed: ValueError" in text


def test_csv_holds_every_cell_at_full_precision(examples):
    records = examples.grid()
    lines = list(csv.DictReader(io.StringIO(csv_table(records))))
    assert [line["cell"] for line in lines] == [record.cell for record in records]
    assert float(lines[0]["utility_low"]) == records[0].utility["accuracy"].low
    assert lines[0]["forward_guarantee"] == "none" and lines[0]["forward_delta"] == ""
    token = next(line for line in lines if line["level"] == "eps 8")
    assert token["forward_guarantee"] == "eps 8.0 (token, replace-one, local)"
    assert float(token["forward_delta"]) == 1e-5
    assert {line["status"] for line in lines} == {"done", "skipped", "failed"}
    assert all(line["note"] for line in lines if line["status"] != "done")


def test_csv_says_what_every_mechanism_did(examples):
    record = examples.done("sst2", "parallel", 3, 0)
    log = {"name": "Gaussian", "clip_norm": 1.5, "noise_std": 3.0, "clipped_share": 0.25}
    both = {"smashed": {**log, "signal_to_noise": 0.125}, "labels": {"name": "RandomisedResponse"}}
    (line,) = csv.DictReader(io.StringIO(csv_table([replace(record, mechanisms=both)])))
    assert line["places"] == "smashed; labels"
    assert line["mechanisms"] == "Gaussian; RandomisedResponse"
    assert (line["noise_std"], line["clipped_share"]) == ("3.0; ", "0.25; ")
    assert line["signal_to_noise"] == "0.125; "


def test_models_of_one_setting_are_told_apart_where_guarantees_are_listed(examples):
    """Cut at other layers the same noise promises something else: its rows say which is which."""
    first = examples.grid()[0]
    other = replace(first, cell="0" * 16, labels={**first.labels, "model": "tiny, cut at 2"})
    text = markdown([first, other]).split("## Guarantee per view")[1]
    for model in (first.labels["model"], "tiny, cut at 2"):
        assert f"| {model} |" in text and f"**{model}, " in text


def test_rows_follow_the_grid_and_not_who_finished_first(examples):
    records = examples.grid()
    grid = {"cells": [record.spec for record in records]}
    assert in_order(records[::-1], grid) == records
    assert in_order(records[::-1], {"cells": grid["cells"][1:]})[-1] == records[0]
    assert in_order(records[::-1], None) == records[::-1]
