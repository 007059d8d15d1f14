"""A defence has one colour and marker in all figures that are drawn together."""

from pathlib import Path

import pytest

from reports.drawing.style import style_of
from reports.figures.settings import settings_of
from reports.plots.catalogue import order_of, pieces
from reports.plots.run import read_runs
from reports.plots.written import _together

ROOT = Path("docs/results")
MARKED = ("utility", "frontier", "epsilon", "cost")


def looks(figure) -> dict[str, tuple[str, str]]:
    """Colour and marker of each series in the key of a figure."""
    (key,) = figure.legends
    found = zip(key.get_texts(), key.legend_handles, strict=True)
    return {
        text.get_text(): (str(mark.get_color()), str(mark.get_marker()))
        for text, mark in found
        if mark.get_marker() not in ("None", "") and mark.get_color() != "none"
    }


def test_one_look_in_all_figures_of_a_run_and_one_colour_in_those_of_several() -> None:
    runs = read_runs([ROOT / "frontier-sst2", ROOT / "one-message-sst2"])
    order, style = order_of(runs), style_of("paper", "page")
    seen: dict[str, tuple[str, str]] = {}
    several = 0
    for run in runs:
        for kind in MARKED:
            for _, piece in pieces(kind, run):
                for name, look in looks(piece.ordered(order).draw(style)).items():
                    several += name in seen
                    assert seen.setdefault(name, look) == look, (kind, name)
    assert several > 6 and len(set(seen.values())) == len(seen)
    _, piece = _together(runs, order)[0]
    together = looks(piece.draw(style))
    assert len(set(together.values())) == len(together) > 6
    for name, (colour, _) in together.items():
        own = name.split(": ", 1)[1]
        if own in seen:
            assert seen[own][0] == colour


def test_a_setting_without_an_attack_of_a_family_keeps_its_name() -> None:
    (run,) = read_runs([ROOT / "frontier-sst2"])
    names = {each.series for each in settings_of(run.records, "sst2")}
    for kind in MARKED:
        for _, piece in pieces(kind, run):
            assert set(piece.data.series) <= names


@pytest.mark.parametrize("width", ["column", "page"])
def test_no_title_of_an_axis_is_cut(width: str) -> None:
    (run,) = read_runs([ROOT / "glue-minilm"])
    piece = next(each for task, each in pieces("utility", run) if task == "cola")  # cut once
    figure = piece.draw(style_of("paper", width))
    for axes in figure.axes:
        for label in (axes.xaxis.label, axes.yaxis.label):
            box = label.get_window_extent()
            assert not label.get_text() or (box.x0 >= 0 and box.x1 <= figure.bbox.width)
