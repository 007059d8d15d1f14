"""ROC curves as PNG bytes, both axes logarithmic: the same data, the same bytes."""

import textwrap
from typing import Literal

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.drawing.notice import draw_notice, notice_room
from reports.drawing.utility import LINE, PALETTE, WIDTH, bare, key_text, plain_text, png_bytes
from reports.figures.roc import WHERE, RocFigure, RocPanel

COLUMNS, HEIGHT = 2, 2.9  # panels in a row; inches of each
TITLE, LINES = 34, 4  # characters of a panel's title in a line where two share a row; lines of it
DASHES: tuple[Literal["-", "--", ":"], ...] = ("-", "--", ":")
LOWEST = 1e-3


def draw_roc(data: RocFigure) -> bytes:
    """A PNG: a panel per setting, a curve per attack, intervals at 1 % false alarms."""
    columns = min(COLUMNS, len(data.panels))
    rows = -(-len(data.panels) // columns)
    entries = len(data.attacks) + 1 + any(panel.allows for panel in data.panels)
    legend = 0.2 * (-(-entries // 3))
    titles = [wrapped(panel.title, TITLE * COLUMNS // columns) for panel in data.panels]
    more = LINE * max(title.count("\n") for title in titles)
    room = notice_room(data.notice)
    top, bottom, gap = 0.62 + room + legend + more, 0.5, 0.75 + more  # inches
    total = top + rows * HEIGHT + (rows - 1) * gap + bottom
    wide = (WIDTH - 0.1) / columns - 0.75 if columns > 1 else WIDTH - 1.9
    with matplotlib.style.context("default"):
        figure = Figure(figsize=(WIDTH, total))
        for number, panel in enumerate(data.panels):
            row, column = divmod(number, columns)
            left = 0.65 + column * (wide + 0.75)
            low = total - top - HEIGHT - row * (HEIGHT + gap)
            axes = figure.add_axes((left / WIDTH, low / total, wide / WIDTH, HEIGHT / total))
            _panel(axes, panel, data)
            axes.set_title(titles[number], loc="left", fontsize=10)
        figure.text(
            0.02, 1 - 0.1 / total, plain_text(data.heading), fontsize=12, weight="bold", va="top"
        )
        draw_notice(figure, data.notice, 0.36, total)
        figure.legend(
            handles=_legend(data), loc="upper left", ncols=3, fontsize=8.5, frameon=False,
            bbox_to_anchor=(0.01, 1 - (0.32 + room) / total),
        )  # fmt: skip
        return png_bytes(figure)


def wrapped(title: str, width: int) -> str:
    """A panel's whole title in lines; of more than LINES the middle is left out: levels stand at
    the end, and tell apart.

    >>> wrapped("gaussian, token, target_epsilon=100.0 (parallel)", 30)
    'gaussian, token,\\ntarget_epsilon=100.0\\n(parallel)'
    """
    lines = textwrap.wrap(title, width) or ["-"]
    if len(lines) > LINES:
        lines = [*lines[: LINES // 2], "…", *lines[1 - LINES // 2 :]]
    return "\n".join(plain_text(line) for line in lines)


def _panel(axes: Axes, panel: RocPanel, data: RocFigure) -> None:
    """None; one setting's curves are on the axes."""
    axes.plot([LOWEST, 1], [LOWEST, 1], color="#666666", linestyle=(0, (1, 2)), linewidth=1)
    axes.axvline(WHERE, color="#CCCCCC", linewidth=0.8, zorder=0)
    for claim in panel.allows:
        fprs, tprs = zip(*claim.points, strict=True)
        axes.plot(fprs, tprs, color="#000000", linewidth=1.6, alpha=0.75)
    count = len(panel.curves)
    for number, curve in enumerate(panel.curves):
        colour, dash = _look(curve.attack, data)
        shown = [max(y, LOWEST) for y in curve.tpr]
        ends = ([*curve.fpr, 1.0], [*shown, 1.0])
        axes.plot(*ends, color=colour, linestyle=dash, linewidth=1.3, drawstyle="steps-post")
        if curve.at is not None:
            x = WHERE * 10 ** (0.25 * ((number + 0.5) / count - 0.5))  # side by side
            y = max(curve.at.value, LOWEST)
            errors = [[y - max(min(curve.at.low, y), LOWEST)], [max(curve.at.high - y, 0.0)]]
            axes.errorbar(x, y, yerr=errors, color=colour, elinewidth=0.9, capsize=1.5, zorder=3)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(LOWEST, 1)
    axes.set_ylim(LOWEST, 1.1)
    axes.set_xlabel("share of non-members accused", fontsize=9)
    axes.set_ylabel("share of members found", fontsize=9)
    bare(axes)


def _legend(data: RocFigure) -> list[Line2D]:
    """What colours and dashes stand for."""
    handles = []
    for name in data.attacks:
        colour, dash = _look(name, data)
        handles.append(Line2D([], [], color=colour, linestyle=dash, label=key_text(name, 34)))
    dots = Line2D([], [], color="#666666", linestyle=(0, (1, 2)), label="chance")
    claims = {claim.view for panel in data.panels for claim in panel.allows}
    if not claims:
        return [*handles, dots]
    label = f"most the claim allows of a record ({', '.join(sorted(claims))})"
    return [*handles, dots, Line2D([], [], color="#000000", linewidth=1.6, alpha=0.75, label=label)]


def _look(name: str, data: RocFigure) -> tuple[str, Literal["-", "--", ":"]]:
    """An attack's colour and dash."""
    number = data.attacks.index(name)
    return PALETTE[number % len(PALETTE)], DASHES[number // len(PALETTE) % len(DASHES)]
