"""Sentences of a report that are made from its data."""

from collections.abc import Sequence

from reports import comparison, metrics
from reports.faults import noted
from reports.records import CellResult
from reports.rows import Row

UNNOISED = (
    "No guarantee covers this report: scores, leakage, clipped shares, signal to noise, examples "
    "per client and label, and the hash of the data were taken from the data without noise; the "
    "hash alone settles which of two data sets it was."
)
"""What whoever gets a report is told of it."""


def headline(rows: Sequence[Row]) -> str:
    """One sentence that sums up the settings: what stays useful, and what it still leaks."""
    measured = [row for row in rows if row.utility]
    if not measured:
        return "No cell of this run finished: there is nothing to report but the reasons below."
    void = [row for row in measured if row.comparison.value == comparison.VOID]
    if len(void) == len(measured):
        return " ".join(noted(measured))
    guarded = [row for row in measured if row.units]
    if not guarded:
        text = f"None of the {_count(len(measured), 'measured setting')} carries a guarantee on any"
        return f"{text} view{_metric(measured)}{_leaks(measured)}."
    text = f"Of {_count(len(measured), 'measured setting')}, {len(guarded)} carry a guarantee on"
    text += f" at least one view{_metric(measured)}"
    judged = [row for row in guarded if beats_majority(row) is not None]
    if not judged:
        return f"{text}{_leaks(guarded)}."
    useful = [row for row in judged if beats_majority(row)]
    unjudged = len(guarded) - len(judged)
    aside = f" ({unjudged} more have nothing to be held against)" if unjudged else ""
    return (
        f"{text}; {len(useful) or 'none'} of these stay clearly above the "
        f"majority class{aside}{_leaks(useful)}."
    )


def doubts(records: Sequence[CellResult]) -> list[str]:
    """What may be wrong with the models and data of some cells, each sentence once."""
    return list(dict.fromkeys(doubt for record in records for doubt in record.doubts))


def task_story(rows: Sequence[Row]) -> list[str]:
    """For one task: a setting without a guarantee, the least leaking one, the least leaking one
    that stays useful.

    Leaking is judged by inversion, or by membership where no inversion was measured.
    """
    measured = [row for row in rows if row.utility]
    guarded = [row for row in measured if row.units]
    bare = [row for row in measured if not row.units and not row.metric_only]
    told = [f"Without a guarantee, {_told(row)}." for row in bare][:1]
    family = "inversion" if any(row.inversion for row in guarded) else "membership"
    known = [row for row in guarded if leak_value(row, family) is not None]
    if not known:
        return told
    words = {"inversion": "inversion", "membership": "membership inference"}[family]
    least = _least(known, family)
    told.append(f"With one, the least open to {words} {_are(least)}.")
    useful = [row for row in known if beats_majority(row)]
    if useful and not any(map(beats_majority, least)):
        best = _least(useful, family)
        it = "it" if len(best) == 1 else "they"
        told.append(f"Of those clearly better than the majority class, {it} {_are(best)}.")
    return told


def _least(rows: Sequence[Row], family: str) -> list[Row]:
    """The row that leaks least, with those of the same number, the useful first."""

    def leaks(row: Row) -> float:
        return round(leak_value(row, family) or 0.0, 3)

    tied = [row for row in rows if leaks(row) == min(map(leaks, rows))]
    return sorted(tied, key=lambda row: not beats_majority(row))


def _are(rows: Sequence[Row]) -> str:
    """That it is this row, or that several tie, the first of them told."""
    if len(rows) == 1:
        return f"is {_told(rows[0])}"
    names = "; ".join(f"{row.name} ({row.strategy})" for row in rows)
    return f"are {len(rows)} that tie ({names}), such as {_told(rows[0])}"


def beats_majority(row: Row) -> bool | None:
    """Whether the whole utility interval is better than the majority class; None if unknown.

    Unknown, too, where it is not and the comparison does not hold: that may be the training's
    fault, and not the defence's.
    """
    if row.utility is None or row.majority_baseline is None:
        return None
    better = metrics.clearly_better(
        row.metric, row.utility.low, row.utility.high, row.majority_baseline
    )
    return better if better or row.comparison.holds else None


def leak_value(row: Row, family: str) -> float | None:
    """The worst attack's measured number; None where none was measured."""
    leak = row.inversion if family == "inversion" else row.membership
    return leak.estimate.value if leak else None


def tally(records: Sequence[CellResult]) -> str:
    """How many cells there are, and what became of them."""
    counts = {status: 0 for status in ("done", "skipped", "failed")}
    for record in records:
        counts[record.status] += 1
    parts = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return f"{_count(len(records), 'cell')}: {parts}" if parts else "no cells"


def _told(row: Row) -> str:
    """One setting in words, with its intervals."""
    utility = row.utility
    if utility is None:
        return f"{row.name} ({row.strategy}) has no measured utility"
    places = 1 if abs(utility.high) >= 10 else 3
    text = (
        f"{row.name} ({row.strategy}): {metrics.title(row.metric)} "
        f"{utility.value:.{places}f} [{utility.low:.{places}f}, {utility.high:.{places}f}]"
    )
    verdict = beats_majority(row)
    if verdict is not None and row.majority_baseline is not None:
        words = "clearly better than" if verdict else "not clearly better than"
        text += f", {words} the majority class ({row.majority_baseline:.3f})"
    if row.inversion:
        found = row.inversion.estimate
        text += (
            f"; {row.inversion.attack} on its {row.inversion.view} view recovers "
            f"{_percent(found.value)} [{_percent(found.low)}, {_percent(found.high)}] of the tokens"
        )
    if row.membership:
        found = row.membership.estimate
        text += f"; membership AUC {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
    return text


def _metric(rows: Sequence[Row]) -> str:
    """How many settings have metric privacy alone, in parentheses; nothing for none."""
    count = sum(row.metric_only for row in rows)
    return f" ({count} a metric guarantee alone, which is no epsilon)" if count else ""


def _leaks(rows: Sequence[Row]) -> str:
    """The span of both leakages over `rows`, as the end of a sentence."""
    inversions = [row.inversion.estimate.value for row in rows if row.inversion]
    memberships = [row.membership.estimate.value for row in rows if row.membership]
    parts = []
    if inversions:
        ends = dict.fromkeys(_percent(value) for value in (min(inversions), max(inversions)))
        parts.append(f"the worst inversion recovers {' to '.join(ends)} of the tokens")
    if memberships:
        span = dict.fromkeys(f"{value:.2f}" for value in (min(memberships), max(memberships)))
        parts.append(f"the worst membership AUC is {' to '.join(span)}")
    return f"; there {', and '.join(parts)}" if parts else ""


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
