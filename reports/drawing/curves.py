"""Curves for a paper: by epsilon, by round and by cut depth, and what canaries showed of claims."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator, StrMethodFormatter

from reports.drawing.marks import Dot, draw_dots, label_dots, log_ticks, roomy, settle
from reports.drawing.style import (
    FAINT,
    SHADE,
    Style,
    begin,
    draw_key,
    drawn_in,
    error_bars,
    handle,
    key_lines,
    tidy,
    wrapped,
)
from reports.figures.claims import ClaimsFigure, ClaimsPanel
from reports.figures.depth import WORST, Depth, DepthFigure
from reports.figures.epsilon import EpsilonFigure, EpsilonPanel
from reports.figures.live import LiveFigure
from reports.figures.naming import mark_of, shortened
from reports.figures.training import Course, TrainingFigure

HEIGHT = 1.45  # inches of a panel
Draw = Callable[[Axes], None]


def draw_epsilon(data: EpsilonFigure, style: Style) -> Figure:
    """Utility on the left and leakage on the right, a row for each kind of epsilon."""
    series = list(data.series)
    looks = {name: style.look(mark_of(name, data.order, series)) for name in series}
    handles = [handle(style, name, **look) for name, look in looks.items()]
    handles.append(handle(style, "undefended", color=FAINT, linestyle="--"))
    if data.baseline is not None:
        handles.append(handle(style, "majority class", color=FAINT, linestyle=":"))
    with drawn_in(style):
        title = f"{data.task}: by claimed ε, a row per unit of privacy"
        rows = len(data.panels)
        figure, axes = _grid(style, title, data.notice, handles, rows, 2, 1)
        for (left, right), panel in zip(axes, data.panels, strict=True):
            _by_epsilon(left, panel, looks, 0)
            _by_epsilon(right, panel, looks, 1)
            if data.baseline is not None:
                left.axhline(data.baseline, color=FAINT, linestyle=":", zorder=1)
            named = wrapped(f"per {panel.title}", style.letters)
            left.set_title("\n".join(named), loc="left").set_in_layout(False)
            right.set_title(" ")
            left.set_ylabel(data.vertical.replace(" (higher is better)", " → better"))
            right.set_ylabel("leakage → worse")
        settle(figure)
        return figure


def draw_training(data: TrainingFigure, style: Style) -> Figure:
    """Epsilon spent and shown by round, and the loss where it is known, a row per training."""
    who = f", seed {data.seed}" if data.seed else ""
    return _courses(f"{data.task}: training by round{who}", data.notice, data.courses, style)


def draw_live(data: LiveFigure, style: Style) -> Figure:
    """One training's epsilon by round: spent, shown by canaries, and claimed."""
    own = Course("", (), data.spent, data.bound, data.claimed, data.confidence, data.notice)
    return _courses(data.title, data.notice, [own], style)


def _courses(title: str, notice: str, courses: Sequence[Course], style: Style) -> Figure:
    """Trainings by round, a row each."""
    looks = {
        "loss": style.look(0),
        "spent": style.look(1),
        "shown": style.look(2),
    }
    losses = any(each.loss for each in courses)
    spent = any(each.spent or each.bound for each in courses)
    sure = next((each.confidence for each in courses if each.confidence), "")
    handles = [handle(style, "mean loss", **looks["loss"])] if losses else []
    if any(each.spent for each in courses):
        handles.append(handle(style, "ε spent so far", **looks["spent"]))
    if any(each.bound for each in courses):
        handles.append(handle(style, f"ε shown by canaries ({sure})", **looks["shown"]))
    if any(each.claimed is not None for each in courses):
        handles.append(handle(style, "ε claimed for all rounds", color=FAINT, linestyle="--"))
    draws: list[tuple[Draw, str]] = []
    for each in courses:
        if losses:
            draws.append((lambda axes, own=each: _loss(axes, own, looks), each.name))  # type: ignore[misc]
        if spent or not losses:
            draws.append((lambda axes, own=each: _spent(axes, own, looks), each.name))  # type: ignore[misc]
    with drawn_in(style):
        figure = _panels(style, title, notice, handles, draws)
        settle(figure)
        return figure


def draw_depths(data: DepthFigure, style: Style) -> Figure:
    """Tokens recovered by cut layer, a panel per setting, a curve per attack."""
    names = [name for name in data.attacks if name != WORST]
    handles = (
        [handle(style, WORST, color="#BBBBBB", linewidth=3.0)] if WORST in data.attacks else []
    )
    handles += [handle(style, name, **style.look(n)) for n, name in enumerate(names)]
    if data.chance is not None:
        handles.append(handle(style, f"chance {data.chance:.3g}", color=FAINT, linestyle=":"))
    draws: list[tuple[Draw, str]] = [
        (lambda axes, own=panel: _depth(axes, own, data, names, style), panel.setting)  # type: ignore[misc]
        for panel in data.panels
    ]
    with drawn_in(style):
        title = f"{data.task}: recovery against cut depth"
        figure = _panels(style, title, data.notice, handles, draws)
        settle(figure)
        return figure


def draw_claims(data: ClaimsFigure, style: Style) -> Figure:
    """What canaries show at least against what is claimed; above the diagonal no claim stands."""
    series = list(data.series)
    marks = {name: mark_of(name, data.order, series) for name in series}
    handles = [
        handle(style, name, **(style.look(number) | {"linestyle": "none"}))
        for name, number in marks.items()
    ]
    handles.append(handle(style, "shown = claimed; shaded: cannot stand", color="#000000"))

    def make(times: float) -> tuple[Figure, int]:
        sure = f"{100 * data.confidence:g} %"
        title = f"{data.task}: claimed ε against what canaries show"
        rows = len(data.panels)
        figure, axes = _grid(style, title, "", handles, rows, 1, 1.4 * times)
        lost = 0
        dots = [_shown(axes[n][0], panel, marks, style) for n, panel in enumerate(data.panels)]
        for (each,), panel in zip(axes, data.panels, strict=True):
            each.set_title(f"unit of privacy: {panel.unit}", loc="left")
            each.set_xlabel("claimed ε")
            each.set_ylabel(f"shown ε at least ({sure}) → worse")
        settle(figure)
        for (each,), own in zip(axes, dots, strict=True):
            lost += label_dots(figure, each, style, own)
        return figure, lost

    with drawn_in(style):
        return roomy(make)


def _grid(
    style: Style, title: str, notice: str, handles: Sequence[Line2D], rows: int, columns: int,
    times: float,
) -> tuple[Figure, Any]:  # fmt: skip
    """A figure of so many panels, their axes [row][column]."""
    _, keys = key_lines(style, [str(each.get_label()) for each in handles])
    height = rows * (HEIGHT * times * style.size / 8 + 4 * style.line)
    figure = begin(style, height, title, notice, keys)
    axes = figure.subplots(rows, columns, squeeze=False)
    for each in axes.flat:
        tidy(each)
    draw_key(figure, style, handles)
    return figure, axes


def _panels(
    style: Style, title: str, notice: str, handles: Sequence[Line2D],
    draws: Sequence[tuple[Draw, str]],
) -> Figure:  # fmt: skip
    """A figure of panels with titles, two in a row of a column and four in one of a page."""
    columns = min(len(draws), 4 if style.width > 5 else 2)
    rows = -(-len(draws) // columns)
    figure, axes = _grid(style, title, notice, handles, rows, columns, 1.0)
    every = list(axes.flat)
    for each, (draw, name) in zip(every, draws, strict=False):
        draw(each)
        each.set_title(
            "\n".join(wrapped(shortened(name), style.letters // columns - 2, 3)), loc="left"
        )
    for each in every[len(draws) :]:
        each.set_axis_off()
    return figure


def _by_epsilon(
    axes: Axes, panel: EpsilonPanel, looks: Mapping[str, dict[str, Any]], part: int
) -> None:
    """None; one row's utility (part 0) or leakage (part 1) is on the axes."""
    for line in panel.lines:
        look, found = looks[line.series], []
        for point in line.points:
            if part == 0 and point.utility is not None:
                own = point.utility
                found.append((point.epsilon, own.value, own.low, own.high))
            elif part == 1 and point.leakage is not None:
                found.append((point.epsilon, *point.leakage))
        if found:
            xs, values = [x for x, *_ in found], [y for _, y, _, _ in found]
            bars = [[max(0.0, y - low) for _, y, low, _ in found],
                    [max(0.0, high - y) for _, y, _, high in found]]  # fmt: skip
            axes.errorbar(xs, values, yerr=bars, elinewidth=0.7, zorder=3, **look)
    reference = panel.undefended[part]
    if reference is not None:
        axes.axhline(reference, color=FAINT, linestyle="--", zorder=1)
    if part == 1:
        axes.axhline(0, color=FAINT, linestyle=":", zorder=1)
    axes.set_xscale("log")
    ends = [point.epsilon for line in panel.lines for point in line.points]
    low, high = min(ends) / 1.5, max(ends) * 1.5
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(log_ticks(low, high, 4)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(panel.horizontal)


def _loss(axes: Axes, own: Course, looks: dict[str, Any]) -> None:
    """None; the loss by round is on the axes."""
    if own.loss:
        axes.plot(*zip(*own.loss, strict=True), **looks["loss"])
    _rounds(axes, "mean loss")


def _spent(axes: Axes, own: Course, looks: dict[str, Any]) -> None:
    """None; the epsilon that was spent, shown and claimed is on the axes."""
    for curve, name in ((own.spent, "spent"), (own.bound, "shown")):
        if curve:
            axes.plot(*zip(*curve, strict=True), **looks[name])
    if own.claimed is not None:
        axes.axhline(own.claimed, color=FAINT, linestyle="--", zorder=1)
    axes.set_ylim(bottom=0)
    _rounds(axes, "ε → worse")


def _rounds(axes: Axes, title: str) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    left, right = axes.get_xlim()
    if right - left < 1:  # of one round alone
        axes.set_xlim(left - 0.5, right + 0.5)
    axes.set_xlabel("round")
    axes.set_ylabel(title)


def _depth(axes: Axes, panel: Depth, data: DepthFigure, names: Sequence[str], style: Style) -> None:
    """None; one setting's curves are on the axes."""
    for line in panel.lines:
        values = [point.value for point in line.points]
        if line.attack == WORST:
            axes.plot(line.cuts, values, color="#BBBBBB", linewidth=3.0, zorder=1)
            continue
        ends = [error_bars(p.low, p.value, p.high) for p in line.points]
        bars = [[low[0] for low, _ in ends], [high[0] for _, high in ends]]
        look = style.look(names.index(line.attack))
        axes.errorbar(line.cuts, values, yerr=bars, elinewidth=0.7, zorder=3, **look)
    if data.chance is not None:
        axes.axhline(data.chance, color=FAINT, linestyle=":", zorder=1)
    axes.set_xticks(data.cuts)
    axes.set_ylim(-0.04, 1.04)
    axes.set_xlabel("layers before the cut")
    axes.set_ylabel("tokens read → worse")


def _shown(axes: Axes, panel: ClaimsPanel, marks: Mapping[str, int], style: Style) -> list[Dot]:
    """One unit's trainings as they stand on the axes; a bound has an arrow up, since it is one."""
    ends = [max(each.claimed, each.bound) for each in panel.points]
    top = 1.15 * max(*ends, 1.0)
    axes.fill_between([0, top], [0, top], [top, top], zorder=0, **SHADE)
    axes.plot([0, top], [0, top], color="#000000", zorder=1)
    dots = []
    told = set()
    for each in panel.points:
        again = (each.series, each.level) in told
        told.add((each.series, each.level))
        at = (each.claimed,) * 3, (each.bound,) * 3
        dots.append(Dot(marks[each.series], *at, "" if again else each.level))
        axes.annotate(
            "", (each.claimed, each.bound + 0.08 * top), xytext=(each.claimed, each.bound),
            arrowprops={"arrowstyle": "->", "color": FAINT, "linewidth": 0.7}, zorder=2,
        )  # fmt: skip
    draw_dots(axes, style, dots)
    axes.set_xlim(0, top)
    axes.set_ylim(-0.03 * top, top)
    return dots
