"""Answer of a frontier: the defence that leaks least of those that keep the utility wished for.

A promise outranks attacks that failed; of what leaks no more as far as anybody can tell, the one
that keeps most is taken.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from reports import metrics
from reports.binding import binds, of_text
from reports.comparison import GAP, HOLDS, Comparison, undefended
from reports.estimate import Estimate
from reports.frontier.leakage import Worst, count, seen, unread, worst
from reports.frontier.wish import Wish
from reports.records import CellResult
from reports.rows import Row, by_setting, setting_rows

CONSTANT = ("pearson", "spearman")
SENT_NOTHING = "nothing sent"
"""The kind of a guarantee's cell on whose view nothing crosses."""
NEAR = 0.05
"""A worst attack so much further above chance, within its own interval, leaks no more."""


@dataclass(frozen=True)
class Tried:
    """A defence at one level: its row, its worst attack, and whether it keeps the utility.

    seeds: each seed's utility, by the seed. unread: attacks that could not run on it, and did on
    others of its strategy: what it leaks to them nobody knows. bare: views of the adversary where
    nothing is promised. dark: those of them where no attack was measured.
    """

    row: Row
    worst: Worst | None
    useful: bool
    seeds: tuple[tuple[str, Estimate], ...] = ()
    unread: tuple[str, ...] = ()
    bare: tuple[str, ...] = ()
    dark: tuple[str, ...] = ()


@dataclass(frozen=True)
class Candidate:
    """A defence: all that was tried, from the most private level to the most useful.

    best: the most private level that keeps the utility; None without one. lost: why it is not the
    answer, "" for the answer itself.
    """

    name: str
    tried: tuple[Tried, ...]
    best: Tried | None
    lost: str = ""


@dataclass(frozen=True)
class Answer:
    """What to ship, or why nothing.

    least: the utility that was needed; None where undefended training does not say. reference: the
    undefended row. numbers: how many intervals the simultaneous ones are over. nothing: why there
    is no answer, "" where there is one.
    """

    wish: Wish
    least: float | None
    reference: Tried | None
    candidates: tuple[Candidate, ...]
    chosen: Candidate | None
    numbers: int
    nothing: str = ""

    @property
    def tried(self) -> tuple[Tried, ...]:
        """Every defence at every level, the undefended row first."""
        first = () if self.reference is None else (self.reference,)
        return (*first, *(each for own in self.candidates for each in own.tried))


def answer(records: Sequence[CellResult], wish: Wish) -> Answer:
    """The answer that follows from the records of a search, in the order of its grid.

    That has the undefended row first, and each defence from its most private level on.
    """
    settings = by_setting(records)
    rows = setting_rows(records)
    own = [[each for each in group if each.status == "done"] for group in settings]
    numbers = count(records)
    bare = [i for i, group in enumerate(settings) if undefended(group[0])]
    least = None if not bare else least_of(rows[bare[0]], wish)
    found = [_tried(row, group, wish, least, numbers) for row, group in zip(rows, own, strict=True)]
    found = [
        replace(each, unread=_unread(group, own, wish))
        for each, group in zip(found, own, strict=True)
    ]
    names = dict.fromkeys(row.defence for i, row in enumerate(rows) if i not in bare)
    each = [
        _candidate(name, [found[i] for i, row in enumerate(rows) if row.defence == name])
        for name in names
    ]
    reference = found[bare[0]] if bare else None
    verdict = reference.row.comparison if reference else GAP
    if verdict.value != HOLDS or least is None:
        why = verdict.told or "undefended training has no utility to hold a defence against."
        return Answer(wish, least, reference, tuple(each), None, numbers, why)
    constant = None if reference is None else baseline_of(reference.row)
    if constant is not None and least <= constant:
        why = f"the utility wished for, {least:.3f}, is reached without the text ({constant:.3f})."
        return Answer(wish, least, reference, tuple(each), None, numbers, why)
    chosen = chosen_of(each, wish)
    near = _near(each, wish)
    told = tuple(_placed(one, chosen, wish, one in near) for one in each)
    if chosen is None:
        return Answer(wish, least, reference, told, None, numbers, _none(each))
    return Answer(wish, least, reference, told, chosen, numbers)


def _unread(
    own: Sequence[CellResult], groups: Sequence[Sequence[CellResult]], wish: Wish
) -> tuple[str, ...]:
    """The attacks that could not run on a setting, and did on others of its strategy."""
    if not own:
        return ()
    strategy = own[0].labels["strategy"]
    ran = {
        (each.view, each.attack)
        for group in groups
        for record in group
        if record.labels["strategy"] == strategy
        for each in seen(record, wish.adversary)
    }
    lacked = {each for record in own for each in unread(record, wish.adversary)}
    return tuple(sorted(name for _, name in lacked & ran))


def least_of(reference: Row, wish: Wish) -> float | None:
    """The utility that is needed, by the undefended row; None where that has none."""
    if reference.utility is None:
        return None
    baseline = baseline_of(reference)
    if baseline is None and wish.least_utility is None:
        return None
    return wish.least(reference.utility.value, baseline or 0.0)


def baseline_of(row: Row) -> float | None:
    """What is reached without the text, by a row's headline metric; None where nobody knows."""
    if row.majority_baseline is None and row.metric in CONSTANT:
        return 0.0
    return row.majority_baseline


def keeps(row: Row, least: float | None) -> bool:
    """Whether the lower end of a row's utility, the mean over its seeds, is what is needed."""
    if row.utility is None or least is None or row.note:
        return False
    known = metrics.METRICS.get(row.metric)
    return known is not None and known.better == "higher" and row.utility.low >= least


def chosen_of(candidates: Sequence[Candidate], wish: Wish) -> Candidate | None:
    """The candidate that leaves fewest views without a promise, and whose worst attack does least.

    Of all that leak as little, as far as anybody can tell, the one of most utility. One that leaks
    more than is wished for, at the upper end, or was not attacked, is none; nor one that leaves a
    view where nothing is promised and nobody looked.
    """
    return min(_near(candidates, wish), key=_order, default=None)


def _eligible(candidate: Candidate, wish: Wish) -> bool:
    best = candidate.best
    if best is None or best.worst is None or best.unread or best.dark:
        return False
    return wish.most_leakage is None or best.worst.high <= wish.most_leakage


def _near(candidates: Sequence[Candidate], wish: Wish) -> list[Candidate]:
    """Those that promise most and leak no more than the least of them, as far as can be told."""
    open_ = [each for each in candidates if _eligible(each, wish)]
    fewest = min((_bare_of(each) for each in open_), default=0)
    found = [(each, _numbers(each)[0]) for each in open_ if _bare_of(each) == fewest]
    least = min((own.value for _, own in found), default=0.0)
    return [each for each, own in found if own.low <= least and own.value <= least + NEAR]


def _bare_of(candidate: Candidate) -> int:
    return 0 if candidate.best is None else len(candidate.best.bare)


def _order(candidate: Candidate) -> tuple[float, float, float]:
    found, utility = _numbers(candidate)
    return -utility.value, found.value, found.high


def _numbers(candidate: Candidate) -> tuple[Worst, Estimate]:
    """The worst attack and the utility of a candidate that may be chosen."""
    best = candidate.best
    if best is None or best.worst is None or best.row.utility is None:
        raise ValueError(f"expected a level with numbers, got none of {candidate.name}")
    return best.worst, best.row.utility


def _tried(
    row: Row, seeds: Sequence[CellResult], wish: Wish, least: float | None, numbers: int
) -> Tried:
    """One row with its worst attack and the utility of each seed."""
    own = tuple(
        (each.labels["seed"], each.utility[row.metric])
        for each in seeds
        if row.metric in each.utility
    )
    found = worst(seeds, wish.adversary, numbers)
    bare = _bare(row, wish)
    looked = {each.view for record in seeds for each in seen(record, wish.adversary)}
    dark = tuple(view for view in bare if view not in looked)
    return Tried(row, found, keeps(row, least), own, bare=bare, dark=dark)


def _bare(row: Row, wish: Wish) -> tuple[str, ...]:
    """The views of an adversary where nothing is promised.

    A claim about labels alone, or one that allows nearly everything, is none. Of a search on
    private records no claim is left to be asked about (`frontier.claims`).
    """
    bare = [own.view for own in row.guarantees if own.kind != SENT_NOTHING]
    kept = {own.view for own in row.guarantees if of_text(own) and binds(row, own)}
    return tuple(view for view in bare if view in wish.views and view not in kept)


def _candidate(name: str, tried: Sequence[Tried]) -> Candidate:
    """A defence with the first of its levels that keeps the utility."""
    return Candidate(name, tuple(tried), next((each for each in tried if each.useful), None))


def _placed(candidate: Candidate, chosen: Candidate | None, wish: Wish, near: bool) -> Candidate:
    """A candidate with why it is not the answer. near: it leaks no more, as far as can be told."""
    if chosen is not None and candidate.name == chosen.name:
        return candidate
    return replace(candidate, lost=_lost(candidate, chosen, wish, near))


def _lost(candidate: Candidate, chosen: Candidate | None, wish: Wish, near: bool) -> str:
    """Why a candidate is not the answer."""
    best, last = candidate.best, candidate.tried[-1].row
    if best is None:
        own: Comparison = last.comparison
        if last.note:
            return last.note
        if not own.holds and own != GAP:
            return f"cannot be judged: {own.words}"
        return "keeps too little utility at every level that was tried"
    if best.worst is None:
        return "no attack on it was measured"
    if best.unread:
        names = ", ".join(best.unread)
        return f"not attacked by {names}, which read others: what it leaks to them is not known"
    if best.dark:
        views = ", ".join(best.dark)
        return f"nothing is promised against {views}, and no attack looked there"
    if not _eligible(candidate, wish):
        return f"leaks more than {wish.most_leakage:g} above chance, at the upper end"
    if near:
        return "leaks no less, as far as can be told, and keeps less utility"
    if chosen is not None and _bare_of(candidate) > _bare_of(chosen):
        views = ", ".join(best.bare)
        return f"nothing is promised against {views}: there the attacks alone speak for it"
    least = None if chosen is None or chosen.best is None else chosen.best.worst
    close = least is not None and least.high >= best.worst.low
    return f"leaks more{', but by less than the intervals can tell' if close else ''}"


def _none(candidates: Sequence[Candidate]) -> str:
    """Why there is no answer, where training did learn."""
    if not candidates:
        return "no defence was tried yet."
    if any(each.best for each in candidates):
        return (
            "what keeps the utility leaks more than is wished for, was not attacked by all, or "
            "leaves a view where nothing is promised and no attack looked."
        )
    return "no defence keeps the utility that is wished for."
