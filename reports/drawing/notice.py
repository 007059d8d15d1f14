"""Notice at the head of a figure: what makes it void, in red below its title."""

import textwrap

from matplotlib.figure import Figure

COLOUR = "#B00020"
LETTERS, SIZE = 92, 8.5  # characters of a line, and the points of one
LINE, GAP = 0.16, 0.08  # inches of a line, and below all


def notice_room(notice: str, letters: int = LETTERS, size: float = SIZE) -> float:
    """The inches that a notice takes; none without one."""
    return LINE * size / SIZE * len(_lines(notice, letters)) + GAP if notice else 0.0


def draw_notice(
    figure: Figure,
    notice: str,
    top: float,
    total: float,
    letters: int = LETTERS,
    size: float = SIZE,
    colour: str = COLOUR,
) -> None:
    """None; the notice stands `top` inches below the upper edge of a figure `total` inches high."""
    text = "\n".join(_lines(notice, letters)).replace("$", r"\$")
    figure.text(0.02, 1 - top / total, text, fontsize=size, color=colour, weight="bold", va="top")


def _lines(notice: str, letters: int) -> list[str]:
    """A notice of at most five lines."""
    return textwrap.wrap(notice[:1].upper() + notice[1:], letters, max_lines=5, placeholder=" …")
