"""Figure of a decision: utility against the worst attack, and what was wished for of both."""

from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.drawing.marks import Dot, roomy
from reports.drawing.scatter import SHARE, labelled, reference_line, stacked
from reports.drawing.style import FAINT, Style, drawn_in, handle
from reports.figures.frontier import UNSEEN, FrontierFigure, left_out

MOST: Any = (0, (6, 2, 1, 2, 1, 2))  # of the line of the leakage allowed
RING = {"marker": "o", "markerfacecolor": "none", "markeredgecolor": "#000000"}
"""What stands around the answer."""


def draw_decision(data: FrontierFigure, style: Style) -> Figure:
    """Every setting with both intervals, its seeds as points, the frontier, what was wished for."""
    marks = data.marks
    dots = [
        Dot(marks[spot.group], spot.leakage, spot.utility, spot.level, not spot.keeps)
        for spot in data.spots
    ]

    def make(times: float) -> tuple[Figure, int]:
        title = f"{data.task}: utility against the worst attack, {data.against}"
        panels = [("", dots)]
        figure, (axes,) = stacked(style, title, data.notice, panels, _legend(data, style), times)
        _wished(axes, data, style)
        axes.set_xlim(min([-0.04, *(s.leakage[1] - 0.02 for s in data.spots)]), 1.04)
        axes.set_xlabel(SHARE if style.width < 5 else SHARE.replace("\n", " "))
        axes.set_ylabel(data.vertical.replace(" (higher is better)", " → better"))
        return figure, labelled(figure, [axes], style, panels)

    with drawn_in(style):
        return roomy(make)


def _wished(axes: Axes, data: FrontierFigure, style: Style) -> None:
    """None; the answer, the seeds, the frontier and the wish are on the axes."""
    for spot in data.spots:
        colour = style.look(data.marks[spot.group])["color"]
        if spot.dark:
            ends, at = [spot.leakage[2], 1.02], [spot.utility[0]] * 2
            axes.plot(ends, at, ":", color=colour, linewidth=0.9, zorder=1)
            axes.plot(ends[1:], at[1:], ">", color=colour, markersize=3, clip_on=False)
        if len(spot.seeds) > 1:
            axes.plot(*zip(*spot.seeds, strict=True), ".", color=colour, markersize=3, alpha=0.6)
        if spot.chosen:
            ring: dict[str, Any] = {**RING, "markersize": 1.3 * style.size, "linestyle": "none"}
            axes.plot([spot.leakage[0]], [spot.utility[0]], zorder=4, **ring)
    if data.line:
        xs, ys = zip(*data.line, strict=True)
        axes.plot(xs, ys, color="#000000", linewidth=1.2, drawstyle="steps-post", zorder=2)
    for value, dash in ((data.least, "-."), (data.majority, "--")):
        if value is not None:
            axes.axhline(value, color=FAINT, linestyle=dash, zorder=1)
    if data.most is not None:
        axes.axvline(data.most, color=FAINT, linestyle=MOST, zorder=1)
    axes.axvline(0, color=FAINT, linestyle=":", zorder=1)


def _legend(data: FrontierFigure, style: Style) -> list[Line2D]:
    """What colours, marks and lines stand for."""
    found = [
        handle(style, group, **(style.look(number) | {"linestyle": "none"}))
        for group, number in data.marks.items()
    ]
    if any(spot.chosen for spot in data.spots):
        found.append(handle(style, "the answer", **RING, markersize=style.size, linestyle="none"))
    if not all(spot.keeps for spot in data.spots):
        empty = {"marker": "o", "markerfacecolor": "white", "color": FAINT, "linestyle": "none"}
        found.append(handle(style, "hollow: not shown to keep enough", **empty))
    if any(spot.dark for spot in data.spots):
        found.append(handle(style, UNSEEN, color=FAINT, linestyle=":", marker=">"))
    several = any(len(spot.seeds) > 1 for spot in data.spots)
    found.append(handle(style, f"frontier{'; points: seeds' if several else ''}", color="#000000"))
    if data.least is not None:
        found.append(reference_line(style, "utility needed", "-.", data.least))
    if data.most is not None:
        found.append(reference_line(style, "leakage allowed", MOST, data.most))
    if data.majority is not None:
        found.append(reference_line(style, "majority class", "--", data.majority))
    found.append(handle(style, "chance", color=FAINT, linestyle=":"))
    if data.left:
        found.append(handle(style, left_out(data), linestyle="none"))
    return found
