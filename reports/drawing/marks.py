"""Marks with intervals, and their direct labels, on axes whose layout is settled."""

import math
import re
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure

from reports import metrics
from reports.drawing.letters import plain_text
from reports.drawing.places import Box, placed
from reports.drawing.style import FAINT, Style, error_bars

Triple = tuple[float, float, float]
"""A value with the ends of its interval: (value, low, high)."""
TIMES = (1.0, 1.5)
"""How much higher axes are made, until every label finds room."""
WIDER = 1.08
"""What a label may need more in a font that is not the one here."""


@dataclass(frozen=True)
class Dot:
    """One point: the number of its series, both values with their intervals, its label."""

    series: int
    x: Triple
    y: Triple
    label: str = ""
    hollow: bool = False


def draw_dots(axes: Axes, style: Style, dots: Sequence[Dot]) -> None:
    """None; every point and its intervals are on the axes."""
    for dot in dots:
        look = style.look(dot.series) | {"linestyle": "none"}
        (x, left, right), (y, low, high) = dot.x, dot.y
        axes.errorbar(
            x, y, xerr=error_bars(left, x, right), yerr=error_bars(low, y, high), elinewidth=0.7,
            markerfacecolor="white" if dot.hollow else look["color"], markeredgewidth=0.8,
            zorder=3, **look,
        )  # fmt: skip


def label_dots(
    figure: Figure, axes: Axes, style: Style, dots: Sequence[Dot], bars: Sequence[Box] = ()
) -> int:
    """How many labels found no room; the others stand beside their points.

    The layout has to be settled. bars: boxes in data coordinates that labels should not hide.
    """
    named = [dot for dot in dots if dot.label]
    if not named:
        return 0
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    to_points = 72 / figure.dpi
    texts = [axes.text(0, 0, plain_text(dot.label, 40), fontsize=style.size) for dot in named]
    extents = [text.get_window_extent(renderer) for text in texts]
    sizes = [(box.width * WIDER * to_points, box.height * to_points) for box in extents]
    for text in texts:
        text.remove()

    def at(x: float, y: float) -> tuple[float, float]:
        found = axes.transData.transform((x, y)) * to_points
        return float(found[0]), float(found[1])

    frame = axes.get_window_extent(renderer)
    inside = tuple(float(end) * to_points for end in frame.extents)
    anchors = [at(dot.x[0], dot.y[0]) for dot in named]
    others = [at(dot.x[0], dot.y[0]) for dot in dots if not dot.label]
    taken = [_box(at(a, b), at(c, d)) for a, b, c, d in [*_spans(dots), *bars]]
    taken += [(x - 3, y - 3, x + 3, y + 3) for x, y in others]
    places = placed(anchors, sizes, (inside[0], inside[1], inside[2], inside[3]), taken, 5.0)
    for dot, (x, y), place in zip(named, anchors, places, strict=True):
        if place is None:
            continue
        note = axes.annotate(
            plain_text(dot.label, 40), (dot.x[0], dot.y[0]),
            xytext=(place.box[0] - x, place.box[1] - y), textcoords="offset points",
            fontsize=style.size, va="bottom", ha="left", zorder=4, annotation_clip=False,
        )  # fmt: skip
        note.set_in_layout(False)
        if place.leader is not None:
            led = axes.annotate(
                "", (dot.x[0], dot.y[0]), xytext=(place.leader[0] - x, place.leader[1] - y),
                textcoords="offset points", annotation_clip=False, zorder=2,
                arrowprops={"arrowstyle": "-", "color": FAINT, "linewidth": 0.5, "shrinkA": 0,
                            "shrinkB": 2},
            )  # fmt: skip
            led.set_in_layout(False)
    return places.count(None)


def settle(figure: Figure) -> None:
    """None; the layout is what it will be when the figure is written."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")


def roomy(make: Callable[[float], tuple[Figure, int]]) -> Figure:
    """The first figure of rising height in which every label found room; else the highest.

    make: from how many times the usual height to the figure, and the labels without room.
    """
    for times in TIMES:
        figure, lost = make(times)
        if not lost:
            break
    return figure


def toward(metric: str, title: str = "") -> str:
    """The title of an axis with its unit and where worse, or better, lies.

    >>> toward("accuracy"), toward("auc", "worst membership: AUC")
    ('accuracy (fraction) → better', 'worst membership: AUC (probability) → worse')
    >>> toward("pearson")
    'Pearson correlation → better'
    """
    known = metrics.METRICS.get(metric)
    if known is None:
        return title or metric
    end = "better" if known.better == "higher" else "worse"
    told = title or known.title
    unit = "" if known.unit in told else f" ({known.unit})"
    return f"{told}{unit} → {end}"


LONGEST = 42
"""Letters of an axis' title that fit beside a panel; longer ones stand in two lines."""


def label_axis(axis: Axis, title: str, longest: int = LONGEST) -> None:
    """None; the axis has its title, in lines that no figure's edge cuts."""
    whole = re.sub("→ ", "→\u00a0", title)
    if len(whole) > longest:
        first, colon, rest = whole.partition(": ")
        parts = [first + colon.strip(), rest] if colon else [whole]
        whole = "\n".join(line for part in parts for line in textwrap.wrap(part, longest))
    axis.set_label_text(whole)


def log_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """At most so many round numbers on a logarithmic axis between two ends.

    >>> log_ticks(1.5, 30), log_ticks(0.5, 2000)
    ([2.0, 5.0, 10.0, 20.0], [1.0, 10.0, 100.0, 1000.0])
    """
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for parts in ((1, 2, 5), (1, 3), (1,)):
        found = [x for k in powers for part in parts if low <= (x := part * 10.0**k) <= high]
        if len(found) <= most:
            return found
    return found[:: -(-len(found) // most)]


def padded(low: float, high: float, share: float = 0.06) -> tuple[float, float]:
    """Ends with some room beyond them."""
    pad = share * (high - low) or 0.05
    return low - pad, high + pad


def _spans(dots: Sequence[Dot]) -> list[Box]:
    """The intervals of points as boxes without height, or width."""
    found = []
    for dot in dots:
        found.append((dot.x[1], dot.y[0], dot.x[2], dot.y[0]))
        found.append((dot.x[0], dot.y[1], dot.x[0], dot.y[2]))
    return found


def _box(a: tuple[float, float], b: tuple[float, float]) -> Box:
    """The box between two points, a little higher and wider than a line."""
    thin = 0.6
    (left, right), (low, high) = sorted((a[0], b[0])), sorted((a[1], b[1]))
    return left - thin, low - thin, right + thin, high + thin
