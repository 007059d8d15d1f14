"""Choice among the settings of a task: each held against a wish, all intervals at once.

The best of many is a selection, so that no interval is read by itself: every leakage number and
every gain of a page counts, whoever is looked at.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from reports import metrics
from reports.comparison import HOLDS, UNSURE, VOID, undefended
from reports.decision.lacks import (
    ALARM,
    BLIND,
    EMPTY,
    LITTLE,
    MAYBE_LITTLE,
    MAYBE_MUCH,
    MUCH,
    REFUTED,
    UNFINISHED,
    UNJUDGED,
    UNPROMISED,
    unattacked,
    unpromised,
)
from reports.decision.promises import open_views, places, promised
from reports.decision.share import gained, share
from reports.estimate import Estimate
from reports.frontier.answer import Tried
from reports.frontier.leakage import Told, seen, told_apart, unread, worst
from reports.frontier.wish import ALL, PRIVATE, Wish
from reports.records import CellResult
from reports.rows import Row, by_setting, setting_rows

DEFAULT = Wish(PRIVATE, ALL, least_share=0.8, most_leakage=0.25)
"""What a grid without a wish of its own is held against; whose data it used nobody said."""
SURELY = 0.5
"""The share of the gain that the lower end must reach, where `least_share` is for the estimate."""


Setting = tuple[Row, list[CellResult]]


@dataclass(frozen=True)
class Judged:
    """One setting against the wish.

    share: of what undefended training gains, simultaneous. faults: why it is not to be shipped,
    none for one that may be. same: what is indistinguishable from undefended training. bare: it is
    an undefended one itself.
    """

    tried: Tried
    share: Estimate | None
    faults: tuple[str, ...] = ()
    same: tuple[str, ...] = ()
    bare: bool = False

    @property
    def row(self) -> Row:
        """The setting itself."""
        return self.tried.row


@dataclass(frozen=True)
class Decision:
    """What to ship of one task's settings against one adversary, or why nothing.

    reference: the undefended setting that gains most, of those that learnt; undefended: all.
    unknown: the verdict on undefended training and its words, where nothing can be decided.
    numbers: how many intervals hold together. told: the worst attacks on the setting that is shown,
    on any view.
    """

    task: str
    wish: Wish
    numbers: int
    reference: Judged | None
    settings: tuple[Judged, ...]
    chosen: Judged | None
    unknown: tuple[str, str] | None = None
    undefended: tuple[Judged, ...] = ()
    told: Told = field(default_factory=Told)

    @property
    def passed(self) -> tuple[Judged, ...]:
        """The settings without a fault, the undefended ones left out."""
        return tuple(each for each in self.settings if not each.faults)

    @property
    def every(self) -> tuple[Judged, ...]:
        """Every setting, those without a defence first."""
        return (*self.undefended, *self.settings)

    @property
    def bare(self) -> Judged | None:
        """An undefended setting that did not learn, where none did; else the reference."""
        measured = [each for each in self.undefended if each.row.utility is not None]
        return self.reference or next(iter(measured), None)

    @property
    def shown(self) -> Judged | None:
        """The setting to speak of: the chosen one, else the nearest to the wish."""
        if self.unknown is not None and self.bare is not None:
            return self.bare
        measured = [
            each
            for each in self.settings
            if each.row.utility is not None and REFUTED not in each.faults
        ]
        return self.chosen or min(measured, key=_distance, default=self.reference)


def by_task(records: Sequence[CellResult]) -> dict[str, list[Setting]]:
    """The settings of every task, in order of appearance."""
    found: dict[str, list[Setting]] = {}
    for row, group in zip(setting_rows(records), by_setting(records), strict=True):
        found.setdefault(row.task, []).append((row, group))
    return found


def decide(found: Sequence[Setting], numbers: int, wish: Wish = DEFAULT) -> Decision:
    """The decision on the settings of one task, each a row and the records that it is of."""
    rows, groups = [row for row, _ in found], [group for _, group in found]
    seeds = [[each for each in group if each.status == "done"] for group in groups]
    best = _reference(rows, groups)
    whole = None if best is None else gained(seeds[best], rows[best].metric, numbers)
    ran = _ran(seeds, wish)
    every: list[Judged] = []
    for row, own, group in zip(rows, seeds, groups, strict=True):
        metric = None if best is None else rows[best].metric
        part = gained(own, row.metric, numbers) if row.metric == metric and own else None
        ratio = None if part is None or whole is None else share(part, whole)
        missing = _unread(own, ran, wish)
        lived = tuple((each.labels["seed"], each.utility[row.metric]) for each in own
                      if row.metric in each.utility)  # fmt: skip
        tried = Tried(
            row, worst(own, wish.adversary, numbers), _enough(ratio, wish), lived, missing,
            dark=tuple(view for view in open_views(row, wish) if view in unattacked(row)),
        )  # fmt: skip
        every.append(Judged(tried, ratio, bare=undefended(group[0])))
    reference = None if best is None else every[best]
    settings = tuple(
        replace(each, faults=(REFUTED,)) if refuted(group) else _judged(each, reference, wish)
        for each, group in zip(every, groups, strict=True)
        if not each.bare
    )
    bare = tuple(each for each in every if each.bare)
    unknown = _unknown([each.row for each in bare] or rows, reference, whole)
    decision = Decision(rows[0].task, wish, numbers, reference, settings, None, unknown, bare)
    chosen = None if unknown is not None else _best(decision.passed, wish)
    decision = replace(decision, chosen=chosen)
    shown = decision.shown
    subject = next((own for row, own in zip(rows, seeds, strict=True) if _is(shown, row)), [])
    return replace(decision, told=told_apart(subject, numbers))


def refuted(records: Sequence[CellResult]) -> bool:
    """Whether a live audit found of any of a setting's trainings that its claim cannot stand."""
    return any(each.audit.get("fault") for each in records)


def _is(each: Judged | None, row: Row) -> bool:
    return each is not None and each.row is row


def _reference(rows: Sequence[Row], groups: Sequence[Sequence[CellResult]]) -> int | None:
    """The undefended setting that gains most, of those whose comparison holds."""
    found = [
        i
        for i, (row, group) in enumerate(zip(rows, groups, strict=True))
        if undefended(group[0]) and row.comparison.value == HOLDS and _rises(row)
    ]
    return max(found, key=lambda i: _value(rows[i]), default=None)


def _rises(row: Row) -> bool:
    known = metrics.METRICS.get(row.metric)
    return row.utility is not None and known is not None and known.better == "higher"


def _value(row: Row) -> float:
    return row.utility.value if row.utility is not None else 0.0


def _unknown(
    rows: Sequence[Row], reference: Judged | None, whole: Estimate | None
) -> tuple[str, str] | None:
    """Why nothing can be decided, with the verdict on undefended training; None where it can."""
    if reference is None:
        failed = [row.comparison for row in rows if not row.comparison.holds]
        order = {value: i for i, value in enumerate((UNSURE, VOID))}
        first = min(failed, key=lambda each: order.get(each.value, len(order)), default=None)
        if first is None:
            return UNSURE, "the metric has no baseline, so that nobody knows what training gains"
        return first.value, f"{first.words}; {first.hint}"
    if whole is None or whole.low <= 0:
        return UNSURE, "what undefended training gains is not known well enough to share out"
    return None


def _ran(seeds: Sequence[Sequence[CellResult]], wish: Wish) -> dict[str, set[tuple[str, str]]]:
    """By strategy the attacks (view, name) that ran on any of its settings."""
    found: dict[str, set[tuple[str, str]]] = {}
    for own in seeds:
        for record in own:
            names = {(each.view, each.attack) for each in seen(record, wish.adversary)}
            found.setdefault(record.labels["strategy"], set()).update(names)
    return found


def _unread(
    own: Sequence[CellResult], ran: dict[str, set[tuple[str, str]]], wish: Wish
) -> tuple[str, ...]:
    """The attacks that could not run on a setting, and did on others of its strategy."""
    lacked = {
        pair
        for record in own
        for pair in unread(record, wish.adversary) & ran.get(record.labels["strategy"], set())
    }
    return tuple(sorted(name for _, name in lacked))


def _enough(kept: Estimate | None, wish: Wish) -> bool:
    """Whether what is kept is enough, by the estimate and by its lower end."""
    return kept is not None and kept.value >= (wish.least_share or 0.0) and kept.low >= SURELY


def _judged(each: Judged, reference: Judged | None, wish: Wish) -> Judged:
    """A setting with its faults, and with what cannot be told from undefended training."""
    row, found = each.row, each.tried.worst
    most = 1.0 if wish.most_leakage is None else wish.most_leakage
    faults: list[str] = [UNFINISHED] if row.note else []
    if each.share is None:
        faults.append(UNJUDGED)
    elif not each.tried.useful:
        short = each.share.high < (wish.least_share or 0.0)
        fair = row.comparison.holds
        faults.append(MAYBE_LITTLE if not short else LITTLE if fair else UNJUDGED)
    if found is None or each.tried.unread:
        faults.append(BLIND)
    if found is not None and found.high > most:
        faults.append(MUCH if found.low > most else MAYBE_MUCH)
    faults += unpromised(row, wish)
    if row.alarms:
        faults.append(ALARM)
    same = []
    if each.share is not None and each.share.low <= 1 <= each.share.high:
        same.append("utility")
    bare = None if reference is None else reference.tried.worst
    if bare is not None and found is not None and found.high >= bare.low and bare.high >= found.low:
        same.append("leakage")
    return replace(each, faults=tuple(dict.fromkeys(faults)), same=tuple(same))


def _best(passed: Sequence[Judged], wish: Wish) -> Judged | None:
    """The one to ship of those that pass; None of none.

    A promise outranks attacks that failed. Of what leaks no more than can be told from the least,
    the smallest epsilon counts where all promise the same otherwise, else what keeps most.
    """
    fewest = min((len(open_views(each.row, wish)) for each in passed), default=0)
    left = [each for each in passed if len(open_views(each.row, wish)) == fewest]
    least = min((each.tried.worst.high for each in left if each.tried.worst), default=1.0)
    alike = [each for each in left if each.tried.worst and each.tried.worst.low <= least]
    ranks = places([promised(each.row, wish) for each in alike])
    best = min(zip(ranks, alike, strict=True), key=lambda x: (x[0], -kept(x[1])), default=None)
    return None if best is None else best[1]


def kept(each: Judged) -> float:
    """The share of the gain that a setting keeps; 0 where nobody knows."""
    return 0.0 if each.share is None else each.share.value


def _distance(each: Judged) -> tuple[bool, bool, float, float]:
    """How far a setting is from the wish: promised first, then useful, then what leaks least."""
    found = each.tried.worst
    leaks = 0.0 if found is None or not each.tried.useful else found.value
    bare = UNPROMISED in each.faults or EMPTY in each.faults
    return bare, not each.tried.useful, leaks, -kept(each)
