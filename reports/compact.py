"""Table for a terminal: one row a setting, its utility, the worst that leaks, and what is claimed.

What it leaves out stands in `table.md`, in the page, and in `fedbert-eval show`.
"""

import re
from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from reports import metrics
from reports.checks import VIEWS
from reports.faults import UNBLAMED, faults
from reports.frontier.leakage import above_chance, judged
from reports.labels import cells, columns
from reports.layout import longest_word
from reports.leak import Leak
from reports.noise_mode import noise_note
from reports.plain import in_words
from reports.records import CellResult
from reports.rows import Row, setting_rows
from reports.tables import alarms
from reports.terminal import cell, harmless
from reports.wording import ABSENT, few, interval

TITLE = "Worst leak: the attack that comes furthest above its chance, of all that were run"

WIDTH = 100
"""The characters of a table where no terminal says how wide it is."""
GAP = 2
"""The blanks between two columns."""
LEAST = 14
"""The fewest characters of the column of defences."""


def compact_table(records: Sequence[CellResult], noted: bool = False, width: int = WIDTH) -> Table:
    """Return the table of a run's settings, in their order, so many characters wide at most.

    noted: what stands before it says already that noise can be made again.
    """
    rows = setting_rows(records)
    several = [part for part in ("task", "model", "strategy") if _differ(rows, part)]
    names = [name for name in columns(rows) if _tells(rows, name)]
    further = [name.replace(".", ".\n", 1) for name in names]
    kinds = list(dict.fromkeys(metrics.title(row.metric) for row in rows if row.metric))
    utility = f"utility\n{kinds[0]}" if len(kinds) == 1 else "utility"
    heads = [*several, "defence", *further, utility, "worst leak", "chance", "epsilon: views"]
    lines = [
        [*(getattr(row, part) for part in several), _named(row), *cells(row.further, names),
         _utility(row, len(kinds)), *_leak(row), _claims(row)]
        for row in rows
    ]  # fmt: skip
    numbers = (23, 24) if width >= WIDTH else (14, 16)  # an interval in one line, or in two
    most = [11] * len(several) + [width] + [max(9, longest_word(each)) for each in further]
    table = _headed(faults(rows))
    widths = _widths([heads, *lines], [*most, *numbers, 7, 18], len(several), width)
    for head, own in zip(heads, widths, strict=True):
        table.add_column(cell(head), width=own, overflow="fold")
    for line in lines:
        table.add_row(*map(cell, line))
    told = [*gone(rows), *alarms(rows), *([] if noted else [noise_note(records)])]
    table.caption = Text("\n".join(harmless(each) for each in told if each)) or None
    return table


def _headed(wrong: Sequence[str]) -> Table:
    return Table(
        title=Text(_title(wrong), style="bold red" if wrong else "table.title"),
        title_justify="left", box=SIMPLE_HEAD, pad_edge=False, show_edge=False,
        collapse_padding=True, caption_justify="left",
    )  # fmt: skip


def _named(row: Row) -> str:
    """Return a defence and its level, in words."""
    return row.defence if row.level in ("-", "") else f"{row.defence}, {in_words(row.level)}"


def _widths(
    lines: Sequence[Sequence[str]], most: Sequence[int], wide: int, width: int
) -> list[int]:
    """Return the width of each column: its longest line's, up to so much.

    wide: the column that has what the others leave.
    """
    longest = [
        max(len(line) for text in column for line in harmless(text).splitlines() or [""])
        for column in zip(*lines, strict=True)
    ]
    found = [min(pair) for pair in zip(longest, most, strict=True)]
    left = width - sum(found) + found[wide] - GAP * (len(found) - 1)
    word = max(longest_word(line[wide]) for line in lines)
    found[wide] = min(longest[wide], max(left, LEAST, word))
    return found


def gone(rows: Iterable[Row]) -> list[str]:
    """Return why cells have no numbers, each reason once, with the settings that it is of."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.note:
            found.setdefault(row.note, []).append(f"{row.task}, {row.strategy}, {row.name}")
    return [f"{note} ({few(own)})" for note, own in found.items()]


def worst_leak(row: Row) -> Leak | None:
    """Return what comes furthest above its chance, of what counts; None where nothing does."""
    return max(
        judged(row.leaks),
        key=lambda leak: above_chance(leak.estimate.value, leak.chance),
        default=None,
    )


def _differ(rows: Iterable[Row], part: str) -> bool:
    return len({getattr(row, part) for row in rows}) > 1


def _tells(rows: Sequence[Row], name: str) -> bool:
    """Whether a further setting takes several values under one defence, as in a sweep."""
    found: dict[tuple[str, ...], set[str]] = {}
    for row in rows:
        own = (row.task, row.model, row.strategy, row.defence)
        found.setdefault(own, set()).add(dict(row.further).get(name, ""))
    return any(len(values) > 1 for values in found.values())


def _title(wrong: Sequence[str]) -> str:
    told = [*wrong, f"{UNBLAMED}."] if wrong else [TITLE]
    return "\n" + "\n".join(map(harmless, told))


def _utility(row: Row, kinds: int) -> str:
    """Return the utility, with its metric where there are several, or what became of its cells."""
    if row.utility is None:
        return row.status
    named = [metrics.title(row.metric)] if kinds > 1 else []
    seeds = [f"mean of {len(row.seeds)} seeds"] if len(row.seeds) > 1 else []
    return "\n".join([interval(row.utility), *named, *seeds])


def _leak(row: Row) -> tuple[str, str]:
    """Return the number with what was read on which view, and its chance."""
    leak = worst_leak(row)
    if leak is None:
        return ("not measured" if row.seeds else ABSENT), ""
    by = f"{metrics.title(leak.metric)}, {leak.view}"
    lines = [interval(leak.estimate), by, row.fewer_seeds(leak), *leak.flags]
    chance = "unknown" if leak.chance is None else f"{leak.chance:.3g}"
    return "\n".join(each for each in lines if each), chance


def _claims(row: Row) -> str:
    """Return the epsilons with their units and views; "none" where nothing is claimed."""
    found: dict[str, list[str]] = {}
    for each in row.guarantees:
        if each.claimed:
            found.setdefault(brief(each.short), []).append(each.view)
    lines = [f"{claim}:\n{_views(views)}" for claim, views in found.items()]
    return "\n".join(lines) or ("none" if row.guarantees else ABSENT)


def brief(short: str) -> str:
    """Return the numbers of a claim's short form, each with its unit.

    >>> brief("eps 4.0 (record, add-or-remove-one, data set); eps 1.5 (label, replace-one, local)")
    '4.0 (record), 1.5 (label)'
    >>> brief("metric, eta 10.0 over 1 releases (token, local)")
    'eta 10.0 (token)'
    """
    found = re.findall(r"(?:eps |metric, (eta ))(\S+)(?: over \d+ releases)? \((\w+)", short)
    return ", ".join(dict.fromkeys(f"{eta}{number} ({unit})" for eta, number, unit in found))


def _views(views: Sequence[str]) -> str:
    """Return some views in few words.

    >>> _views(["forward", "peer"]), _views([view for view in VIEWS if view != "peer"])
    ('forward, peer', 'all but peer')
    """
    rest = [view for view in VIEWS if view not in views]
    if not rest:
        return "all views"
    return f"all but {rest[0]}" if len(rest) == 1 else ", ".join(views)
