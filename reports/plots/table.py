"""Table of runs for a paper: LaTeX with booktabs, Markdown, or CSV, a line for each setting."""

import csv
import io
from collections.abc import Mapping, Sequence

from reports import metrics
from reports.figures.naming import joined, named
from reports.markup import markdown_table
from reports.noise_mode import note_of
from reports.plots.latex import latex_tables
from reports.rows import Row, round_up
from reports.spreadsheet import quoted
from reports.wording import ABSENT, duration, interval, size

TABLES = {"latex": "tex", "markdown": "md", "csv": "csv"}
"""The forms of a table, and how their files end."""
HEADS = (
    "task", "setting", "seeds", "utility", "worst inversion", "worst membership", "claim", "sent",
    "time", "comparison",
)  # fmt: skip


def table(runs: Mapping[str, Sequence[Row]], form: str) -> str:
    """The settings of runs, a line each, in a form of `TABLES`; of several runs with their names.

    Values stand with their intervals; over several seeds they are means, and the seeds are counted.
    Runs are never averaged. Claims of noise that can be made again have a note below them; as CSV,
    a column says of each setting what noise it had.
    """
    heads, lines = _lines(runs)
    every = [row for rows in runs.values() for row in rows]
    claiming = [row for row in every if any(each.claimed for each in row.guarantees)]
    note = note_of(mode for row in claiming for mode in row.noise)
    if form == "csv":
        heads.append("noise")
        for row, line in zip(every, lines, strict=True):
            line.append(" and ".join(row.noise))
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        for line in (heads, *lines):
            writer.writerow(quoted(line))
        return text.getvalue()
    if form == "markdown":
        below = ["", note] if note else []
        return "\n".join([*markdown_table(heads, lines), *below]) + "\n"
    return latex_tables(heads, lines, note)


def _lines(runs: Mapping[str, Sequence[Row]]) -> tuple[list[str], list[list[str]]]:
    """Heads and cells; without the run's name where there is one run."""
    several = len(runs) > 1
    heads = [*(["run"] if several else []), *HEADS]
    lines = []
    for run, rows in runs.items():
        for row, name in zip(rows, named(rows), strict=True):
            lines.append([*([run] if several else []), *_cells(row, joined(name))])
    return heads, lines


def _cells(row: Row, name: str) -> list[str]:
    leaks = [
        ABSENT if leak is None else f"{interval(leak.estimate)} ({metrics.title(leak.metric)})"
        for leak in (row.inversion, row.membership)
    ]
    utility = ABSENT
    if row.utility is not None:
        utility = f"{interval(row.utility)} ({metrics.title(row.metric)})"
    by_metric = not row.units and any(each.claimed for each in row.guarantees)
    claim = "; ".join(dict.fromkeys(_claims(row))) or ("metric" if by_metric else "none")
    return [
        row.task, name, str(len(row.seeds)), utility, *leaks, claim, size(row.bytes),
        duration(row.seconds), row.comparison.value if row.status == "done" else row.status,
    ]  # fmt: skip


def _claims(row: Row) -> list[str]:
    """What is claimed, each once with the views that it is claimed for."""
    found: dict[str, list[str]] = {}
    for each in row.guarantees:
        if each.unit and each.epsilon is not None:
            text = f"{each.unit} ε {round_up(each.epsilon)}, δ {each.delta or 0:g}"
            text += f", {each.relation}, {each.scope}"
            found.setdefault(text, []).append(each.view)
        for unit in each.further:
            found.setdefault(f"{unit} too", []).append(each.view)
    return [f"{text} ({', '.join(views)})" for text, views in found.items()]
