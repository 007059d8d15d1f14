"""The worst of every view: who sees more never recovers less; limits and flags over seeds."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports import metrics
from reports.checks import FAMILIES, UNITS, VIEWS
from reports.csv_table import csv_table
from reports.estimate import Estimate
from reports.figures.depth import WORST, depth_data
from reports.leak import Leak, NotMeasured, entry_from_json
from reports.leaks import by_view, worst
from reports.page import page
from reports.records import CellResult, append_record, read_records
from reports.render import render
from reports.rows import cell_rows, setting_rows
from reports.tables import markdown
from reports.wording import beside


def entry(view, attack, metric, value, **more):
    found = Estimate(value, max(0.0, value - 0.01), min(1.0, value + 0.01), n=100)
    return Leak(view, attack, "inversion", metric, found, "token", 0.1, **more)


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
    record = replace(examples.done(), leakage=(*examples.done().leakage[:1], *EVERY))
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
    text, html = markdown([record]), page([record], "t")
    (line,) = csv.DictReader(io.StringIO(csv_table([record])))
    for value in ("0.930 [0.920, 0.940]", "0.970 [0.960, 0.980]", "0.810 [0.800, 0.820]", "0.550"):
        assert value in text and value in html, value
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
@settings(max_examples=60)
def test_a_stronger_adversary_never_recovers_less(examples, attacks, further):
    """Stronger by seeing more, or by having more attacks."""

    done = examples.done()

    def worst(chosen):
        entries = [entry(v, f"{m} {k}", m, x) for v, m, k, x in {c[:3]: c for c in chosen}.values()]
        (row,) = cell_rows([replace(done, leakage=tuple(entries))])
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
    look_up = Estimate(0.3, 0.25, 0.35, n=50)
    limits = {"reference_attack": look_up, "bound_basis": "per token"}
    flags = (metrics.ABOVE_BOUND,)
    one = entry(
        "forward", "x", "token_accuracy", 0.9, reconstruction_bound=0.5, flags=flags, **limits
    )
    two = entry("forward", "x", "token_accuracy", 0.7, reconstruction_bound=0.8, **limits)
    records = [replace(examples.done(seed=k), leakage=(e,)) for k, e in enumerate((one, two))]
    (row,) = setting_rows(records)
    leak = row.inversion
    assert leak is not None and leak.reference_attack.value == 0.3
    assert leak.reconstruction_bound == pytest.approx(0.65)
    assert row.alarms == ("x (forward): " + metrics.FLAGS[metrics.ABOVE_BOUND],)
    assert beside(leak) == "chance 0.1, reference attack 0.300, bound 0.650"
    told = {"informed": look_up, "informed_basis": "who is told"}
    (row,) = setting_rows([replace(r, leakage=(replace(one, **told),)) for r in records])
    assert row.inversion is not None and row.inversion.informed is not None
    assert beside(row.inversion).startswith("chance 0.1, 0.300 for who is told, reference")
    bare = entry("forward", "x", "token_accuracy", 0.7, bound_basis="no guarantee")
    (row,) = setting_rows([records[0], replace(records[1], leakage=(bare,))])
    assert row.inversion is not None and row.inversion.reconstruction_bound is None
    assert beside(row.inversion).endswith("no bound")
    again = CellResult.from_json(json.loads(json.dumps(records[0].to_json())))
    assert again == records[0] and again.leakage == (one,)


CONSTANT = [
    entry("forward", "look-up", "token_accuracy", 0.2),
    entry("forward", "often", "token_accuracy", 0.3, baseline=True),
    entry("forward", "drawn", "token_accuracy", 0.1, baseline=True),
    entry("peer", "drawn", "token_recall", 0.9, baseline=True),
]


def test_a_baseline_is_shown_as_one_and_never_the_worst(examples):
    member = examples.leak("release", "coin", "membership", "auc", Estimate(0.9, 0.8, 1.0, n=9))
    leakage = (examples.done().leakage[0], replace(member, baseline=True), *CONSTANT)
    record = replace(examples.done(), leakage=leakage)
    (row,) = setting_rows([record, replace(record, labels={**record.labels, "seed": "1"})])
    assert row.inversion is not None and row.membership is not None
    assert (row.inversion.attack, row.membership.attack) == ("look-up", "loss threshold")
    assert worst(row.leaks, "inversion", "token_recall") is None
    assert [(view, leak.name) for view, leak in row.view_lines] == [
        ("forward", "look-up"), ("forward", "often (baseline)"),
    ]  # fmt: skip
    for text in (markdown([record]), page([record], "t")):
        assert "often (baseline)" in text and "0.300 [0.290, 0.310]" in text
    assert "drawn (baseline)" in page([record], "t") and "coin (baseline)" in page([record], "t")
    assert "look-up (baseline)" not in page([record], "t")
    assert "often" not in csv_table([record])
    again = CellResult.from_json(json.loads(json.dumps(record.to_json())))
    assert again == record and again.leakage[3].baseline
    assert "baseline" not in again.leakage[0].to_json()


def test_the_depth_figures_worst_is_no_baseline(examples):
    records = [
        replace(examples.done(), spec={"model": {"cut_layer": cut}}, leakage=tuple(CONSTANT))
        for cut in (0, 1)
    ]
    data = depth_data(records, "sst2")
    assert data is not None
    (panel,) = data.panels
    lines = {line.attack: [point.value for point in line.points] for line in panel.lines}
    assert lines[WORST] == lines["look-up"] == [0.2, 0.2] and lines["often (baseline)"] == [0.3] * 2
    bare = [replace(record, leakage=tuple(CONSTANT[1:])) for record in records]
    assert WORST not in depth_data(bare, "sst2").attacks


FINITE = st.floats(-1e6, 1e6)
ESTIMATES = st.tuples(FINITE, FINITE, FINITE).map(sorted).map(
    lambda x: Estimate(x[1], x[0], x[2], n=3, method="by hand")
)  # fmt: skip
HEADS = (st.sampled_from(VIEWS), st.text(min_size=1), st.sampled_from(FAMILIES))
LEAKS = st.builds(
    Leak, *HEADS, metric=st.sampled_from(list(metrics.METRICS)), estimate=ESTIMATES,
    unit=st.sampled_from(UNITS), chance=st.none() | FINITE,
    reference_attack=st.none() | ESTIMATES, reference_basis=st.text(),
    reconstruction_bound=st.none() | FINITE, bound_basis=st.text(), prior=st.none() | FINITE,
    flags=st.lists(st.sampled_from(list(metrics.FLAGS))).map(tuple), baseline=st.booleans(),
    informed=st.none() | ESTIMATES, informed_basis=st.text(),
)  # fmt: skip
NOT_MEASURED = st.builds(
    NotMeasured, *HEADS, reason=st.text(min_size=1), metric=st.none() | st.text(min_size=1)
)


@given(LEAKS | NOT_MEASURED)
def test_what_was_measured_and_what_not_come_back_as_they_were(each):
    assert entry_from_json(json.loads(json.dumps(each.to_json(), allow_nan=False)), "x") == each


SOUND = entry("forward", "x", "token_accuracy", 0.7).to_json()
UNSOUND = [
    ({"view": "sideways"}, "view='sideways'"),
    ({"family": "theft"}, "family='theft'"),
    ({"attack": ""}, "expected a text, got attack=''"),
    ({"metric": 3}, "metric=3"),
    ({"unit": "word"}, "unit='word'"),
    ({"chance": float("nan")}, "chance=nan"),
    ({"estimate": None}, "Estimate, got estimate=None"),
    ({"estimate": {**SOUND["estimate"], "low": 0.9}}, "low <= value <= high"),
    ({"reference_attack": 0.3}, "expected an estimate"),
    ({"informed": 0.3}, "expected an estimate"),
    ({"informed_basis": 3}, "informed_basis=3"),
    ({"reconstruction_bound": "1"}, "reconstruction_bound='1'"),
    ({"flags": ["fine"]}, "flags='fine'"),
    ({"flags": "above"}, "expected a list"),
    ({"baseline": 1}, "baseline=1"),
    ({"floor": None}, r"unknown=\['floor'\]"),
    ({"not_measured": ""}, "unknown="),
]


@pytest.mark.parametrize(("change", "words"), UNSOUND, ids=[words for _, words in UNSOUND])
def test_what_is_no_leak_is_refused_with_its_place(change, words):
    with pytest.raises(ValueError, match=r"^leakage\[3\]: .*" + words):
        entry_from_json({**SOUND, **change}, "leakage[3]")
    with pytest.raises(ValueError, match="with estimate"):
        entry_from_json({k: v for k, v in SOUND.items() if k != "estimate"}, "leakage[3]")


SCHEMA_2 = Path(__file__).parent / "schema_2.jsonl"


def test_a_stored_record_of_schema_2_is_read_in_todays_words(tmp_path):
    (record,) = read_records(SCHEMA_2)
    assert record.schema == 3 and record.majority_baseline == {"accuracy": 0.5}
    leak, missing, member = record.leakage
    assert isinstance(leak, Leak) and leak.estimate == Estimate(0.9, 0.8, 0.95, n=40, method="m")
    assert leak.reference_attack == Estimate(0.97, 0.96, 0.98, n=50)
    assert (leak.reconstruction_bound, leak.prior) == (0.7, 0.1)
    assert (leak.reference_basis, leak.bound_basis) == ("by look-up", "per token")
    assert leak.flags == (metrics.ABOVE_BOUND, metrics.BELOW_REFERENCE)
    assert missing == NotMeasured("forward", "prior", "inversion", "no number", "number_accuracy")
    assert isinstance(member, Leak) and (member.metric, member.chance) == ("auc", 0.5)
    append_record(tmp_path / "records.jsonl", record)
    assert read_records(tmp_path / "records.jsonl") == [record]
    assert "ceiling" not in (tmp_path / "records.jsonl").read_text()


def test_records_of_schema_1_lose_their_flag(tmp_path):
    values = json.loads(SCHEMA_2.read_text())
    flagged = [{**each, "headline": True} for each in values["leakage"]]
    record = CellResult.from_json({**values, "schema": 1, "leakage": flagged})
    assert record == read_records(SCHEMA_2)[0]
    assert "headline" not in json.dumps(record.to_json())


@pytest.mark.parametrize("schema", [0, 4, None, "2", True])
def test_any_other_schema_is_refused_in_one_line(schema, tmp_path):
    values = json.loads(SCHEMA_2.read_text())
    (tmp_path / "records.jsonl").write_text(json.dumps({**values, "schema": schema}) + "\n")
    with pytest.raises(ValueError, match=r"jsonl:1: expected schema of 1, 2, 3, got schema=") as e:
        read_records(tmp_path / "records.jsonl")
    assert "\n" not in str(e.value)


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
