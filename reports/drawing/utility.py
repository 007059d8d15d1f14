"""Figures of utility against leakage, as PNG bytes: the same data, the same bytes."""

import io
import textwrap
from collections.abc import Sequence
from typing import Literal

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from reports import metrics
from reports.drawing.notice import draw_notice, notice_room
from reports.figures.utility import LeakageFigure, Panel, PartitionFigure, Point

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8C8C8C")
"""Okabe and Ito's colours (2008), told apart in every common kind of colour blindness."""

WIDTH, LEFT, RIGHT = 7.4, 0.85, 2.35  # inches; the labels stand in the right margin
LINE = 0.17  # inches per line of a label
MARKERS = "osD^vPX*"


def draw_leakage(data: LeakageFigure) -> bytes:
    """A PNG: a panel per unit of privacy, both intervals as error bars, labels beside the axes."""
    heights = [max(2.6, LINE * (_label_lines(panel.points) + 1)) for panel in data.panels]
    keys = len(data.groups) + 1 + len(data.majority) + len(data.chance)
    room = notice_room(data.notice)
    top, gap, bottom = 1.0 + room + 0.2 * (max(keys, 3) // 3), 0.75, 0.6  # inches
    total = top + sum(heights) + gap * (len(heights) - 1) + bottom
    with matplotlib.style.context("default"):
        figure = Figure(figsize=(WIDTH, total))
        edge = total - top
        for panel, height in zip(data.panels, heights, strict=True):
            box = (
                LEFT / WIDTH,
                (edge - height) / total,
                (WIDTH - LEFT - RIGHT) / WIDTH,
                height / total,
            )
            axes = figure.add_axes(box)
            _draw_panel(axes, panel, data, height)
            edge -= height + gap
        title = f"{data.task}: utility against {data.family}"
        figure.text(0.02, 1 - 0.1 / total, plain_text(title), fontsize=12, weight="bold", va="top")
        draw_notice(figure, data.notice, 0.36, total)
        figure.legend(
            handles=_legend(data),
            loc="upper left",
            bbox_to_anchor=(0.01, 1 - (0.32 + room) / total),
            ncols=3,
            fontsize=8.5,
            frameon=False,
        )
        return png_bytes(figure)


def draw_partition(data: PartitionFigure, title: str = "examples per client") -> bytes:
    """A PNG: one bar per client, its examples by label side by side."""
    height = max(1.0, 0.3 * len(data.clients))  # inches
    rows = (len(data.labels) + 5) // 6
    total = height + 0.9 + 0.22 * rows
    most = max(1, *(sum(row) for row in data.counts))
    with matplotlib.style.context("default"):
        figure = Figure(figsize=(WIDTH, total))
        axes = figure.add_axes((0.17, 0.5 / total, 0.8, height / total))
        figure.text(0.02, 1 - 0.1 / total, plain_text(title), fontsize=12, weight="bold", va="top")
        starts = [0] * len(data.clients)
        for number, label in enumerate(data.labels):
            values = [row[number] for row in data.counts]
            colour = PALETTE[number % len(PALETTE)]
            bars = axes.barh(
                range(len(values)), values, left=starts, color=colour, edgecolor="white",
                hatch="//" if number >= len(PALETTE) else None, label=key_text(label, 24),
            )  # fmt: skip
            ink = "black" if colour in ("#56B4E9", "#E69F00", "#CC79A7", "#8C8C8C") else "white"
            texts = [str(value) if value > 0.06 * most else "" for value in values]
            axes.bar_label(bars, texts, label_type="center", color=ink, fontsize=8)
            starts = [start + value for start, value in zip(starts, values, strict=True)]
        names = [plain_text(client, 16) for client in data.clients]
        axes.set_yticks(range(len(names)), names, fontsize=9)
        axes.invert_yaxis()
        axes.set_xlabel("examples", fontsize=9)
        bare(axes)
        axes.legend(
            loc="lower left", bbox_to_anchor=(-0.02, 1.0), ncols=6, fontsize=8.5, frameon=False
        )
        return png_bytes(figure)


def _draw_panel(axes: Axes, panel: Panel, data: LeakageFigure, height: float) -> None:
    """None; the points of one panel are on `axes`, which is `height` inches high."""
    for point in panel.points:
        colour, marker = _look(point, data)
        x, y = point.leakage, point.utility
        axes.errorbar(
            x.value, y.value,
            xerr=[[x.value - x.low], [x.high - x.value]],
            yerr=[[y.value - y.low], [y.high - y.value]],
            color=colour, marker=marker, markersize=6, elinewidth=1, capsize=2, linestyle="none",
            markerfacecolor="white" if point.reference else colour, zorder=3,
        )  # fmt: skip
    _limits(axes, [point for each in data.panels for point in each.points], data)
    for group, value in data.majority:
        axes.axhline(value, color=_line(group, data), linestyle="--", linewidth=1, zorder=1)
    for group, value in data.chance:
        axes.axvline(value, color=_line(group, data), linestyle=":", linewidth=1.2, zorder=1)
    axes.set_title(plain_text(panel.title), loc="left", fontsize=10)
    axes.set_xlabel(plain_text(data.horizontal), fontsize=9)
    axes.set_ylabel(plain_text(data.vertical), fontsize=9)
    bare(axes)
    _labels(axes, panel.points, data, height)


def _limits(axes: Axes, points: Sequence[Point], data: LeakageFigure) -> None:
    """None; the axes hold every interval of all panels, an unbounded metric in logarithms."""
    known = metrics.METRICS.get(data.utility_metric)
    lows, highs = [p.utility.low for p in points], [p.utility.high for p in points]
    if known is not None and known.high is None and min(lows) > 0 and max(highs) > 10 * min(lows):
        axes.set_yscale("log")
        axes.set_ylim(min(lows) / 1.2, max(highs) * 1.2)
        axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.yaxis.set_minor_locator(NullLocator())
    else:
        ends = [*lows, *highs, *(value for _, value in data.majority)]
        pad = 0.06 * (max(ends) - min(ends)) or 0.05
        axes.set_ylim(min(ends) - pad, max(ends) + pad)
    if data.family == "inversion":
        axes.set_xlim(-0.04, 1.04)
    else:
        axes.set_xlim(
            min([0.45, *(p.leakage.low for p in points)]) - 0.01,
            max([0.7, *(p.leakage.high for p in points)]) + 0.01,
        )


def _labels(axes: Axes, points: Sequence[Point], data: LeakageFigure, height: float) -> None:
    """None; every point's label stands in the right margin, a thin line leading to the point."""
    to_axes = axes.transData + axes.transAxes.inverted()
    ends = {id(p): to_axes.transform((p.leakage.value, p.utility.value)) for p in points}
    ordered = sorted(points, key=lambda p: (ends[id(p)][1], ends[id(p)][0]))
    texts = [_wrapped(point.label) for point in ordered]
    sizes = [LINE * (text.count("\n") + 1) / height for text in texts]
    levels = spread([float(ends[id(point)][1]) for point in ordered], sizes)
    for point, text, level in zip(ordered, texts, levels, strict=True):
        colour, _ = _look(point, data)
        axes.annotate(
            text, (point.leakage.value, point.utility.value), xytext=(1.06, level),
            textcoords="axes fraction", fontsize=8.5, va="center", color=colour,
            annotation_clip=False, linespacing=1.0,
            arrowprops={"arrowstyle": "-", "color": "#999999", "linewidth": 0.8, "shrinkB": 4,
                        "linestyle": (0, (1, 2)), "shrinkA": 1, "relpos": (0, 0.5)}, zorder=2,
        )  # fmt: skip


def spread(wanted: Sequence[float], sizes: Sequence[float]) -> list[float]:
    """Centres within [0, 1], near the ascending `wanted` ones, whose `sizes` do not overlap.

    Where the sizes add up to more than 1 the last ones reach above it.

    >>> spread([0.5, 0.5], [0.2, 0.2])
    [0.5, 0.7]
    """
    placed: list[float] = []
    edge = 0.0
    for centre, size in zip(wanted, sizes, strict=True):
        placed.append(max(centre, edge + size / 2))
        edge = placed[-1] + size / 2
    edge = max(1.0, sum(sizes))
    for number in reversed(range(len(placed))):
        placed[number] = min(placed[number], edge - sizes[number] / 2)
        edge = placed[number] - sizes[number] / 2
    return placed


def _legend(data: LeakageFigure) -> list[Line2D]:
    """What colours, markers and lines stand for."""
    handles = [
        Line2D([], [], color=PALETTE[i % len(PALETTE)], marker=MARKERS[i % len(MARKERS)],
               linestyle="none", label=key_text(group, 30))
        for i, group in enumerate(data.groups)
    ]  # fmt: skip
    if any(point.reference for panel in data.panels for point in panel.points):
        handles.append(
            Line2D([], [], color="#444444", marker="o", markerfacecolor="white", linestyle="none",
                   label="hollow: no (epsilon, delta) in any view")
        )  # fmt: skip
    handles += [_key("majority class", "--", *each, data) for each in data.majority]
    return handles + [_key("chance", ":", *each, data) for each in data.chance]


def _key(
    name: str, dash: Literal["--", ":"], group: str, value: float, data: LeakageFigure
) -> Line2D:
    """What a line of reference stands for."""
    label = key_text(f"{name} {value:.3g}{f' ({group})' if group else ''}", 34)
    return Line2D([], [], color=_line(group, data), linestyle=dash, label=label)


def _line(group: str, data: LeakageFigure) -> str:
    """The colour of a line of reference: its group's, or grey for all."""
    return PALETTE[data.groups.index(group) % len(PALETTE)] if group else "#666666"


def _look(point: Point, data: LeakageFigure) -> tuple[str, str]:
    """The colour and marker of a point's group."""
    number = data.groups.index(point.group)
    return PALETTE[number % len(PALETTE)], MARKERS[number % len(MARKERS)]


def _label_lines(points: Sequence[Point]) -> int:
    return sum(_wrapped(point.label).count("\n") + 1 for point in points)


def _wrapped(label: str) -> str:
    """A label of at most three lines."""
    lines = textwrap.wrap(label, 30, max_lines=3, placeholder="…") or ["-"]
    return plain_text("\n".join(lines))


def plain_text(text: str, longest: int = 90) -> str:
    """`text`, shortened, with nothing in it that matplotlib would read as mathematics."""
    text = text if len(text) <= longest else text[: longest - 1] + "…"
    return text.encode("utf-8", "replace").decode("utf-8").replace("$", r"\$")


def key_text(text: str, longest: int) -> str:
    """`text` for a legend, which would leave out what starts with an underscore or is empty."""
    return plain_text(f" {text}" if text.startswith("_") else text or "-", longest)


def bare(axes: Axes) -> None:
    """None; the axes have a light grid and no box."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#E5E5E5", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8.5)


def png_bytes(figure: Figure) -> bytes:
    """The figure as PNG, without a note of the software or the time."""
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return buffer.getvalue()
