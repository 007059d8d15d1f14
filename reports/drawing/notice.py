"""Notice at the head of a figure: what makes it void, in red below its title."""

import textwrap

from matplotlib.figure import Figure

COLOUR = "#B00020"
LINE, GAP = 0.16 / 8.5, 0.08  # inches of a line for each point of its letters, and below all


def notice_room(notice: str, letters: int, size: float) -> float:
    """The inches that a notice takes in lines of so many letters; none without one."""
    return LINE * size * len(_lines(notice, letters)) + GAP if notice else 0.0


def draw_notice(
    figure: Figure,
    notice: str,
    top: float,
    total: float,
    letters: int,
    size: float,
    colour: str,
) -> None:
    """None; the notice stands `top` inches below the upper edge of a figure `total` inches high."""
    text = "\n".join(_lines(notice, letters)).replace("$", r"\$")
    figure.text(0.02, 1 - top / total, text, fontsize=size, color=colour, weight="bold", va="top")


def _lines(notice: str, letters: int) -> list[str]:
    """A notice of at most five lines."""
    return textwrap.wrap(notice[:1].upper() + notice[1:], letters, max_lines=5, placeholder=" …")
