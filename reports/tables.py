"""The rows as a terminal table, as Markdown and as CSV."""

import csv
import io
from collections.abc import Callable, Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

from reports import checks, metrics
from reports.records import Estimate, RunRecord
from reports.rows import Leak, Protection, Row, cell_rows, setting_rows

ABSENT = "-"


def terminal_tables(records: Sequence[RunRecord]) -> tuple[Table, ...]:
    """One table per task (utility beside leakage) and one of guarantees; 100 columns at most."""
    rows = setting_rows(records)
    tasks = dict.fromkeys(row.task for row in rows)
    tables = [_leakage_table(task, [row for row in rows if row.task == task]) for task in tasks]
    return (*tables, _guarantee_table(rows))


def markdown(records: Sequence[RunRecord]) -> str:
    """The same two tables as Markdown, with the full sentence of every guarantee below them."""
    rows = setting_rows(records)
    first = ["task", "model", "strategy", "defence", "level", "seeds", "utility", "majority"]
    first += ["worst inversion", "worst membership AUC", "bytes", "seconds", "note"]
    second = ["strategy", "defence", "level", *checks.VIEWS]
    lines = ["## Utility and leakage", "", *_markdown_table(first, map(_markdown_row, rows))]
    lines += ["", f"Intervals: {confidence(rows)}. {HOW_AVERAGED}", "", "## Guarantee per view", ""]
    groups = by_guarantee(rows)
    body = [
        [row.strategy, row.defence, row.level, *(each.short for each in row.protections)]
        for row, _ in groups
    ]
    lines += _markdown_table(second, body)
    for row, tasks in groups:
        lines += ["", f"**{_md(row.strategy)}, {_md(row.setting)}** ({_md(', '.join(tasks))})", ""]
        lines += [f"- {each.view}: {_md(each.sentence)}" for each in row.protections]
    return "\n".join(lines) + "\n"


def csv_table(records: Sequence[RunRecord]) -> str:
    """One line per cell, numbers at full precision, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head = ["cell", "task", "model", "strategy", "defence", "level", "seed", "status", "note"]
    head += ["metric", *_columns("utility"), "baseline"]
    for family in ("inversion", "membership"):
        head += [f"{family}_{name}" for name in ("attack", "view", "metric")]
        head += [*_columns(family), f"{family}_chance"]
    head += [f"{view}_{name}" for view in checks.VIEWS for name in ("guarantee", "delta")]
    head += ["places", "mechanisms", *MECHANISM]
    writer.writerow([*head, "bytes", "seconds"])
    for record, row in zip(records, cell_rows(records), strict=True):
        fields: list[object] = [record.cell, row.task, row.model, row.strategy, row.defence]
        fields += [row.level, record.labels["seed"], row.status, row.note]
        fields += [row.metric, *_numbers(row.utility), row.baseline]
        for leak in (row.inversion, row.membership):
            fields += [leak.attack, leak.view, leak.metric] if leak else [None] * 3
            fields += [*_numbers(leak.estimate if leak else None), leak.chance if leak else None]
        known = {each.view: each for each in row.protections}
        for view in checks.VIEWS:
            each = known.get(view)
            fields += [each.short, each.delta] if each else [None, None]
        fields += _of_mechanisms(record)
        writer.writerow([*fields, None if row.bytes is None else round(row.bytes), row.seconds])
    return text.getvalue()


MECHANISM = ("clip_norm", "noise_std", "clipped_share", "signal_to_noise")
"""What the CSV table says of each mechanism, as the records name it."""

HOW_AVERAGED = (
    "A number over several seeds is their mean; its interval adds Student's t over the seeds and "
    "the runs' own intervals in quadrature. The worst attack is the one with the highest mean; "
    "its interval is its own, not corrected for having been chosen."
)


def by_guarantee(rows: Iterable[Row]) -> list[tuple[Row, tuple[str, ...]]]:
    """One row per strategy, defence, level and guarantees, with the tasks that it stands for."""
    found: dict[tuple[str, str, str, tuple[Protection, ...]], tuple[Row, list[str]]] = {}
    for row in rows:
        if row.protections:
            key = (row.strategy, row.defence, row.level, row.protections)
            tasks = found.setdefault(key, (row, []))[1]
            if row.task not in tasks:
                tasks.append(row.task)
    return [(row, tuple(tasks)) for row, tasks in found.values()]


def by_short(row: Row) -> list[tuple[str, list[str]]]:
    """The short forms of the row's guarantees, each with its views; what is claimed comes first."""
    found: dict[str, list[str]] = {}
    for each in sorted(row.protections, key=lambda each: not each.claimed):
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


def interval(estimate: Estimate | None) -> str:
    """Value and interval, to three decimals or, above ten, to one.

    >>> interval(Estimate(0.86, 0.84, 0.881, n=10)), interval(None)
    ('0.860 [0.840, 0.881]', '-')
    """
    if estimate is None:
        return ABSENT
    places = 1 if max(abs(estimate.low), abs(estimate.high)) >= 10 else 3
    value, low, high = (f"{x:.{places}f}" for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def decimal(value: float | None) -> str:
    """A number to three decimals, or a dash for none."""
    return ABSENT if value is None else f"{value:.3f}"


def size(count: float | None) -> str:
    """A number of bytes with its decimal unit.

    >>> size(131e6), size(999), size(None)
    ('131 MB', '999 B', '-')
    """
    if count is None:
        return ABSENT
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def duration(seconds: float | None) -> str:
    """Seconds to three figures, without an exponent."""
    if seconds is None:
        return ABSENT
    return f"{seconds:.0f} s" if seconds >= 99.5 else f"{seconds:.3g} s"


def source(leak: Leak | None) -> str:
    """Which attack on which view, and what chance is."""
    if leak is None:
        return ""
    chance = "unknown" if leak.chance is None else f"{leak.chance:.3g}"
    return f"{leak.attack} ({leak.view}), chance {chance}"


def seed_text(row: Row) -> str:
    """How many seeds the row's numbers come from."""
    return str(len(row.seeds)) if row.seeds else ABSENT


def _table(title: str, heads: Sequence[str], widths: Sequence[int]) -> Table:
    """An empty table without vertical lines, at most 100 columns wide."""
    table = Table(
        title=f"\n{escape(title)}",
        title_justify="left",
        box=SIMPLE_HEAD,
        pad_edge=False,
        show_edge=False,
        collapse_padding=True,
    )
    for head, width in zip(heads, widths, strict=True):
        table.add_column(escape(head), min_width=min(width, 5), max_width=width, overflow="fold")
    return table


def _leakage_table(task: str, rows: Sequence[Row]) -> Table:
    """One task's utility beside its leakage; the attacks stand in a second line."""
    inversions = [row.inversion for row in rows if row.inversion]
    memberships = [row.membership for row in rows if row.membership]
    metric = next((row.metric for row in rows if row.metric), "")
    several = len({row.model for row in rows}) > 1
    baseline = _span("majority class", [row.baseline for row in rows if row.baseline is not None])
    heads = ["defence, strategy", "seeds", f"utility\n{metrics.title(metric)}{baseline}"]
    heads += [f"worst inversion\ntoken accuracy{_span('chance', _chances(inversions))}"]
    heads += [f"worst membership\nAUC{_span('chance', _chances(memberships))}"]
    table = _table(f"{task}: utility and leakage [{confidence(rows)}]", heads, (23, 5, 21, 21, 21))
    for row in rows:
        name = f"{row.setting}\n{row.strategy}{', ' + row.model if several else ''}"
        if row.seeds:
            utility = interval(row.utility) + (f"\n{row.note}" if row.note else "")
            cells = [
                name,
                seed_text(row),
                utility,
                *map(_two_lines, (row.inversion, row.membership)),
            ]
        else:
            cells = [name, ABSENT, row.note, "", ""]
        table.add_row(*map(escape, cells))
    return table


def _chances(leaks: Iterable[Leak]) -> list[float]:
    return [leak.chance for leak in leaks if leak.chance is not None]


def _span(name: str, values: Sequence[float]) -> str:
    """ ", NAME x" or ", NAME x to y" for known values, and nothing for none."""
    ends = dict.fromkeys(f"{x:.3g}" for x in (min(values), max(values))) if values else {}
    return f"\n{name} {' to '.join(ends)}" if ends else ""


def _two_lines(leak: Leak | None) -> str:
    if leak is None:
        return "not measured"
    return f"{interval(leak.estimate)}\n{leak.attack} ({leak.view})"


def _guarantee_table(rows: Sequence[Row]) -> Table:
    """What is guaranteed per view, and what was sent and spent."""
    heads = ("defence, strategy", "guarantee: views", "bytes", "seconds")
    table = _table("Guarantee per view", heads, (25, 48, 10, 10))
    for row, tasks in by_guarantee(rows):
        same = [
            each
            for each in rows
            if (each.strategy, each.setting) == (row.strategy, row.setting) and each.task in tasks
        ]
        text = "\n".join(f"{short}: {', '.join(views)}" for short, views in by_short(row))
        cells = [f"{row.setting}\n{row.strategy}", text]
        cells += [_range([each.bytes for each in same], size)]
        cells += [_range([each.seconds for each in same], duration)]
        table.add_row(*map(escape, cells))
    return table


def _range(values: Sequence[float | None], show: Callable[[float | None], str]) -> str:
    """The least and the greatest value, once if they read the same."""
    known = sorted(value for value in values if value is not None)
    ends = dict.fromkeys(show(value) for value in (known[0], known[-1])) if known else [ABSENT]
    return " to ".join(ends)


def _markdown_row(row: Row) -> list[str]:
    utility = f"{interval(row.utility)} {metrics.title(row.metric)}" if row.utility else ABSENT
    leaks = [
        f"{interval(leak.estimate)} {source(leak)}" if leak else ABSENT
        for leak in (row.inversion, row.membership)
    ]
    spent = [size(row.bytes), duration(row.seconds), row.note]
    names = [row.task, row.model, row.strategy, row.defence, row.level, seed_text(row)]
    return [*names, utility, decimal(row.baseline), *leaks, *spent]


def _markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *([_md(cell) for cell in row] for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _md(text: str) -> str:
    """`text` with what Markdown and HTML would read as markup escaped, on one line."""
    for mark in ("\\", "`", "*", "_", "|", "]("):
        text = text.replace(mark, "\\" + mark)
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())


def _of_mechanisms(record: RunRecord) -> list[str]:
    """Places, names and logs of a cell's mechanisms; several are joined by "; "."""
    entries = record.mechanisms.values()
    columns = [[str(place) for place in record.mechanisms], [str(e["name"]) for e in entries]]
    for key in MECHANISM:
        found = [e.get(key) for e in entries]
        columns.append(["" if value is None else repr(value) for value in found])
    return ["; ".join(column) for column in columns]


def _columns(name: str) -> list[str]:
    return [name, f"{name}_low", f"{name}_high", f"{name}_n"]


def _numbers(estimate: Estimate | None) -> list[float | None]:
    if estimate is None:
        return [None] * 4
    return [estimate.value, estimate.low, estimate.high, estimate.n]
