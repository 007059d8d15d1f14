"""Style of figures for a paper or a screen: widths, colours, marks, bytes of each format."""

import io
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

import matplotlib
import matplotlib.style
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from reports.drawing.letters import MARKERS, PALETTE, key_text, plain_text
from reports.drawing.notice import COLOUR, draw_notice, notice_room

MM = 1 / 25.4
WIDTHS = {"column": 84 * MM, "page": 174 * MM}
"""Inches of a column and of a page's text."""
FORMATS = ("svg", "pdf", "png")
STYLES = ("paper", "screen", "grey")
GREYS = ("#000000", "#7A7A7A", "#4D4D4D", "#A6A6A6")
DASHES: tuple[Literal["-", "--", "-.", ":"], ...] = ("-", "--", "-.", ":")
DPI = 200
"""Of the layout, so fine that letters are as wide as in vectors; a PNG has more."""
SALT = "fedbert"
SHADE: dict[str, Any] = {
    "facecolor": "#E6E6E6",
    "edgecolor": "#BDBDBD",
    "hatch": "///",
    "linewidth": 0.0,
}
"""How a region is shaded that cannot be."""
FAINT, LINE = "#666666", "#E5E5E5"


@dataclass(frozen=True)
class Style:
    """How figures look. width: in inches; size: of every text, in points.

    A column's text is 8 points high; on a screen everything is larger by a quarter.
    """

    name: str = "paper"
    width: float = WIDTHS["column"]
    size: float = 8.0

    @property
    def colours(self) -> tuple[str, ...]:
        """The colours of series, in order."""
        return GREYS if self.name == "grey" else PALETTE

    @property
    def letters(self) -> int:
        """How many letters go into the whole width, of bold ones too."""
        return int(self.width * 72 / (0.66 * self.size))

    @property
    def line(self) -> float:
        """The inches of a line of text."""
        return 1.3 * self.size / 72

    @property
    def alarm(self) -> str:
        """The colour of what makes a figure void; black where there are no colours."""
        return "#000000" if self.name == "grey" else COLOUR

    def look(self, number: int) -> dict[str, Any]:
        """Colour, marker and dash of a series.

        Of the first 32 any two differ in marker or dash, and in colour or marker.
        """
        marks = len(MARKERS)
        return {
            "color": self.colours[number % len(self.colours)],
            "marker": MARKERS[(number + number // marks) % marks],
            "linestyle": DASHES[(number % marks + 2 * (number // marks)) % len(DASHES)],
        }


def style_of(name: str = "paper", width: str = "column") -> Style:
    """The style of a name at a width.

    >>> style_of("paper", "column").size, round(style_of("paper", "page").width * 25.4)
    (8.0, 174)
    """
    times = 1.25 if name == "screen" else 1.0
    return Style(name, WIDTHS[width] * times, 8.0 * times)


@contextmanager
def drawn_in(style: Style) -> Iterator[None]:
    """The settings under which a figure is drawn and written: the same data, the same bytes."""
    own: dict[Any, Any] = {
        "font.size": style.size, "axes.titlesize": style.size, "axes.labelsize": style.size,
        "xtick.labelsize": style.size, "ytick.labelsize": style.size,
        "legend.fontsize": style.size, "axes.linewidth": 0.6, "lines.linewidth": 1.0,
        "lines.markersize": 4.0, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
        "xtick.major.size": 2.5, "ytick.major.size": 2.5, "xtick.minor.size": 0.0,
        "ytick.minor.size": 0.0, "hatch.linewidth": 0.5, "errorbar.capsize": 1.5,
        "svg.fonttype": "none", "svg.hashsalt": SALT, "pdf.fonttype": 42,
        "font.family": ["DejaVu Sans"], "pdf.compression": 6,
    }  # fmt: skip
    with matplotlib.style.context("default"), matplotlib.rc_context(own):
        yield


def begin(style: Style, height: float, title: str, notice: str = "", keys: int = 0) -> Figure:
    """A figure whose axes have `height` inches: its title and notice stand above them.

    keys: the lines of the key below, for which room is added.
    """
    lines = wrapped(title, style.letters)
    letters = int(style.letters * 1.05)
    above = (style.line * len(lines) + 0.05) + notice_room(notice, letters, style.size)
    total = height + above + style.line * 1.12 * keys + (0.1 if keys else 0.0)
    figure = Figure(figsize=(style.width, total), layout="constrained", dpi=DPI)
    FigureCanvasAgg(figure)
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0, 0, 1, 1 - above / total), w_pad=0.03, h_pad=0.06)
    figure.text(
        0.01, 1 - 0.03 / total, "\n".join(lines), weight="bold", va="top", linespacing=1.15
    )  # fmt: skip
    top = style.line * len(lines) + 0.06
    draw_notice(figure, notice, top, total, letters, style.size, style.alarm)
    return figure


def wrapped(text: str, letters: int, most: int = 4) -> list[str]:
    """A text in lines, with nothing in it that would be read as mathematics.

    A level stays in one line: a letter that stands alone is not parted from its number.
    """
    whole = re.sub(r"\b(\w) (?=\d)", "\\1\u00a0", text)
    lines = textwrap.wrap(whole, letters, max_lines=most, placeholder=" …") or [""]
    return [plain_text(line, letters + 2) for line in lines]


def key_lines(style: Style, labels: Sequence[str]) -> tuple[int, int]:
    """How many columns and lines a key of these labels takes at the figure's foot.

    >>> key_lines(style_of("paper", "page"), ["a", "b", "c"])
    (3, 1)
    """
    if not labels:
        return 1, 0
    longest = max(map(len, labels)) + 7
    columns = max(1, min(len(labels), key_letters(style) // longest))
    return columns, -(-len(labels) // columns)


def key_letters(style: Style) -> int:
    """How many letters of a key go into the whole width."""
    return int(style.width * 72 / (0.58 * style.size))


def draw_key(figure: Figure, style: Style, handles: Sequence[Artist]) -> None:
    """None; the key stands below the axes."""
    if handles:
        columns, _ = key_lines(style, [str(each.get_label()) for each in handles])
        figure.legend(
            handles=list(handles), loc="outside lower left", ncols=columns, frameon=False,
            handlelength=2.2, columnspacing=1.2, borderpad=0.1, labelspacing=0.25,
        )  # fmt: skip


def handle(style: Style, label: str, **look: Any) -> Line2D:
    """What stands for a series in the key."""
    return Line2D([], [], label=key_text(label, key_letters(style) - 7), **look)


def tidy(axes: Axes) -> None:
    """None; the axes have a light grid and no box."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color=LINE, linewidth=0.5)
    axes.set_axisbelow(True)


def error_bars(low: float, value: float, high: float) -> list[list[float]]:
    """The lengths below and above a value, as matplotlib has them."""
    return [[max(0.0, value - low)], [max(0.0, high - value)]]


def written(figure: Figure, style: Style, form: str, words: str, dots: int = 300) -> bytes:
    """The figure's bytes in a format, with what it shows in words, and no time in it.

    dots: an inch, of a PNG.
    """
    buffer = io.BytesIO()
    kinds: dict[str, dict[str, Any]] = {
        "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
        "pdf": {"CreationDate": None, "Creator": None, "Producer": None, "Subject": words},
        "png": {"Software": None, "Description": words},
    }
    with drawn_in(style):
        figure.savefig(buffer, format=form, dpi=dots if form == "png" else 72, metadata=kinds[form])
    return _readable(buffer.getvalue(), words) if form == "svg" else buffer.getvalue()


def _readable(svg: bytes, words: str) -> bytes:
    """An SVG that a screen reader tells in words."""
    text = svg.decode("utf-8")
    named = f'\\1 role="img" aria-label="{escape(words)}">\n <desc>{escape(words)}</desc>'
    found = re.sub(r"(<svg [^>]*?)>", lambda match: named.replace("\\1", match[1]), text, count=1)
    return re.sub(r"[ \t]+\n", "\n", found).encode("utf-8")
