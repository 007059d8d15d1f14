"""Figure of a live audit, as PNG bytes: the same data, the same bytes."""

import matplotlib.style
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from reports.drawing.notice import draw_notice, notice_room
from reports.drawing.utility import PALETTE, WIDTH, bare, plain_text, png_bytes
from reports.figures.live import LiveFigure

HEIGHT, LEFT, BELOW = 2.8, 0.85, 0.55  # inches


def draw_live(data: LiveFigure) -> bytes:
    """A PNG: spent epsilon, the bound that canaries show, and the claim, against rounds."""
    room = notice_room(data.notice)
    top = 0.75 + room
    total = top + HEIGHT + BELOW
    with matplotlib.style.context("default"):
        figure = Figure(figsize=(WIDTH, total))
        box = (LEFT / WIDTH, BELOW / total, (WIDTH - LEFT - 0.25) / WIDTH, HEIGHT / total)
        axes = figure.add_axes(box)
        curves = (
            (data.spent, "spent so far", "o-", PALETTE[0]),
            (data.bound, f"shown by canaries ({data.confidence})", "s-", PALETTE[1]),
        )
        for values, label, style, colour in curves:
            if values:
                rounds, epsilons = zip(*values, strict=True)
                axes.plot(rounds, epsilons, style, color=colour, label=label, markersize=3.5)
        if data.claimed is not None:
            label = f"claimed {data.claimed:.3g}"
            axes.axhline(data.claimed, color="#666666", linestyle="--", linewidth=1, label=label)
        axes.set_ylim(bottom=0)
        seen = [number for number, _ in (*data.spent, *data.bound)] or [1]
        axes.set_xlim(min(seen) - 0.5, max(seen) + 0.5)  # of one round alone, too
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set_xlabel("round", fontsize=9)
        axes.set_ylabel("epsilon", fontsize=9)
        bare(axes)
        title = plain_text(data.title)
        figure.text(0.02, 1 - 0.1 / total, title, fontsize=12, weight="bold", va="top")
        draw_notice(figure, data.notice, 0.36, total)
        figure.legend(
            loc="upper left", ncols=3, fontsize=8.5, frameon=False,
            bbox_to_anchor=(0.01, 1 - (0.32 + room) / total),
        )  # fmt: skip
        return png_bytes(figure)
