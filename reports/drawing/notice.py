"""Notice at the head of a figure: what makes it void, in red below its title."""

import textwrap

from matplotlib.figure import Figure

COLOUR = "#B00020"
LETTERS, LINE, GAP = 92, 0.16, 0.08  # characters of a line; inches of one, and below all


def notice_room(notice: str) -> float:
    """The inches that a notice takes; none without one."""
    return LINE * len(_lines(notice)) + GAP if notice else 0.0


def draw_notice(figure: Figure, notice: str, top: float, total: float) -> None:
    """None; the notice stands `top` inches below the upper edge of a figure `total` inches high."""
    text = "\n".join(_lines(notice)).replace("$", r"\$")
    figure.text(0.02, 1 - top / total, text, fontsize=8.5, color=COLOUR, weight="bold", va="top")


def _lines(notice: str) -> list[str]:
    """A notice of at most five lines."""
    return textwrap.wrap(notice[:1].upper() + notice[1:], LETTERS, max_lines=5, placeholder=" …")
