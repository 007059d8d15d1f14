"""Frontier as plain data: utility against the worst leakage above chance; drawn elsewhere."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from reports.comparison import sentence
from reports.faults import fault
from reports.figures.naming import level_text, marks_of
from reports.figures.utility import axis_title
from reports.frontier.answer import Answer, Tried
from reports.frontier.words import title

UNSEEN = "at least so much: a view nobody attacked"


@dataclass(frozen=True)
class Spot:
    """One setting: leakage above chance and utility, value and interval each, and its seeds'.

    group: its defence. level: in few letters. keeps: whether it keeps the utility. chosen: it is
    the answer. dark: it has a view where nothing is promised and nobody looked, so that it may leak
    more than is known.
    """

    group: str
    label: str
    level: str
    leakage: tuple[float, float, float]
    utility: tuple[float, float, float]
    seeds: tuple[tuple[float, float], ...]
    keeps: bool
    chosen: bool
    dark: bool = False


@dataclass(frozen=True)
class FrontierFigure:
    """All settings tried, the line of those that none beats in both, and what was wished for.

    left: how many more were tried and are not among the spots; the line is of all of which nothing
    is unknown. numbers: of the groups' colours and markers, where other figures stand beside; else
    by their order.
    """

    task: str
    vertical: str
    against: str
    title: str
    spots: tuple[Spot, ...]
    line: tuple[tuple[float, float], ...]
    least: float | None
    most: float | None
    majority: float | None
    notice: str = ""
    left: int = 0
    numbers: tuple[int, ...] = ()

    @property
    def marks(self) -> dict[str, int]:
        """The number of each defence's colour and marker."""
        return dict(zip(self.groups, self.numbers or range(len(self.groups)), strict=False))

    def among(self, order: Sequence[str]) -> "FrontierFigure":
        """The same beside figures with these series, in which a defence looks the same."""
        return replace(self, numbers=marks_of(self.groups, order))

    @property
    def groups(self) -> tuple[str, ...]:
        """The defences, a colour each."""
        return tuple(dict.fromkeys(spot.group for spot in self.spots))


def frontier_data(answer: Answer) -> FrontierFigure | None:
    """What the figure of an answer shows; None without a setting that has both numbers."""
    best = None if answer.chosen is None else answer.chosen.best
    spots = [spot for each in answer.tried if (spot := _spot(each, each is best)) is not None]
    if not spots:
        return None
    row = answer.tried[0].row
    return FrontierFigure(
        row.task,
        axis_title(row.metric),
        answer.wish.against,
        title(answer),
        tuple(spots),
        frontier([(spot.leakage[0], spot.utility[0]) for spot in spots if not spot.dark]),
        answer.least,
        answer.wish.most_leakage,
        row.majority_baseline,
        fault([each.row for each in answer.tried]),
    )


def thinned(
    data: FrontierFigure, bare: Collection[str], passed: Collection[str], most: int
) -> FrontierFigure:
    """The figure with `most` spots at the most: those that matter.

    The answer, the undefended (`bare`), what lies on the line, and what meets the wish (`passed`),
    by label; of too many those that leak least.
    """
    line = set(data.line)

    def rank(spot: Spot) -> tuple[int, float]:
        on = (spot.leakage[0], spot.utility[0]) in line
        first = spot.chosen or spot.label in bare
        return 0 if first else 1 if on else 2 if spot.label in passed else 3, spot.leakage[2]

    kept = sorted((spot for spot in data.spots if rank(spot)[0] < 3), key=rank)[:most]
    spots = tuple(spot for spot in data.spots if spot in kept)
    return replace(data, spots=spots, left=len(data.spots) - len(spots))


def left_out(data: FrontierFigure) -> str:
    """How many settings are not drawn, in words; "" for none."""
    return f"{data.left:,} further settings are not drawn" if data.left else ""


def frontier(points: Sequence[tuple[float, float]]) -> tuple[tuple[float, float], ...]:
    """Of (leakage, utility) pairs those that none beats in both, by rising leakage.

    >>> frontier([(0.5, 0.8), (0.1, 0.7), (0.2, 0.6), (0.6, 0.8)])
    ((0.1, 0.7), (0.5, 0.8))
    """
    kept: list[tuple[float, float]] = []
    for leakage, utility in sorted(points, key=lambda point: (point[0], -point[1])):
        if not kept or utility > kept[-1][1]:
            kept.append((leakage, utility))
    return tuple(kept)


def describe_frontier(data: FrontierFigure) -> str:
    """The figure in words, for those who cannot see it."""
    parts = [*sentence(data.notice), data.title]
    parts.append(f"Utility against the worst leakage over {data.against}, above chance, on")
    parts[-1] += f" {data.task}."
    for spot in data.spots:
        keeps = "the answer" if spot.chosen else "keeps" if spot.keeps else "does not keep"
        keeps += f"; {UNSEEN}" if spot.dark else ""
        parts.append(
            f"{spot.label}: leakage {spot.leakage[0]:.3g}, utility {spot.utility[0]:.3g} ({keeps})."
        )
    if data.left:
        parts.append(f"{left_out(data)}; the frontier is that of all.")
    return " ".join(parts)


def _spot(each: Tried, chosen: bool) -> Spot | None:
    worst, utility = each.worst, each.row.utility
    if worst is None or utility is None:
        return None
    own = dict(each.seeds)
    return Spot(
        each.row.defence,
        each.row.name,
        level_text(each.row.level),
        (worst.value, worst.low, worst.high),
        (utility.value, utility.low, utility.high),
        tuple((leakage, own[seed].value) for seed, leakage in worst.seeds if seed in own),
        each.useful,
        chosen,
        bool(each.dark),
    )
