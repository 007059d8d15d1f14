import io
from dataclasses import replace

import pytest
from matplotlib import image
from matplotlib.backends.backend_agg import FigureCanvasAgg

from reports.comparison import UNKNOWN
from reports.drawing.screen import png
from reports.drawing.style import begin, style_of
from reports.figures.utility import (
    comparison_data,
    describe,
    describe_partition,
    leakage_data,
    partition_data,
)
from reports.rows import setting_rows


def trade(data):
    return png(data, "scatter:draw_trade", describe(data))


def clients(data, task="sst2"):
    return png(data, "bars:draw_clients", describe_partition(data), task)


def _labels(panel):
    return {(point.label, point.group) for point in panel.points}


def test_a_panel_per_unit_with_the_references_in_each(examples):
    data = leakage_data(setting_rows(examples.grid()), "sst2", "inversion")
    assert data is not None
    assert [panel.unit for panel in data.panels] == ["token", "sequence", "client"]
    references = {("none", "parallel"), ("clip only", "parallel")}
    for panel in data.panels:
        assert {(p.label, p.group) for p in panel.points if p.reference} == references
    token, sequence, client = map(_labels, data.panels)
    assert token - references == {(f"gaussian token, eps {e}", "parallel") for e in (16, 8, 2)}
    assert sequence - references == {("gaussian sequence, eps 8", "parallel")}
    assert client - references == {("dp-fedavg, eps 8", "parallel")}
    ((_, majority),) = data.majority
    ((_, chance),) = data.chance
    assert majority == 0.509 and chance == pytest.approx(0.036)


def test_points_carry_both_intervals_of_their_row(examples):
    rows = setting_rows(examples.grid(("sst2",)))
    data = leakage_data(rows, "sst2", "membership")
    assert data is not None
    point = next(p for p in data.panels[0].points if p.label == "gaussian token, eps 8")
    row = next(row for row in rows if row.setting == point.label)
    assert row.membership is not None
    assert (point.leakage, point.utility) == (row.membership.estimate, row.utility)
    assert data.groups == ("parallel", "fedavg")


def test_without_any_guarantee_there_is_one_panel_and_without_points_none(examples):
    rows = setting_rows([examples.done(defence=0), examples.done(defence=1)])
    data = leakage_data(rows, "sst2", "inversion")
    assert data is not None and [panel.unit for panel in data.panels] == ["none"]
    assert leakage_data(rows, "cola", "inversion") is None
    assert leakage_data(setting_rows([examples.failed()]), "cola", "inversion") is None


def test_axes_say_which_direction_is_good(examples):
    rows = setting_rows(examples.grid())
    data = leakage_data(rows, "mlm", "membership")
    assert data is not None
    assert data.vertical == "perplexity (lower is better)"
    assert data.horizontal == "worst membership: AUC (lower is better)"


def test_runs_of_other_chance_have_a_line_each(examples):
    rows = setting_rows(examples.grid(("sst2",)))
    other = [replace(row, majority_baseline=0.7) for row in rows]
    data = comparison_data({"first": rows, "second": other}, "sst2", "inversion")
    assert data is not None and dict(data.majority) == pytest.approx(
        {"first": 0.509, "second": 0.7}
    )
    assert [group for group, _ in data.chance] == [""]  # one for both, as it is the same
    assert "Majority class of first at 0.509. Majority class of second at 0.7." in describe(data)
    alike = comparison_data({"first": rows, "second": rows}, "sst2", "inversion")
    assert alike is not None and trade(data) != trade(alike)


def test_a_comparison_is_coloured_by_run_or_by_strategy(examples):
    rows = setting_rows(examples.grid(("sst2",)))
    two = comparison_data({"first": rows, "second": rows}, "sst2", "membership")
    one = comparison_data({"first": rows}, "sst2", "membership")
    assert two is not None and two.groups == ("first", "second")
    assert one is not None and one.groups == ("parallel", "fedavg")
    assert {p.label for p in two.panels[0].points} >= {"none (parallel)", "none (fedavg)"}
    assert comparison_data({"first": rows}, "qqp", "membership") is None


@pytest.mark.parametrize("family", ["inversion", "membership"])
def test_the_same_data_give_the_same_picture(examples, family):
    rows = setting_rows(examples.grid(("sst2",)))
    data = leakage_data(rows, "sst2", family)
    assert data is not None
    picture = trade(data)
    assert picture == trade(data)
    pixels = image.imread(io.BytesIO(picture))
    assert pixels.shape[1] == 1113 and pixels.std() > 0.05
    other = setting_rows(examples.grid(("sst2",), seeds=1))
    changed = leakage_data(other, "sst2", family)
    assert changed is not None and trade(changed) != picture


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("text", ["$x^", "_hidden", "a $b$ c_d {", "\\frac", "", "x" * 500])
def test_no_label_is_read_as_mathematics(examples, text):
    record = examples.done(defence=3)
    labels = {**record.labels, "defence": text, "strategy": text, "task": text}
    data = leakage_data(setting_rows([replace(record, labels=labels)]), text, "inversion")
    assert data is not None and trade(data).startswith(b"\x89PNG")
    assert clients(partition_data({text: {text: 3}}), text).startswith(b"\x89PNG")


def test_a_picture_in_words(examples):
    data = leakage_data(setting_rows(examples.grid(("sst2",))), "sst2", "inversion")
    assert data is not None
    words = describe(data)
    assert "gaussian token, eps 8 (parallel)" in words and "Majority class at 0.509" in words


def test_partition_data_by_hand():
    data = partition_data({"a": {"no": 1, "yes": 2}, "b": {"yes": 3, "maybe": 4}})
    assert data.clients == ("a", "b") and data.labels == ("no", "yes", "maybe")
    assert data.counts == ((1, 2, 0), (0, 3, 4))
    assert describe_partition(data).startswith("Examples per client and label. a: 1 no, 2 yes")
    assert clients(data) == clients(data)


@pytest.mark.parametrize("counts", [{}, {"a": {}}, {"a": {"x": -1}}, {"a": {"x": 1.5}}])
def test_what_is_no_partition_is_refused(counts):
    with pytest.raises(ValueError, match="expected"):
        partition_data(counts)


def test_a_client_without_examples_and_many_labels_are_drawn():
    counts = {f"client {c}": {f"{k / 2:.1f}": c * k for k in range(11)} for c in range(40)}
    assert clients(partition_data(counts)).startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "notice",
    [
        f"no undefended row: {UNKNOWN}; " * 3,
        "this comparison is void: undefended training did not leave the majority class; " * 3,
        f"undefended training failed in 10 of 10 seeds: {UNKNOWN}",
    ],
)
def test_a_notice_stays_within_its_figure(notice):
    figure = begin(style_of("screen", "page"), 4.0, "a title", notice)
    renderer = FigureCanvasAgg(figure).get_renderer()
    assert all(text.get_window_extent(renderer).x1 <= figure.bbox.x1 for text in figure.texts)
