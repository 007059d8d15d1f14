"""Tables of the rows for a terminal and as Markdown."""

from collections.abc import Callable, Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from reports import checks, metrics
from reports.alike import over_views
from reports.faults import fault, faults, noted
from reports.labels import cells, columns
from reports.layout import unbroken, with_heads
from reports.leak import Leak
from reports.markup import escaped, listed, markdown_table
from reports.noise_mode import noise_note
from reports.records import CellResult
from reports.rows import GuaranteeCell, Row, setting_rows
from reports.story import UNNOISED, doubts, received_lines
from reports.terminal import cell, harmless
from reports.wording import (
    ABSENT,
    beside,
    decimal,
    duration,
    interval,
    size,
    what_is_allowed,
)


def terminal_tables(records: Sequence[CellResult], noted: bool = False) -> tuple[Table, ...]:
    """Two tables per task (utility beside leakage; worst inversion per view), one of guarantees.

    100 columns at most. A task without any inversion has one table. noted: what stands before them
    says already that noise can be made again.
    """
    rows = setting_rows(records)
    tables = []
    for task in dict.fromkeys(row.task for row in rows):
        own = [row for row in rows if row.task == task]
        tables.append(_leakage_table(task, own))
        if any(row.view_lines for row in own):
            tables.append(_view_table(task, own))
    last = _guarantee_table(rows)
    last.caption = None if noted else noise_note(records) or None
    return (*tables, last)


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


def by_short(row: Row) -> list[tuple[str, list[str]]]:
    """The short forms of the row's guarantees, each with its views; what is claimed comes first."""
    found: dict[str, list[str]] = {}
    for each in sorted(row.guarantees, key=lambda each: not each.claimed):
        found.setdefault(each.short, []).append(each.view)
    return list(found.items())


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


def _table(title: str, heads: Sequence[str], widths: Sequence[int], told: Sequence[str]) -> Table:
    """An empty table without vertical lines, at most 100 columns wide; no head breaks in a word.

    told: stands below its title, a line each.
    """
    notice = "".join(f"\n{harmless(each)}" for each in told)
    table = Table(
        title=Text(f"\n{harmless(title)}", style="table.title").append(notice, style="bold red"),
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
    )
    return with_heads(table, heads, widths)


def _leakage_table(task: str, rows: Sequence[Row]) -> Table:
    """One task's utility beside its leakage; the attacks stand in a second line."""
    inversions = [row.inversion for row in rows if row.inversion]
    memberships = [row.membership for row in rows if row.membership]
    metric = next((row.metric for row in rows if row.metric), "")
    several = len({row.model for row in rows}) > 1
    majority = [x for row in rows if (x := row.majority_baseline) is not None]
    beside_utility = _span("majority class", majority)
    names = columns(rows)
    heads = [
        "defence, strategy",
        *_heads(names),
        "seeds",
        f"utility\n{metrics.title(metric)}{beside_utility}",
    ]
    heads += [f"worst inversion\ntoken accuracy{_span('chance', _chances(inversions))}"]
    heads += [f"worst membership\nAUC{_span('chance', _chances(memberships))}"]
    table = _table(
        f"{task}: utility and leakage [{confidence(rows)}]",
        heads,
        (23, *_narrow(names), 5, 21, 21, 21),
        faults(rows),
    )
    for row in rows:
        name = f"{row.setting}\n{row.strategy}{', ' + row.model if several else ''}"
        if row.seeds:
            utility = interval(row.utility) + (f"\n{row.note}" if row.note else "")
            found = [_number_and_source(row, leak) for leak in (row.inversion, row.membership)]
            if row.inversion is None and any(leak.family == "inversion" for leak in row.leaks):
                found[0] = "not by this metric: see worst inversion per view"
            found[1] = "\n".join([found[1], *row.membership_notes])
            rest = [seed_text(row), utility, *found]
        else:
            rest = [ABSENT, row.note, "", ""]
        table.add_row(*map(cell, (name, *cells(row.further, names), *rest)))
    return unbroken(table)


def _chances(leaks: Iterable[Leak]) -> list[float]:
    return [leak.chance for leak in leaks if leak.chance is not None]


def _span(name: str, values: Sequence[float]) -> str:
    """ ", NAME x" or ", NAME x to y" for known values, and nothing for none."""
    ends = dict.fromkeys(f"{x:.3g}" for x in (min(values), max(values))) if values else {}
    return f"\n{name} {' to '.join(ends)}" if ends else ""


def _found(row: Row, leak: Leak) -> list[str]:
    """The number, its attack, and of how many seeds it is where it is not of all."""
    lines = [interval(leak.estimate), f"{leak.name} ({leak.view})", row.fewer_seeds(leak)]
    return [line for line in lines if line]


def _number_and_source(row: Row, leak: Leak | None) -> str:
    """The number, its attack, and what it lies between."""
    if leak is None:
        return "not measured"
    lines = _found(row, leak)
    if leak.reference_attack is not None or leak.reconstruction_bound is not None:
        lines.append(beside(leak))
    return "\n".join([*lines, *leak.flags])


def _view_table(task: str, rows: Sequence[Row]) -> Table:
    """What the adversary of every view recovers at worst, and the flags."""
    names = columns(rows)
    heads = ("defence, strategy", *_heads(names), "view: what", "worst attack", "beside")
    widths = (23, *_narrow(names), 24, 24, 22)
    table = _table(f"{task}: worst inversion per view", heads, widths, noted(rows))
    for row in rows:
        setting = [f"{row.setting}\n{row.strategy}", *cells(row.further, names)]
        for view, leak in row.view_lines:
            what = f"{view}:\n{metrics.title(leak.metric)}"
            near = "\n".join([beside(leak), *leak.flags])
            table.add_row(*map(cell, (*setting, what, "\n".join(_found(row, leak)), near)))
            setting = [""] * len(setting)
        for alarm in row.alarms:
            table.add_row(*[""] * (1 + len(names)), "", cell(f"NOTE: {alarm}"), "")
    return unbroken(table)


def _setting(row: Row, names: Sequence[str] = ()) -> list[str]:
    """Model, strategy, defence and level of a row, and its further labels of these names."""
    return [row.model, row.strategy, row.defence, row.level, *cells(row.further, names)]


def _heads(names: Sequence[str]) -> list[str]:
    """The heads of the columns of further labels, the section of a setting in a line of its own."""
    return [name.replace(".", ".\n", 1) for name in names]


def _narrow(names: Sequence[str]) -> list[int]:
    """The widths of the columns of further labels."""
    return [9] * len(names)


def _markdown_view(row: Row, names: Sequence[str], view: str, leak: Leak) -> list[str]:
    head = [row.task, *_setting(row, names), view, metrics.title(leak.metric)]
    flags = "; ".join(leak.flags)
    return [*head, " ".join(_found(row, leak)), beside(leak), flags, row.comparison.value]


def _guarantee_table(rows: Sequence[Row]) -> Table:
    """What is guaranteed per view, and what was sent and spent."""
    names = columns(rows)
    heads = ("defence, strategy", *_heads(names), "guarantee: views", "bytes", "seconds")
    table = _table("Guarantee per view", heads, (25, *_narrow(names), 48, 10, 10), noted(rows))
    for row, tasks in by_guarantee(rows):
        same = [
            each
            for each in rows
            if (_setting(each), each.further) == (_setting(row), row.further) and each.task in tasks
        ]
        text = "\n".join(f"{short}: {', '.join(views)}" for short, views in by_short(row))
        line = [f"{row.setting}\n{row.strategy}, {row.model}", *cells(row.further, names), text]
        line += [_range([each.bytes for each in same], size)]
        line += [_range([each.seconds for each in same], duration)]
        table.add_row(*map(cell, line))
    return unbroken(table)


def _range(values: Sequence[float | None], show: Callable[[float | None], str]) -> str:
    """The least and the greatest value, once if they read the same."""
    known = sorted(value for value in values if value is not None)
    ends = dict.fromkeys(show(value) for value in (known[0], known[-1])) if known else [ABSENT]
    return " to ".join(ends)


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
