"""Figure of recovery against cut depth, as PNG bytes: the same data, the same bytes."""

import math
import textwrap
from typing import Any

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from reports.drawing.notice import draw_notice, notice_room
from reports.drawing.utility import MARKERS, PALETTE, WIDTH, bare, key_text, plain_text, png_bytes
from reports.figures.depth import WORST, Depth, DepthFigure

COLUMNS, HEIGHT = 3, 2.1  # panels in a row, inches of one
TITLE = 36  # characters of a panel's title in a line
SHIFT = 0.06  # of a layer, between the lines of two attacks, so that bars do not hide each other


def draw_depth(data: DepthFigure) -> bytes:
    """A PNG: a panel per setting, a line per attack, intervals as bars; the worst one in black."""
    columns = min(COLUMNS, len(data.panels))
    rows = math.ceil(len(data.panels) / COLUMNS)
    keys = (len(data.attacks) + 1) // 3 + 1
    more = notice_room(data.notice)
    top, gap, bottom, left = 0.7 + more + 0.2 * keys, 0.8, 0.5, 0.6  # inches
    total = top + rows * HEIGHT + (rows - 1) * gap + bottom
    room = (WIDTH - left - 0.15) / columns
    with matplotlib.style.context("default"):
        figure = Figure(figsize=(WIDTH, total))
        handles: dict[str, Any] = {}
        for number, panel in enumerate(data.panels):
            row, column = divmod(number, COLUMNS)
            low = total - top - HEIGHT - row * (HEIGHT + gap)
            box = (left / WIDTH + column * room / WIDTH, low / total, (room - 0.25) / WIDTH,
                   HEIGHT / total)  # fmt: skip
            axes = figure.add_axes(box)
            _draw(axes, panel, data, handles)
            if column == 0:
                axes.set_ylabel("share of tokens recovered", fontsize=9)
        title = f"{data.task}: recovery against cut depth (lower is better)"
        figure.text(0.02, 1 - 0.1 / total, plain_text(title), fontsize=12, weight="bold", va="top")
        draw_notice(figure, data.notice, 0.36, total)
        figure.legend(
            list(handles.values()), [key_text(name, 34) for name in handles], loc="upper left",
            bbox_to_anchor=(0.01, 1 - (0.32 + more) / total), ncols=3, fontsize=8.5, frameon=False,
        )  # fmt: skip
        return png_bytes(figure)


def _title(setting: str) -> str:
    """A panel's title, in two lines where it is long: levels stand at the end, and tell apart."""
    lines = textwrap.wrap(plain_text(setting, 200), TITLE)
    return "\n".join(
        lines if len(lines) <= 2 else [lines[0], plain_text(" ".join(lines[1:]), TITLE)]
    )


def _draw(axes: Axes, panel: Depth, data: DepthFigure, handles: dict[str, Any]) -> None:
    """None; the lines of one setting are on `axes`, and their handles kept by name."""
    others = [name for name in data.attacks if name != WORST]
    for line in panel.lines:
        worst = line.attack == WORST
        number = 0 if worst else others.index(line.attack)
        shift = 0.0 if worst else SHIFT * (number - (len(others) - 1) / 2)
        colour = "#000000" if worst else PALETTE[number % (len(PALETTE) - 2)]
        values = [point.value for point in line.points]
        bars = [
            [point.value - point.low for point in line.points],
            [point.high - point.value for point in line.points],
        ]
        handles.setdefault(
            line.attack,
            axes.errorbar(
                [cut + shift for cut in line.cuts], values, yerr=None if worst else bars,
                color=colour, marker=None if worst else MARKERS[number % len(MARKERS)],
                markersize=4.5, linewidth=3.5 if worst else 1.2, alpha=0.25 if worst else 1.0,
                elinewidth=0.9, capsize=1.5, zorder=1 if worst else 3,
            ),
        )  # fmt: skip
    if data.chance is not None:
        handles.setdefault(
            f"chance {data.chance:.3g}",
            axes.axhline(data.chance, color="#666666", linestyle=":", linewidth=1.2, zorder=1),
        )
    axes.set_xticks(data.cuts)
    axes.set_xlim(min(data.cuts) - 0.4, max(data.cuts) + 0.4)
    axes.set_ylim(-0.04, 1.04)
    axes.set_title(_title(panel.setting), loc="left", fontsize=8.5)
    axes.set_xlabel("encoder layers before the cut", fontsize=9)
    bare(axes)
