"""ROC curves for a paper, both axes logarithmic, the region that a claim forbids shaded."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullLocator

from reports.drawing.marks import settle
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
from reports.figures.naming import shortened
from reports.figures.roc import Curve, RocFigure, RocPanel
from reports.tradeoff import Allowed

HEIGHT, LOWEST = 1.55, 5e-4
POINTS = 150
"""Of a curve at most so many corners are drawn: more is less than a line's width apart."""


def draw_rates(data: RocFigure, style: Style) -> Figure:
    """A panel per setting, a curve per attack, what records state at two rates as bars."""
    columns = min(len(data.panels), 4 if style.width > 5 else 2)
    rows = -(-len(data.panels) // columns)
    handles = _legend(data, style)
    _, keys = key_lines(style, [str(each.get_label()) for each in handles])
    titles = [wrapped(each, style.letters // columns - 2, 4) for each in _titles(data)]
    more = (max(map(len, titles)) + 3) * style.line
    with drawn_in(style):
        height = rows * (HEIGHT * style.size / 8 + more)
        figure = begin(style, height, data.heading, data.notice, keys)
        axes = list(figure.subplots(rows, columns, squeeze=False).flat)
        for number, (each, panel) in enumerate(zip(axes, data.panels, strict=False)):
            _panel(each, panel, data, style)
            each.set_title("\n".join(titles[number]), loc="left")
            if number % columns == 0:
                each.set_ylabel("members found → worse")
            each.set_xlabel("others accused")
        for each in axes[len(data.panels) :]:
            each.set_axis_off()
        draw_key(figure, style, handles)
        settle(figure)
        return figure


def thinned(curve: Curve, most: int = POINTS) -> tuple[list[float], list[float]]:
    """The corners of a step curve, its last one kept, thinned evenly in logarithms.

    Of corners that fall together the rightmost is kept, which is the highest as well.

    >>> thinned(Curve("a", (0.1, 0.5, 1.0), (0.2, 0.6, 1.0), None, None), 150)
    ([0.1, 0.5, 1.0], [0.2, 0.6, 1.0])
    """
    kept: dict[int, tuple[float, float]] = {}
    for fpr, tpr in zip(curve.fpr, curve.tpr, strict=True):
        kept[round(math.log10(max(fpr, LOWEST)) / math.log10(LOWEST) * most)] = (fpr, tpr)
    return [x for x, _ in kept.values()], [y for _, y in kept.values()]


def _titles(data: RocFigure) -> list[str]:
    """The panels' titles in short, without the strategy where it is that of all."""
    titles = [shortened(panel.title) for panel in data.panels]
    ends = {title.rpartition(" (")[2] for title in titles}
    return [title.rpartition(" (")[0] for title in titles] if len(ends) == 1 else titles


def _panel(axes: Axes, panel: RocPanel, data: RocFigure, style: Style) -> None:
    """None; one setting's curves are on the axes."""
    tidy(axes)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.plot([LOWEST, 1], [LOWEST, 1], color=FAINT, linestyle=":", zorder=1)
    for claim in panel.allows:
        _forbidden(axes, claim)
    for number, curve in enumerate(panel.curves):
        look = style.look(data.attacks.index(curve.attack))
        if curve.fpr:
            xs, ys = thinned(curve)
            shown = [max(y, LOWEST) for y in [*ys, 1.0]]
            axes.plot([*xs, 1.0], shown, color=look["color"], linestyle=look["linestyle"],
                      drawstyle="steps-post", zorder=3)  # fmt: skip
        for rate, stated in curve.stated:
            # To the right alone: to its left a claim allows less than at the rate itself.
            x = min(rate * 10 ** (0.3 * number / len(panel.curves)), 1.0)
            y, low, high = (max(v, LOWEST) for v in (stated.value, stated.low, stated.high))
            axes.errorbar(
                x, y, yerr=error_bars(low, y, high), elinewidth=0.7, zorder=4,
                **(look | {"linestyle": "none"}),
            )  # fmt: skip
    axes.set_xlim(LOWEST, 1)
    axes.set_ylim(LOWEST, 1.1)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(numticks=5))
        axis.set_minor_locator(NullLocator())


def _forbidden(axes: Axes, claim: Allowed) -> None:
    """None; what lies above a claim's curve is shaded: no attack can be there while it stands.

    Between two stored rates the claim counts as that of the next (`Allowed.tpr_at`): a straight
    line would forbid what it allows.
    """
    stored = [(fpr, tpr) for fpr, tpr in claim.points if fpr > LOWEST]
    first = max(claim.tpr_at(LOWEST), LOWEST)
    xs, ys = zip(*[(LOWEST, first), *stored, (1.0, 1.0)], strict=True)
    axes.plot(xs, ys, color="#000000", linewidth=0.9, drawstyle="steps-pre", zorder=2)
    axes.fill_between(xs, ys, 1.1, step="pre", zorder=0, **SHADE)


def _legend(data: RocFigure, style: Style) -> Sequence[Line2D | Patch]:
    """What colours, marks and the shaded region stand for."""
    found: list[Line2D | Patch] = [
        handle(style, name, **style.look(number)) for number, name in enumerate(data.attacks)
    ]
    found.append(handle(style, "chance", color=FAINT, linestyle=":"))
    views = sorted({claim.view for panel in data.panels for claim in panel.allows})
    if views:
        label = f"forbidden by the claim ({', '.join(views)})"
        found.append(Patch(**SHADE, label=label))
    return found
