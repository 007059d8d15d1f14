"""Recovery by class of token, and what each client holds, for a paper."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from reports.drawing.letters import key_text, plain_text
from reports.drawing.marks import settle
from reports.drawing.style import (
    LINE,
    Style,
    begin,
    draw_key,
    drawn_in,
    error_bars,
    handle,
    key_lines,
    tidy,
)
from reports.drawing.tiles import fitted
from reports.figures.classes import ClassesFigure
from reports.figures.utility import MANY, PartitionFigure

HATCHES = ("", "///", "...", "xxx", "\\\\\\", "+++", "ooo", "---")


def draw_classes(data: ClassesFigure, style: Style) -> Figure:
    """The share recovered of each class of token, a row per setting, intervals as bars."""
    handles = [
        handle(style, title, **(style.look(number) | {"linestyle": "none"}))
        for number, title in enumerate(data.titles)
    ]
    _, keys = key_lines(style, [str(each.get_label()) for each in handles])
    count = len(data.classes)
    with drawn_in(style):
        height = len(data.lines) * style.line * (0.55 * count + 0.8) + 3 * style.line
        title = f"{data.task}: recovery by token class, {data.view} view"
        figure = begin(style, height, title, data.notice, keys)
        axes = figure.subplots()
        tidy(axes)
        for row, line in enumerate(data.lines):
            for name, share in line.shares:
                number = data.classes.index(name)
                y = row + 0.7 * ((number + 0.5) / count - 0.5)
                bars = error_bars(share.low, share.value, share.high)
                look = style.look(number) | {"linestyle": "none"}
                axes.errorbar(share.value, y, xerr=bars, elinewidth=0.7, zorder=3, **look)
            if row:
                axes.axhline(row - 0.5, color=LINE, linewidth=0.8)
        most = 60 if style.width > 5 else 24
        names = [fitted((line.series, line.level), most) for line in data.lines]
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.5, -0.5)
        axes.set_xlim(-0.03, 1.03)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("share recovered → worse")
        draw_key(figure, style, handles)
        settle(figure)
        return figure


def draw_clients(data: PartitionFigure, task: str, style: Style) -> Figure:
    """The examples of each client by label, as one bar each."""
    counts = np.array(data.counts)
    many = len(data.clients) > MANY
    if many:
        counts = counts[np.argsort(-counts.sum(axis=1), kind="stable")]
    handles = [
        Patch(label=key_text(label, 24), **_fill(style, number))
        for number, label in enumerate(data.labels)
    ]
    _, keys = key_lines(style, [str(each.get_label()) for each in handles])
    with drawn_in(style):
        rows = min(len(data.clients), MANY)
        height = (1.2 * rows + 3) * style.line
        title = f"{task}: examples of each client"
        figure = begin(style, height, title, "", keys)
        axes = figure.subplots()
        tidy(axes)
        _stack(axes, style, counts, thin=many)
        if many:
            axes.set_yticks([])
            axes.set_ylabel(f"{len(data.clients)} clients, the largest first")
        else:
            names = [plain_text(client, 18) for client in data.clients]
            axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(data.clients) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("examples")
        draw_key(figure, style, handles)
        settle(figure)
        return figure


def _stack(axes: Axes, style: Style, counts: np.ndarray, thin: bool) -> None:
    """None; counts [client, label] are on the axes; thin: as areas, where bars are too many."""
    ends = np.cumsum(counts, axis=1)
    starts = ends - counts
    for number in range(counts.shape[1]):
        fill = _fill(style, number)
        if thin:
            ys = np.arange(len(counts) + 1) - 0.5
            left, right = (np.append(x[:, number], x[-1, number]) for x in (starts, ends))
            axes.fill_betweenx(ys, left, right, step="post", **fill)
        else:
            axes.barh(
                range(len(counts)), counts[:, number], left=starts[:, number], height=0.8, **fill
            )


def _fill(style: Style, number: int) -> dict[str, Any]:
    """Colour and hatch of a label, so that grey tells them apart too."""
    return {
        "facecolor": style.colours[number % len(style.colours)], "edgecolor": "white",
        "hatch": HATCHES[number % len(HATCHES)], "linewidth": 0.0,
    }  # fmt: skip
