"""Scatter plots for a paper: utility against leakage, frontiers, and what settings cost."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullFormatter, NullLocator

from reports import metrics
from reports.drawing.letters import plain_text
from reports.drawing.marks import (
    LONGEST,
    Dot,
    Triple,
    draw_dots,
    label_axis,
    label_dots,
    log_ticks,
    padded,
    roomy,
    settle,
    toward,
)
from reports.drawing.places import Box
from reports.drawing.style import FAINT, Style, begin, draw_key, drawn_in, handle, key_lines, tidy
from reports.estimate import Estimate
from reports.figures.cost import CostFigure
from reports.figures.naming import mark_of
from reports.figures.utility import LeakageFigure
from reports.figures.volume import FrontFigure
from reports.wording import duration, interval, size

HEIGHT = 2.1  # inches of a panel
TICKS = {"bytes": lambda x, _: size(x), "seconds": lambda x, _: duration(x)}
SHARE = "worst attack, all views\n(share of what lies above chance) → worse"


def draw_trade(data: LeakageFigure, style: Style) -> Figure:
    """Utility against leakage, a panel per unit of privacy, both intervals as bars."""
    every = [point for panel in data.panels for point in panel.points]
    series = data.series
    hollow = any(point.reference for point in every) and any(not p.reference for p in every)
    bare = [point.series for point in every if point.reference] if hollow else []
    handles = _marks(style, series, bare, data.order)
    handles += [
        reference_line(style, "majority class", "--", value, of) for of, value in data.majority
    ]
    handles += [reference_line(style, "chance", ":", value, of) for of, value in data.chance]

    def make(times: float) -> tuple[Figure, int]:
        panels = []
        for panel in data.panels:
            dots = [
                Dot(mark_of(p.series, data.order, series), _triple(p.leakage),
                    _triple(p.utility), p.level, p.reference and hollow)
                for p in panel.points
            ]  # fmt: skip
            panels.append((panel.title, dots))
        title = f"{data.task}: utility against {data.family}"
        figure, axes = stacked(style, title, data.notice, panels, handles, times)
        worst = metrics.WORST[data.family]
        for each in axes:
            _reference(each, data.majority, data.chance)
            title = toward(worst, f"worst {data.family}: {metrics.title(worst)}")
            label_axis(each.xaxis, title, LONGEST if len(axes) > 1 else style.letters)
            label_axis(each.yaxis, toward(data.utility_metric))
            if _in_logarithms(data):
                each.set_yscale("log")
                each.yaxis.set_minor_formatter(NullFormatter())
        return figure, labelled(figure, axes, style, panels)

    with drawn_in(style):
        return roomy(make)


def draw_front(data: FrontFigure, style: Style) -> Figure:
    """Frontiers, a panel per unit of privacy; what lies behind each is shaded."""
    series = data.series
    bare = [s.series for p in data.panels for s in p.spots if not s.claimed]
    handles = _marks(style, series, bare, data.order)
    handles.append(Line2D([], [], color="#000000", linewidth=1.2, label="frontier"))
    if data.baseline is not None:
        handles.append(reference_line(style, "constant answer", "--", data.baseline))

    def make(times: float) -> tuple[Figure, int]:
        panels = []
        for panel in data.panels:
            dots = [
                Dot(
                    mark_of(s.series, data.order, series),
                    s.leakage,
                    s.utility,
                    s.level,
                    not s.claimed,
                )
                for s in panel.spots
            ]
            volume = f"\nhypervolume {interval(panel.volume)}" if panel.volume else ""
            panels.append((f"unit of privacy: {panel.unit}{volume}", dots))
        title = f"{data.task}: frontier, a panel per unit of privacy"
        figure, axes = stacked(style, title, data.notice, panels, handles, times)
        for each, panel in zip(axes, data.panels, strict=True):
            _front(each, panel.line, data.baseline)
            each.set_xlabel(SHARE)
            label_axis(each.yaxis, data.vertical.replace(" (higher is better)", " → better"))
        return figure, labelled(figure, axes, style, panels)

    with drawn_in(style):
        return roomy(make)


def draw_cost(data: CostFigure, style: Style) -> Figure:
    """Utility against bytes, and against seconds, both in logarithms."""
    series = data.series
    handles = _marks(style, series, [], data.order)
    if data.baseline is not None:
        handles.append(reference_line(style, "majority class", "--", data.baseline))
    named = {
        "bytes": "sent in all → worse",
        "seconds": "time of training → worse\n(median; bars: least and most over seeds)",
    }

    def make(times: float) -> tuple[Figure, int]:
        panels = []
        for part in data.parts:
            dots = [
                Dot(mark_of(p.series, data.order, series), spent, _triple(p.utility), p.level)
                for p in data.points
                if (spent := getattr(p, part)) is not None
            ]
            panels.append(("", dots))
        title = f"{data.task}: what was sent and how long it took"
        figure, axes = stacked(style, title, data.notice, panels, handles, times)
        for each, part, (_, dots) in zip(axes, data.parts, panels, strict=True):
            each.set_xscale("log")
            ends = [end for dot in dots for end in dot.x]
            low, high = min(ends) / 1.6, max(ends) * 2.2
            each.set_xlim(low, high)
            each.xaxis.set_major_locator(FixedLocator(log_ticks(low, high)))
            each.xaxis.set_major_formatter(FuncFormatter(TICKS[part]))
            each.xaxis.set_minor_locator(NullLocator())
            if data.baseline is not None:
                each.axhline(data.baseline, color=FAINT, linestyle="--", zorder=1)
            each.set_xlabel(named[part])
            label_axis(each.yaxis, data.vertical.replace(" (higher is better)", " → better"))
        return figure, labelled(figure, axes, style, panels)

    with drawn_in(style):
        return roomy(make)


Panels = Sequence[tuple[str, Sequence[Dot]]]


def stacked(
    style: Style, title: str, notice: str, panels: Panels, handles: Sequence[Line2D], times: float
) -> tuple[Figure, list[Axes]]:
    """A figure with panels, beside each other on a page and one above the other in a column."""
    wide = 2 if style.width > 5 and len(panels) > 1 else 1
    rows = -(-len(panels) // wide)
    more = max(text.count("\n") for text, _ in panels) * style.line
    _, keys = key_lines(style, [str(each.get_label()) for each in handles])
    height = rows * (HEIGHT * times * style.size / 8 + more + 4 * style.line)
    figure = begin(style, height, title, notice, keys)
    grid = figure.subplots(rows, wide, squeeze=False)
    every: list[Any] = [axes for line in grid for axes in line]
    for axes, (text, dots) in zip(every, panels, strict=False):
        tidy(axes)
        draw_dots(axes, style, dots)
        if text:
            axes.set_title("\n".join(map(plain_text, text.split("\n"))), loc="left")
    for axes in every[len(panels) :]:
        axes.set_axis_off()
    draw_key(figure, style, handles)
    return figure, every[: len(panels)]


def labelled(figure: Figure, axes: Sequence[Axes], style: Style, panels: Panels) -> int:
    """How many labels of all panels found no room."""
    settle(figure)
    return sum(
        label_dots(figure, each, style, dots, _lines(each))
        for each, (_, dots) in zip(axes, panels, strict=True)
    )


def _lines(axes: Axes) -> list[Box]:
    """The lines of reference through the axes, and steps, in data coordinates."""
    (left, right), (low, high) = axes.get_xlim(), axes.get_ylim()
    found: list[Box] = []
    for line in axes.get_lines():
        points: Any = line.get_xydata()
        xs, ys = points.T.tolist()
        if line.get_drawstyle() == "steps-post":
            found += [(xs[i - 1], ys[i - 1], xs[i], ys[i - 1]) for i in range(1, len(xs))]
            found += [(xs[i], ys[i - 1], xs[i], ys[i]) for i in range(1, len(xs))]
        if len(xs) == 2 and line.get_linestyle() in ("--", ":", "-."):
            found.append(
                (xs[0], low, xs[0], high) if xs[0] == xs[1] else (left, ys[0], right, ys[0])
            )
    return found


def _front(axes: Axes, line: Sequence[tuple[float, float]], baseline: float | None) -> None:
    """None; the frontier is drawn, and what lies behind it shaded."""
    xs, ys = [x for x, _ in line], [y for _, y in line]
    floor = min(ys) if baseline is None else baseline
    axes.plot([xs[0], *xs, 1.0], [floor, *ys, ys[-1]], color="#000000", linewidth=1.2,
              drawstyle="steps-post", zorder=2)  # fmt: skip
    axes.fill_between([*xs, 1.0], [*ys, ys[-1]], floor, step="post", color="#DDDDDD", zorder=0,
                      where=[y > floor for y in [*ys, ys[-1]]])  # fmt: skip
    axes.axvline(0, color=FAINT, linestyle=":", zorder=1)
    if baseline is not None:
        axes.axhline(baseline, color=FAINT, linestyle="--", zorder=1)
    left, _ = axes.get_xlim()
    axes.set_xlim(min(-0.04, left), 1.04)


def _reference(
    axes: Axes, majority: Sequence[tuple[str, float]], chance: Sequence[tuple[str, float]]
) -> None:
    """None; the lines of reference are drawn, and the axes hold them."""
    for _, value in majority:
        axes.axhline(value, color=FAINT, linestyle="--", zorder=1)
    for _, value in chance:
        axes.axvline(value, color=FAINT, linestyle=":", zorder=1)
    axes.set_xlim(*padded(*axes.get_xlim(), 0.04))
    axes.set_ylim(*padded(*axes.get_ylim(), 0.04))


def _in_logarithms(data: LeakageFigure) -> bool:
    """Whether an unbounded metric spans more than a tenfold."""
    known = metrics.METRICS.get(data.utility_metric)
    ends = [end for panel in data.panels for p in panel.points
            for end in (p.utility.low, p.utility.high)]  # fmt: skip
    unbounded = known is not None and known.high is None
    return unbounded and min(ends) > 0 and max(ends) > 10 * min(ends)


def _marks(
    style: Style, series: Sequence[str], bare: Sequence[str], order: Sequence[str]
) -> list[Line2D]:
    """What marks stand for; bare: the series without any guarantee, which are drawn hollow."""
    found = []
    for name in series:
        look = style.look(mark_of(name, order, series)) | {"linestyle": "none"}
        inside = {"markerfacecolor": "white"} if name in bare else {}
        found.append(handle(style, name, **look, **inside))
    if bare:
        told = "hollow: no (ε, δ) in any view"
        found.append(handle(style, told, color="none", linestyle="none"))
    return found


def reference_line(style: Style, name: str, dash: Any, value: float, of: str = "") -> Line2D:
    """What a line of reference stands for, with its value."""
    label = f"{name} {value:.3g}{f' ({of})' if of else ''}"
    return handle(style, label, color=FAINT, linestyle=dash)


def _triple(estimate: Estimate) -> Triple:
    return estimate.value, estimate.low, estimate.high
