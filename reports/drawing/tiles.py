"""Heat maps for a paper: defences by views, and how often the order of two settings agrees."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from reports.drawing.letters import inner_cut, plain_text
from reports.drawing.marks import settle
from reports.drawing.style import Style, begin, draw_key, drawn_in, key_lines, wrapped
from reports.figures.naming import joined
from reports.figures.ranking import Pairs, RankingFigure
from reports.figures.views import NOTHING, Heat, ViewsFigure

SHORT = {"forward": "fwd", "backward": "bwd", "aggregator": "aggr", "peer": "peer",
         "release": "rel"}  # fmt: skip
DARK = 0.55
"""From this share on the ink on a tile is white."""
TILE = 1.6
"""Lines of text that a tile is high."""


def draw_views(data: ViewsFigure, style: Style) -> Figure:
    """The worst attack by setting and view: the darker, the more is read; each share in figures."""
    handles = [
        _told("in %: 0 is chance, 100 everything; darker → worse"),
        _told("(in brackets): the interval reaches chance"),
        _told("-: nothing sent; ?: not measured"),
    ]
    wide = style.width > 5
    with drawn_in(style):
        names = [fitted(name, 52 if wide else 22) for name in data.settings]
        title = f"{data.task}: worst attack by view, above chance"
        figure, axes = _tiled(style, title, data.notice, len(names), handles)
        texts = [[_text(each) for each in line] for line in data.heat]
        values = [[0.0 if each.value is None else each.value for each in line]
                  for line in data.heat]  # fmt: skip
        _tiles(axes, style, values, texts)
        heads = [each if wide else SHORT[each] for each in data.views]
        _heads(axes, heads, names)
        draw_key(figure, style, handles)
        settle(figure)
        return figure


def draw_ranking(data: RankingFigure, style: Style) -> Figure:
    """In how many seeds the row beats the column; framed where so many seeds settle it."""
    handles = [
        _told("figure: seeds in which the row is the better one"),
        _told("framed: the order is settled (sign test, Holm, 5 %)"),
    ]
    _, keys = key_lines(style, [str(each.get_label()) for each in handles])
    with drawn_in(style):
        count = sum(len(panel.names) for panel in data.panels)
        height = (count + 5 * len(data.panels)) * TILE * style.line
        title = f"{data.task}: stability of the ranking over seeds"
        figure = begin(style, height, title, data.notice, keys)
        ratios = [len(panel.names) + 3 for panel in data.panels]
        axes = figure.subplots(len(data.panels), 1, squeeze=False, height_ratios=ratios)
        for each, panel in zip(axes.flat, data.panels, strict=True):
            _ranked(each, style, panel)
        draw_key(figure, style, handles)
        settle(figure)
        return figure


def fitted(name: tuple[str, str], most: int) -> str:
    """Series and level in so many letters; the level stays whole, since it tells apart.

    >>> fitted(("matrix gaussian, 16 dimensions", "ε 4"), 20)
    'matrix gaussian…, ε 4'
    """
    whole = joined(name)
    if len(whole) <= most + 1:
        return plain_text(whole)
    series, level = name
    room = max(4, most - len(level) - 2)
    return plain_text(joined((f"{series[:room]}…", level)))


def _text(each: Heat) -> str:
    """What stands on a tile.

    >>> _text(Heat("peer", 0.6, 0.5, 0.7)), _text(Heat("peer", -0.001, -0.1, 0.1))
    ('60', '(0)')
    """
    if each.value is None or each.low is None:
        return "-" if each.why == NOTHING else "?"
    share = round(100 * each.value)
    return f"({share})" if each.low <= 0 else str(share)


def _ranked(axes: Axes, style: Style, panel: Pairs) -> None:
    """None; one ranking's pairs are on the axes."""
    n = len(panel.names)
    shares = [
        [panel.wins[i][j] / panel.seeds[i][j] if panel.seeds[i][j] else 0.0 for j in range(n)]
        for i in range(n)
    ]
    texts = [
        ["" if i == j else f"{panel.wins[i][j]:g}/{panel.seeds[i][j]}" for j in range(n)]
        for i in range(n)
    ]
    _tiles(axes, style, shares, texts)
    for i in range(n):
        for j in range(n):
            if panel.settled[i][j]:
                axes.add_patch(Rectangle((j - 0.46, i - 0.44), 0.92, 0.88, fill=False,
                                         edgecolor="#000000", linewidth=1.1, zorder=4))  # fmt: skip
    most = 34 if style.width > 5 else 22
    names = [f"{number}  {inner_cut(name, most)}" for number, name in enumerate(panel.names, 1)]
    _heads(axes, [str(number) for number in range(1, n + 1)], names)
    told = f"{panel.title}\ntwo seeds agree in {100 * panel.agreement:.0f} %"
    lines = [line for part in told.split("\n") for line in wrapped(part, int(0.65 * style.letters))]
    axes.set_title("\n".join(lines), loc="left")


def _tiled(
    style: Style, title: str, notice: str, rows: int, handles: Sequence[Line2D]
) -> tuple[Figure, Axes]:
    _, keys = key_lines(style, [str(each.get_label()) for each in handles])
    figure = begin(style, (rows + 1.5) * TILE * style.line, title, notice, keys)
    return figure, figure.subplots()


def _tiles(
    axes: Axes, style: Style, values: Sequence[Sequence[float]], texts: Sequence[Sequence[str]]
) -> None:
    """None; the values are on the axes as tiles, from 0 (white) to 1, each with its text."""
    end = "#1A1A1A" if style.name == "grey" else "#08306B"
    shades = LinearSegmentedColormap.from_list("shades", ["#FFFFFF", end])
    table = np.clip(np.array(values), 0.0, 1.0)
    rows, columns = table.shape
    axes.pcolormesh(
        np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5, table, cmap=shades, vmin=0,
        vmax=1, edgecolors="#CCCCCC", linewidth=0.5,
    )  # fmt: skip
    for i, line in enumerate(texts):
        for j, text in enumerate(line):
            ink = "#FFFFFF" if table[i][j] >= DARK else "#000000"
            axes.text(j, i, text, ha="center", va="center", color=ink)
    axes.invert_yaxis()
    axes.spines[:].set_visible(False)


def _heads(axes: Axes, heads: Sequence[str], names: Sequence[str]) -> None:
    axes.xaxis.tick_top()
    axes.set_xticks(range(len(heads)), heads)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0)


def _told(text: str) -> Line2D:
    """A line of the key without a mark."""
    return Line2D([], [], color="none", label=text)
