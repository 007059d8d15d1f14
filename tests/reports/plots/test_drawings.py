"""Drawings beside those that were looked at: `pytest --mpl-generate-path=DIR` makes them anew.

Letters are drawn without hinting, in layout and in pixels: how a build of FreeType hints them moves
the root mean square by 30 and more. What is left is far below the tolerance, and a title moved by
one pixel far above it, which is tested.
"""

import io
from dataclasses import replace

import matplotlib
import matplotlib.style
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from reports.drawing import rates
from reports.drawing.places import overlap, within
from reports.drawing.rates import thinned
from reports.drawing.style import style_of
from reports.figures.claims import claims_data
from reports.figures.roc import Curve, roc_data
from reports.figures.utility import leakage_data, partition_data
from reports.plots.catalogue import _of
from reports.rows import setting_rows
from reports.scores import Scored
from reports.tradeoff import Allowed
from tests.reports import examples
from tests.reports.plots.test_data import AUDIT

TOLERANCE, DOTS = 4, 80
compared = pytest.mark.mpl_image_compare(
    baseline_dir="baseline", tolerance=TOLERANCE, style="default", savefig_kwargs={"dpi": DOTS}
)


@pytest.fixture(autouse=True)
def unhinted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Letters as their outlines are, whatever the machine's FreeType does with them."""
    monkeypatch.setitem(matplotlib.rcParamsDefault, "text.hinting", "none")


def _records(seeds=2):
    return [examples.done("sst2", "parallel", d, s) for d in (0, 1, 2, 3, 4) for s in range(seeds)]


def _drawn(module: str, name: str, draw: str, records, style="paper") -> Figure:
    data = _of(f"figures.{module}", f"{name}_data")(records, "sst2")
    where, _, what = draw.partition(":")
    return _of(f"drawing.{where}", what)(data, style_of(style))


@compared
def test_frontier() -> Figure:
    return _drawn("volume", "front", "scatter:draw_front", _records())


@compared
def test_frontier_grey() -> Figure:
    return _drawn("volume", "front", "scatter:draw_front", _records(), "grey")


@compared
def test_epsilon() -> Figure:
    return _drawn("epsilon", "epsilon", "curves:draw_epsilon", _records())


@compared
def test_views() -> Figure:
    return _drawn("views", "views", "tiles:draw_views", _records())


@compared
def test_ranking() -> Figure:
    return _drawn("ranking", "ranking", "tiles:draw_ranking", _records())


@compared
def test_cost() -> Figure:
    return _drawn("cost", "cost", "scatter:draw_cost", _records(1))


@compared
def test_claims() -> Figure:
    records = [replace(examples.done("sst2", "fedavg", 6), audit=AUDIT)]
    assert claims_data(records, "sst2") is not None
    return _drawn("claims", "claims", "curves:draw_claims", records)


@compared
def test_roc() -> Figure:
    records = [examples.done("sst2", "parallel", d) for d in (0, 3)]
    curve = {"view": "release", "kind": "guarantee", "unit": "record", "sentence": ".",
             "relation": "replace-one", "epsilon": 1.0, "delta": 0.0, "releases": 1,
             "scope": "data set", "tradeoff": [[0.001, 0.003], [0.01, 0.03], [0.1, 0.25]],
             "advantage": 0.47, "tradeoff_basis": "by hand"}  # fmt: skip
    records[1] = replace(records[1], guarantees=[*records[1].guarantees, curve])
    rng = np.random.default_rng(1)
    members = np.arange(1200) < 600
    scores = {r.cell: {"loss threshold": Scored(rng.normal(size=1200) + 0.6 * members, members, 0)}
              for r in records}  # fmt: skip
    return _of("drawing.rates", "draw_rates")(roc_data(records, scores), style_of())


@compared
def test_partition() -> Figure:
    data = partition_data({"a": {"no": 1, "yes": 2}, "b": {"yes": 3, "maybe": 4}})
    return _of("drawing.bars", "draw_clients")(data, "sst2", style_of())


@pytest.mark.parametrize("width", ["column", "page"])
def test_no_two_labels_overlap_and_none_leaves_its_axes(width: str) -> None:
    data = leakage_data(setting_rows(examples.grid(("sst2",))), "sst2", "inversion")
    assert data is not None
    figure = _of("drawing.scatter", "draw_trade")(data, style_of("paper", width))
    figure.draw_without_rendering()
    seen = 0
    for axes in figure.axes:
        frame = tuple(axes.get_window_extent().padded(0.5).extents)
        texts = [each for each in axes.texts if each.get_text()]
        boxes = [tuple(text.get_window_extent().extents) for text in texts]
        assert all(within(box, frame) for box in boxes)
        assert not any(overlap(a, b) for n, a in enumerate(boxes) for b in boxes[n + 1 :])
        seen += len(boxes)
    assert seen >= 5  # three levels of token noise, one of sequences, one of clients


def test_a_thinned_curve_ends_as_the_whole_and_never_lies_above_it() -> None:
    fpr = np.arange(1, 5001) / 5000
    tpr = np.sqrt(fpr)
    xs, ys = thinned(Curve("a", tuple(fpr), tuple(tpr), None, None))
    assert len(xs) < 200 and (xs[-1], ys[-1]) == (1.0, 1.0)
    assert all(y == pytest.approx(x**0.5) for x, y in zip(xs, ys, strict=True))


def test_what_a_claim_allows_between_two_stored_rates_is_not_shaded() -> None:
    """A straight line between the stored rates would forbid what a concave curve allows."""
    claim = Allowed("release", "record", ((0.001, 0.1), (0.1, 0.5)), 0.5)
    axes = Figure().subplots()
    rates._forbidden(axes, claim)
    (region,) = axes.collections
    for fpr in (0.002, 0.02, 0.09):
        most = claim.tpr_at(fpr)
        below, above = (
            any(path.contains_point((fpr, tpr)) for path in region.get_paths())
            for tpr in (most - 1e-6, most + 1e-3)
        )
        assert above and not below


def test_a_pixel_and_a_hint_are_told_apart() -> None:
    """The tolerance lets pass what no one sees, and nothing that moved by a pixel."""

    def pixels(figure: Figure) -> np.ndarray:
        with matplotlib.style.context("default"), io.BytesIO() as held:
            figure.savefig(held, dpi=DOTS)
            return np.asarray(Image.open(held).convert("RGB"), dtype=np.float64)

    def apart(one: np.ndarray, other: np.ndarray) -> float:
        return float(np.sqrt(np.mean((one - other) ** 2)))

    figure = _drawn("volume", "front", "scatter:draw_front", _records())
    first, title = pixels(figure), figure.texts[0]
    assert apart(first, pixels(figure)) == 0
    x, y = title.get_position()
    title.set_position((x + 1 / (DOTS * figure.get_size_inches()[0]), y))
    assert apart(first, pixels(figure)) > 2 * TOLERANCE
