"""Leakage above chance: the worst attack of an adversary, with a simultaneous interval."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from reports import metrics
from reports.checks import VIEWS
from reports.estimate import Estimate
from reports.frontier.wish import ALL
from reports.leak import Leak, NotMeasured
from reports.records import CellResult

KINDS = (
    ("token_accuracy", "function_word_accuracy"), ("masked_token_accuracy",),
    ("content_token_accuracy",), ("number_accuracy",), ("rare_word_accuracy",),
    ("token_f1", "rouge1", "rougeL", "rouge2", "token_recall"), ("exact_match",),
    ("name_spans",), ("number_spans",), ("date_spans",),
    ("name_span_tokens",), ("number_span_tokens",), ("date_span_tokens",),
    ("attribute_accuracy",), ("attribute_auc",), ("label_accuracy",),
    ("auc", "balanced_accuracy"), ("tpr_at_1pct_fpr", "tpr_at_01pct_fpr"), ("client_auc",),
)  # fmt: skip
"""The metrics of which the worst is sought: 1 is everything, and chance is known or 0.

Of those that stand together, which tell the same thing, an attack counts by its first one: the same
words as a set, a bag or in order; members by one curve. Recall is that of attacks that name what
they found and never guess. Precision says how sure an attack is and not how much it reads, and
`blind_auc` nothing of the model: neither counts.
"""
CHANCED = (
    "token_f1", "rouge1", "rougeL", "rouge2", "name_span_tokens", "number_span_tokens",
    "date_span_tokens",
)  # fmt: skip
"""What a guess of frequent words reaches in part: it counts where it is known how much."""
PARTS = (
    "content_token_accuracy", "number_accuracy", "rare_word_accuracy", "name_span_tokens",
    "number_span_tokens", "date_span_tokens",
)  # fmt: skip
FEW = 100
"""A part of a text that was met fewer times counts where its own interval lies above chance: its
upper end says how few there were, and not what an attack reads."""
_PLACE = {name: i for i, names in enumerate(KINDS) for name in names}
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


def judged_on(record: CellResult, views: Collection[str], few: bool = False) -> list[Leak]:
    """What attacks on these views achieved in a cell, by the metrics of which the worst is sought.

    Baselines are left out. few: with parts of a text that were met too few times to count.
    """
    own = [each for each in record.leakage if isinstance(each, Leak)]
    return judged([each for each in own if each.view in views], few)


def judged(leaks: Iterable[Leak], few: bool = False) -> list[Leak]:
    """Those of some leaks that count; few: with parts of a text that were met too few times."""
    found: dict[tuple[str, str, int], list[Leak]] = {}
    for each in leaks:
        kind = _PLACE.get(each.metric)
        known = each.chance is not None or each.metric not in CHANCED
        if kind is not None and known and not each.baseline and (few or not _too_few(each)):
            found.setdefault((each.view, each.attack, kind), []).append(each)
    return [
        each
        for (_, _, kind), own in found.items()
        for each in own
        if each.metric == min((one.metric for one in own), key=KINDS[kind].index)
    ]


def of_text(leaks: Iterable[Leak]) -> list[Leak]:
    """Those that count and tell something of a text: not who was trained on, not a label."""
    return [
        each
        for each in judged(leaks)
        if each.family != "membership" and each.metric != "label_accuracy"
    ]


def count(records: Iterable[CellResult]) -> int:
    """How many intervals are read at once: all leakages that may count, utilities and gains.

    A gain that is no more than the utility less a constant is no further number.
    """
    done = [each for each in records if each.status == "done"]
    return max(1, sum(len(judged_on(each, VIEWS, few=True)) + _utilities(each) for each in done))


def _utilities(record: CellResult) -> int:
    metric = next(iter(record.utility), None)
    return 0 if metric is None else 1 + (metric in record.gains)


def _too_few(leak: Leak) -> bool:
    """Whether a part was met too few times for its upper end to say what an attack reads."""
    few = leak.metric in PARTS and leak.estimate.n < FEW
    return few and leak.estimate.low <= (leak.chance or 0.0)


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


def worst(seeds: Sequence[CellResult], adversary: str, numbers: int) -> Worst | None:
    """The worst of an adversary's attacks on one setting; None where none was measured.

    numbers: how many intervals are compared in all, over settings, seeds, attacks and metrics.
    """
    return worst_of([(each.labels["seed"], seen(each, adversary)) for each in seeds], numbers)


@dataclass(frozen=True)
class Told:
    """The worst attacks on any view on the text, the labels, and who was trained on."""

    text: Worst | None = None
    labels: Worst | None = None
    members: Worst | None = None


def told_apart(seeds: Sequence[CellResult], numbers: int) -> Told:
    """The worst attack on each of the three; numbers: as for `worst`."""
    every = [(each.labels["seed"], seen(each, ALL)) for each in seeds]
    read = [(seed, of_text(leaks)) for seed, leaks in every]
    named = [(seed, [x for x in leaks if x.metric == "label_accuracy"]) for seed, leaks in every]
    found = [(seed, [x for x in leaks if x.family == "membership"]) for seed, leaks in every]
    return Told(worst_of(read, numbers), worst_of(named, numbers), worst_of(found, numbers))


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
