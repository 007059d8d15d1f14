"""Stability of a ranking over seeds as plain data: how often the order of two settings agrees."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from reports import metrics
from reports.checks import VIEWS
from reports.comparison import sentence
from reports.faults import fault
from reports.figures.settings import Setting, numbers_of, settings_of, worst_on
from reports.figures.utility import axis_title
from reports.holm import holm
from reports.records import CellResult

LEVEL = 0.05


@dataclass(frozen=True)
class Pairs:
    """The settings ranked by one number, the best first.

    wins [setting][setting]: in how many of the common seeds the row's is the better one, ties one
    half; seeds: how many are common. settled: the order of two is more than chance makes of so
    many seeds (sign test, Holm over all pairs, level 0.05). agreement: how often two seeds put two
    settings in the same order, over all pairs of both.
    """

    title: str
    names: tuple[str, ...]
    wins: tuple[tuple[float, ...], ...]
    seeds: tuple[tuple[int, ...], ...]
    settled: tuple[tuple[bool, ...], ...]
    agreement: float


@dataclass(frozen=True)
class RankingFigure:
    """One task: by utility, and by the worst attack."""

    task: str
    panels: tuple[Pairs, ...]
    notice: str = ""


def ranking_data(records: Sequence[CellResult], task: str) -> RankingFigure | None:
    """How often the order of two settings agrees; None without two settings over two seeds."""
    settings = settings_of(records, task)
    if not settings:
        return None
    metric = settings[0].row.metric
    by_utility = {
        each.name: {
            cell.labels["seed"]: cell.utility[metric].value * (1 if _rises(metric) else -1)
            for cell in each.cells
            if metric in cell.utility
        }
        for each in settings
    }
    by_leak = {each.name: _leaks(each, numbers_of(settings)) for each in settings}
    panels = [
        pairs
        for title, values in (
            (axis_title(metric), by_utility),
            ("worst attack on any view (lower is better)", by_leak),
        )
        if (pairs := pairs_of(title, values)) is not None
    ]
    if not panels:
        return None
    return RankingFigure(task, tuple(panels), fault([each.row for each in settings]))


def pairs_of(title: str, values: Mapping[str, Mapping[str, float]]) -> Pairs | None:
    """The stability of a ranking by values [setting][seed], more being better; None without two.

    >>> found = pairs_of("", {"a": {"0": 1, "1": 2}, "b": {"0": 0, "1": 3}})
    >>> found.wins, found.agreement
    (((0.0, 1.0), (1.0, 0.0)), 0.0)
    """
    kept = [name for name, own in values.items() if len(own) > 1]
    names = sorted(kept, key=lambda name: -sum(values[name].values()) / len(values[name]))
    count = len(names)
    if count < 2:
        return None
    wins = [[0.0] * count for _ in names]
    seeds = [[0] * count for _ in names]
    ps, agreeing, compared = [], 0.0, 0
    where = [(i, j) for i in range(count) for j in range(i + 1, count)]
    for i, j in where:
        a, b = values[names[i]], values[names[j]]
        signs = [_sign(a[seed] - b[seed]) for seed in a if seed in b]
        seeds[i][j] = seeds[j][i] = len(signs)
        wins[i][j] = sum((sign + 1) / 2 for sign in signs)
        wins[j][i] = len(signs) - wins[i][j]
        ps.append(sign_test(signs.count(1), signs.count(-1)))
        same = [_same(s, t) for n, s in enumerate(signs) for t in signs[n + 1 :]]
        agreeing, compared = agreeing + sum(same), compared + len(same)
    if not compared:
        return None
    sure = dict(zip(where, (p <= LEVEL for p in holm(ps)), strict=True))
    settled = tuple(
        tuple(sure.get((min(i, j), max(i, j)), False) for j in range(count)) for i in range(count)
    )
    return Pairs(
        title, tuple(names), tuple(map(tuple, wins)), tuple(map(tuple, seeds)), settled,
        agreeing / compared,
    )  # fmt: skip


def sign_test(more: int, less: int) -> float:
    """The two-sided p-value of so many signs of a fair coin; ties are left out.

    >>> sign_test(0, 0), sign_test(10, 0)
    (1.0, 0.001953125)
    """
    n, k = more + less, min(more, less)
    tail = math.fsum(math.comb(n, i) for i in range(k + 1)) / 2**n
    return min(1.0, float(2 * tail))


def describe_ranking(data: RankingFigure) -> str:
    """The figure in words, for those who cannot see it."""
    parts = [*sentence(data.notice)]
    parts.append(f"Stability of the ranking of settings over seeds, for {data.task}.")
    for panel in data.panels:
        parts.append(f"By {panel.title}, from the best: {'; '.join(panel.names)}.")
        parts.append(f"Two seeds agree on the order of two in {100 * panel.agreement:.0f} %.")
        open_ = [
            f"{panel.names[i]} and {panel.names[j]} ({panel.wins[i][j]:g} of {panel.seeds[i][j]})"
            for i in range(len(panel.names))
            for j in range(i + 1, len(panel.names))
            if not panel.settled[i][j]
        ]
        if open_:
            parts.append(f"Not settled by these seeds: {'; '.join(open_)}.")
    return " ".join(parts)


def _leaks(each: Setting, numbers: int) -> dict[str, float]:
    found = worst_on(each, VIEWS, numbers)
    return {} if found is None else {seed: -share for seed, share in found.seeds}


def _rises(metric: str) -> bool:
    known = metrics.METRICS.get(metric)
    return known is None or known.better == "higher"


def _sign(difference: float) -> int:
    return (difference > 0) - (difference < 0)


def _same(one: int, other: int) -> float:
    return 0.5 if not (one and other) else float(one == other)
