"""Leakage above chance: the worst attack of an adversary, with a simultaneous interval."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from reports import metrics
from reports.checks import FAMILIES, VIEWS
from reports.estimate import Estimate
from reports.frontier.wish import ALL
from reports.leak import Leak, NotMeasured
from reports.records import CellResult

JUDGED = (
    "token_accuracy", "masked_token_accuracy", "label_accuracy", "token_f1", "token_recall",
    "attribute_accuracy", "name_spans", "number_spans", "date_spans", "auc", "tpr_at_1pct_fpr",
    "client_auc",
)  # fmt: skip
"""The metrics of which the worst is sought: 1 is everything, and chance is known or 0.

Of sets of words that is F1 where it is known what the same frequent words for each text reach, else
recall, of attacks that name what they found and never guess.
"""
Key = tuple[str, str, str]


@dataclass(frozen=True)
class Worst:
    """What an adversary achieves at worst in one setting, as a share of what lies above chance.

    attack, view, metric: of the highest mean over seeds. value: that mean; low, high: the highest
    low and high ends of all its attacks, simultaneous over everything that was compared; over seeds
    the hull, since one training is shipped and not a mean of several. seeds: each seed's own worst.
    """

    attack: str
    view: str
    metric: str
    value: float
    low: float
    high: float
    measured: float
    chance: float
    seeds: tuple[tuple[str, float], ...]


def above_chance(value: float, chance: float | None) -> float:
    """The share of what lies above chance; 0 is chance, 1 everything.

    >>> above_chance(0.75, 0.5), above_chance(0.3, None)
    (0.5, 0.3)
    """
    base = chance or 0.0
    return (value - base) / (1 - base) if base < 1 else 0.0


def seen(record: CellResult, adversary: str) -> list[Leak]:
    """What attacks on any view that an adversary sees achieved in a cell, baselines left out."""
    return judged_on(record, VIEWS if adversary == ALL else metrics.SEES[adversary])


def judged_on(record: CellResult, views: Collection[str]) -> list[Leak]:
    """What attacks on these views achieved in a cell, by the metrics of which the worst is sought.

    Baselines are left out.
    """
    found = [
        each
        for each in record.leakage
        if isinstance(each, Leak)
        and each.view in views
        and each.metric in JUDGED
        and not each.baseline
        and (each.metric != "token_f1" or each.chance is not None)
    ]
    guessing = {(each.view, each.attack) for each in found if each.metric == "token_f1"}
    return [
        each
        for each in found
        if each.metric != "token_recall" or (each.view, each.attack) not in guessing
    ]


def unread(record: CellResult, adversary: str) -> set[tuple[str, str]]:
    """The attacks (view, name) on what an adversary sees that could not run in a cell."""
    views = VIEWS if adversary == ALL else metrics.SEES[adversary]
    ran = {(each.view, each.attack) for each in record.leakage if isinstance(each, Leak)}
    lacked = {
        (each.view, each.attack)
        for each in record.leakage
        if isinstance(each, NotMeasured) and each.metric is None and each.view in views
    }
    return lacked - ran


def worst(
    seeds: Sequence[CellResult], adversary: str, numbers: int, families: Sequence[str] = FAMILIES
) -> Worst | None:
    """The worst of an adversary's attacks on one setting; None where none was measured.

    numbers: how many intervals are compared in all, over settings, seeds, attacks and metrics.
    families: of attacks.
    """
    own = [
        (record.labels["seed"], [x for x in seen(record, adversary) if x.family in families])
        for record in seeds
    ]
    return worst_of(own, numbers)


def worst_of(seeds: Sequence[tuple[str, Sequence[Leak]]], numbers: int) -> Worst | None:
    """The worst of what was achieved with each seed; None where nothing was measured."""
    found: dict[Key, list[Leak]] = {}
    single: dict[str, float] = {}
    for seed, leaks in seeds:
        for leak in leaks:
            found.setdefault((leak.attack, leak.view, leak.metric), []).append(leak)
            share = above_chance(leak.estimate.value, leak.chance)
            single[seed] = max(single.get(seed, share), share)
    if not found:
        return None
    shares = {key: _mean(own) for key, own in found.items()}
    key = max(shares, key=shares.__getitem__)
    ends = [_ends(leak, numbers) for own in found.values() for leak in own]
    hulls = [[_ends(leak, numbers) for leak in own] for own in found.values()]
    chances = [leak.chance or 0.0 for leak in found[key]]
    return Worst(
        *key,
        value=shares[key],
        low=min(shares[key], max(min(low for low, _ in hull) for hull in hulls)),
        high=max(high for _, high in ends),
        measured=sum(leak.estimate.value for leak in found[key]) / len(found[key]),
        chance=sum(chances) / len(chances),
        seeds=tuple(single.items()),
    )


def _mean(seeds: Sequence[Leak]) -> float:
    return sum(above_chance(each.estimate.value, each.chance) for each in seeds) / len(seeds)


def _ends(leak: Leak, numbers: int) -> tuple[float, float]:
    """A seed's interval above chance, within what a share can be."""
    wide: Estimate = leak.estimate.widened(numbers)
    low, high = above_chance(wide.low, leak.chance), above_chance(wide.high, leak.chance)
    return max(-1.0, low), min(1.0, high)
