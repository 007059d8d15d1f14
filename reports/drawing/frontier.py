"""Figure of utility against the worst attack, as PNG bytes: the same data, the same bytes."""

from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.drawing.notice import draw_notice, notice_room
from reports.drawing.utility import MARKERS, PALETTE, WIDTH, bare, key_text, plain_text, png_bytes
from reports.figures.frontier import FrontierFigure

HEIGHT, LEFT, BELOW = 3.6, 0.85, 0.6  # inches
GREY = "#444444"
MOST = (0, (6, 2, 1, 2, 1, 2))  # of the line of the leakage allowed


def draw_frontier(data: FrontierFigure) -> bytes:
    """A PNG: every setting with both intervals, its seeds as dots, the frontier as a line."""
    handles = _legend(data)
    room = notice_room(data.notice)
    top = 0.5 + room + 0.2 * (-(-len(handles) // 3)) + 0.15  # inches
    total = top + HEIGHT + BELOW
    with matplotlib.style.context("default"):
        figure = Figure(figsize=(WIDTH, total))
        box = (LEFT / WIDTH, BELOW / total, (WIDTH - LEFT - 0.25) / WIDTH, HEIGHT / total)
        _draw(figure.add_axes(box), data)
        title = f"{data.task}: utility against the worst attack, {data.against}"
        figure.text(0.02, 1 - 0.1 / total, plain_text(title), fontsize=12, weight="bold", va="top")
        draw_notice(figure, data.notice, 0.36, total)
        figure.legend(
            handles=handles, loc="upper left", ncols=3, fontsize=8.5, frameon=False,
            bbox_to_anchor=(0.01, 1 - (0.32 + room) / total),
        )  # fmt: skip
        return png_bytes(figure)


def _draw(axes: Axes, data: FrontierFigure) -> None:
    """None; settings, seeds, frontier and wishes are on the axes."""
    for spot in data.spots:
        colour, marker = _look(spot.group, data)
        (x, left, right), (y, low, high) = spot.leakage, spot.utility
        axes.errorbar(
            x, y, xerr=[[x - left], [right - x]], yerr=[[y - low], [high - y]], color=colour,
            marker=marker, markersize=13 if spot.chosen else 6, elinewidth=0.9, capsize=2,
            markerfacecolor=colour if spot.keeps else "white", linestyle="none", zorder=3,
            markeredgecolor="#000000" if spot.chosen else colour,
        )  # fmt: skip
        axes.plot(*zip(*spot.seeds, strict=True), ".", color=colour, markersize=4, alpha=0.6)
        axes.annotate(
            plain_text(spot.level, 40), (x, y), xytext=(7, 5), textcoords="offset points",
            fontsize=7.5, color=colour, zorder=4,
        )  # fmt: skip
    if data.line:
        xs, ys = zip(*data.line, strict=True)
        axes.plot(xs, ys, color=GREY, linewidth=1.2, drawstyle="steps-post", zorder=2)
    for value, dash in ((data.least, "-."), (data.majority, "--")):
        if value is not None:
            axes.axhline(value, color="#666666", linestyle=dash, linewidth=1, zorder=1)
    if data.most is not None:
        axes.axvline(data.most, color="#666666", linestyle=MOST, linewidth=1, zorder=1)
    axes.axvline(0, color="#666666", linestyle=":", linewidth=1.2, zorder=1)
    axes.set_xlim(min([-0.04, *(s.leakage[1] - 0.02 for s in data.spots)]), 1.04)
    axes.set_xlabel("worst attack: share of what lies above chance (lower is better)", fontsize=9)
    axes.set_ylabel(plain_text(data.vertical), fontsize=9)
    bare(axes)


def _legend(data: FrontierFigure) -> list[Line2D]:
    """What colours, markers and lines stand for."""
    handles = []
    for group in data.groups:
        colour, marker = _look(group, data)
        handles.append(
            Line2D([], [], color=colour, marker=marker, linestyle="none", label=key_text(group, 30))
        )
    if any(spot.chosen for spot in data.spots):
        handles.append(
            Line2D([], [], color="white", marker="o", markersize=10, linestyle="none",
                   markeredgecolor="#000000", label="large: the answer")
        )  # fmt: skip
    handles.append(
        Line2D([], [], color=GREY, marker="o", markerfacecolor="white", linestyle="none",
               label="hollow: less utility than needed")
    )  # fmt: skip
    handles.append(Line2D([], [], color=GREY, linewidth=1.2, label="frontier; dots: seeds"))
    if data.least is not None:
        handles.append(_key(f"utility needed {data.least:.3g}", "-."))
    if data.most is not None:
        handles.append(_key(f"leakage allowed {data.most:.3g}", MOST))
    if data.majority is not None:
        handles.append(_key(f"majority class {data.majority:.3g}", "--"))
    return [*handles, _key("chance", ":")]


def _key(label: str, dash: Any) -> Line2D:
    return Line2D([], [], color="#666666", linestyle=dash, label=label)


def _look(group: str, data: FrontierFigure) -> tuple[str, str]:
    """The colour and marker of a defence."""
    number = data.groups.index(group)
    return PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]
