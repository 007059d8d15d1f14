"""Tables of the rows as Markdown."""

from collections.abc import Iterable, Sequence

from reports import checks, metrics
from reports.alike import over_views
from reports.faults import fault, faults
from reports.labels import cells, columns
from reports.leak import Leak
from reports.markup import escaped, listed, markdown_table
from reports.noise_mode import noise_note
from reports.records import CellResult
from reports.rows import GuaranteeCell, Row, setting_rows
from reports.story import UNNOISED, doubts, received_lines
from reports.wording import (
    ABSENT,
    beside,
    decimal,
    duration,
    few,
    interval,
    size,
    what_is_allowed,
)


def markdown(records: Sequence[CellResult]) -> str:
    """The same tables as Markdown, with the full sentence of every guarantee below them."""
    rows = setting_rows(records)
    names = columns(rows)
    setting = ["model", "strategy", "defence", "level", *names]
    first = ["task", *setting, "seeds", "utility", "majority"]
    first += ["comparison", "worst inversion", "worst membership AUC", "bytes", "seconds", "note"]
    third = ["task", *setting, "view", "what", "worst", "beside", "flags", "comparison"]
    second = [*setting, *checks.VIEWS]
    body = [_markdown_row(row, names) for row in rows]
    wrong = listed("What may be wrong, and the figures below do not say:", doubts(records))
    lost = listed("Updates that did not come or were refused:", received_lines(records))
    void = [*(f"- **{escaped(each)}**" for each in faults(rows)), ""] if faults(rows) else []
    lines, below = [*void, *wrong, *lost], [f"**{escaped(fault(rows))}**", ""] if void else []
    lines += ["## Utility and leakage", "", *markdown_table(first, body)]
    lines += ["", f"Intervals: {confidence(rows)}. {HOW_AVERAGED}", ""]
    views = [_markdown_view(row, names, *each) for row in rows for each in row.view_lines]
    if views:
        lines += ["## Worst inversion per view", "", *below, *markdown_table(third, views), ""]
    lines += [*(f"- {escaped(each)}" for each in warned), ""] if (warned := alarms(rows)) else []
    lines += ["## Guarantee per view", "", *below]
    lines += [note, ""] if (note := noise_note(records)) else []
    lines += [UNNOISED, ""]
    groups = by_guarantee(rows)
    body = [[*_setting(row, names), *(each.short for each in row.guarantees)] for row, _ in groups]
    lines += markdown_table(second, body)
    for row, tasks in groups:
        title = escaped(", ".join((row.model, row.strategy, row.name)))
        lines += ["", f"**{title}** ({escaped(', '.join(tasks))})", ""]
        lines += [f"- {v}: {escaped(sentence)}" for v, _, sentence in together(row.guarantees)]
        lines += [f"- {escaped(what_is_allowed(each))}" for each in row.allows]
    return "\n".join(lines) + "\n"


HOW_AVERAGED = (
    "A number over several seeds is their mean; its interval adds Student's t over the seeds and "
    "the runs' own intervals in quadrature. The worst attack is the one with the highest mean; "
    "its interval is its own, not corrected for having been chosen."
)


def together(guarantees: Iterable[GuaranteeCell]) -> list[tuple[str, str, str]]:
    """Return (views, short form, sentence) of a row's guarantees: views told the same once."""
    by_short: dict[str, list[tuple[str, str]]] = {}
    for each in guarantees:
        by_short.setdefault(each.short, []).append((each.view, each.sentence))
    return [
        (views, short, sentence)
        for short, said in by_short.items()
        for views, sentence in over_views(said)
    ]


def by_guarantee(rows: Iterable[Row]) -> list[tuple[Row, tuple[str, ...]]]:
    """One row per model, strategy, setting and guarantees, with its tasks."""
    found: dict[tuple[object, ...], tuple[Row, list[str]]] = {}
    for row in rows:
        if row.guarantees:
            key = (*_setting(row), row.further, row.guarantees)
            tasks = found.setdefault(key, (row, []))[1]
            if row.task not in tasks:
                tasks.append(row.task)
    return [(row, tuple(tasks)) for row, tasks in found.values()]


def confidence(rows: Iterable[Row]) -> str:
    """The confidence of the rows' intervals in words.

    >>> confidence([])
    'none'
    """
    leaks = [leak for row in rows for leak in (row.inversion, row.membership) if leak]
    estimates = [row.utility for row in rows if row.utility] + [leak.estimate for leak in leaks]
    levels = sorted({each.confidence for each in estimates})
    return " and ".join(f"{100 * level:g} %" for level in levels) or "none"


def seed_text(row: Row) -> str:
    """How many seeds the row's numbers come from."""
    return str(len(row.seeds)) if row.seeds else ABSENT


def alarms(rows: Iterable[Row]) -> list[str]:
    """Every alarm of the settings, each once, with those that have it."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for text in row.alarms:
            found.setdefault(text, []).append(f"{row.task}, {row.strategy}, {row.name}")
    return [f"NOTE: {text} ({few(own)})" for text, own in found.items()]


def _found(row: Row, leak: Leak) -> list[str]:
    """The number, its attack, and of how many seeds it is where it is not of all."""
    lines = [interval(leak.estimate), f"{leak.name} ({leak.view})", row.fewer_seeds(leak)]
    return [line for line in lines if line]


def _setting(row: Row, names: Sequence[str] = ()) -> list[str]:
    """Model, strategy, defence and level of a row, and its further labels of these names."""
    return [row.model, row.strategy, row.defence, row.level, *cells(row.further, names)]


def _markdown_view(row: Row, names: Sequence[str], view: str, leak: Leak) -> list[str]:
    head = [row.task, *_setting(row, names), view, metrics.title(leak.metric)]
    flags = "; ".join(leak.flags)
    return [*head, " ".join(_found(row, leak)), beside(leak), flags, row.comparison.value]


def _markdown_row(row: Row, names: Sequence[str]) -> list[str]:
    utility = f"{interval(row.utility)} {metrics.title(row.metric)}" if row.utility else ABSENT
    leaks = [
        f"{' '.join(_found(row, leak))}, {beside(leak)}" if leak else ABSENT
        for leak in (row.inversion, row.membership)
    ]
    leaks[1] = "; ".join([leaks[1], *row.membership_notes])
    spent = [size(row.bytes), duration(row.seconds), row.note]
    held = [decimal(row.majority_baseline), row.comparison.value]
    return [row.task, *_setting(row, names), seed_text(row), utility, *held, *leaks, *spent]
