"""Tables of cells as CSV and as JSON: a line per cell, numbers at full precision."""

import csv
import io
import json
from collections.abc import Sequence

from reports import checks, metrics
from reports.estimate import Estimate
from reports.labels import columns
from reports.leaks import worst
from reports.noise_mode import mode_of
from reports.records import CellResult
from reports.rows import Row, cell_rows
from reports.spreadsheet import quoted

CLAIM = ("guarantee", "kind", "unit", "epsilon", "delta", "mu")
"""What the table says of each view's claim; mu where the record holds it, of the same unit."""


def csv_table(records: Sequence[CellResult]) -> str:
    """One line per cell, numbers at full precision, as CSV."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    head, lines = _table(records)
    writer.writerow(quoted(head))
    writer.writerows(quoted(line) for line in lines)
    return text.getvalue()


def json_table(records: Sequence[CellResult]) -> str:
    """The same table as JSON, an object per cell: numbers as numbers, null where there is none."""
    head, lines = _table(records)
    cells = [dict(zip(head, line, strict=True)) for line in lines]
    return json.dumps(cells, indent=1, allow_nan=False) + "\n"


def _table(records: Sequence[CellResult]) -> tuple[list[str], list[list[object]]]:
    """The heads and the lines of the table."""
    rows = cell_rows(records)
    names = columns(rows)
    head = ["cell", "task", "model", "strategy", "defence", "level", *names]
    head += ["seed", "status", "note", "comparison"]
    head += ["metric", *_columns("utility"), "majority_baseline"]
    for family in ("inversion", "membership"):
        head += [f"{family}_{name}" for name in ("attack", "view", "metric")]
        head += [*_columns(family), f"{family}_chance"]
    head += ["membership_tpr_at_1pct_fpr_allowed", "membership_advantage_allowed"]
    head += ["inversion_reference_attack", "inversion_reconstruction_bound", "flags"]
    for metric in metrics.SHOWN[1:]:
        head += [f"{metric}_attack", f"{metric}_view", *_columns(metric)]
    head += [f"{view}_{name}" for view in checks.VIEWS for name in CLAIM]
    head += ["places", "mechanisms", *MECHANISM]
    lines = [_line(record, row, names) for record, row in zip(records, rows, strict=True)]
    return [*head, "bytes", "seconds", "noise"], lines


def _line(record: CellResult, row: Row, names: Sequence[str]) -> list[object]:
    """A cell's fields, in the order of the heads."""
    known = dict(row.further)
    fields: list[object] = [record.cell, row.task, row.model, row.strategy, row.defence]
    fields += [row.level, *(known.get(name) for name in names)]
    fields += [record.labels["seed"], row.status, row.note, row.comparison.value]
    fields += [row.metric, *_numbers(row.utility), row.majority_baseline]
    for leak in (row.inversion, row.membership):
        fields += [leak.attack, leak.view, leak.metric] if leak else [None] * 3
        fields += [*_numbers(leak.estimate if leak else None), leak.chance if leak else None]
    claim = row.membership_allowed
    fields += [claim.tpr_at(0.01), claim.advantage] if claim else [None] * 2
    found = row.inversion
    reference = found.reference_attack if found else None
    fields += [reference and reference.value, found and found.reconstruction_bound]
    fields.append("; ".join(row.alarms))
    for metric in metrics.SHOWN[1:]:
        leak = worst(row.leaks, "inversion", metric)
        fields += [leak.attack, leak.view] if leak else [None] * 2
        fields += _numbers(leak.estimate if leak else None)
    fields += [field for view in checks.VIEWS for field in _of_claim(row, view)]
    fields += _of_mechanisms(record)
    fields += [None if row.bytes is None else round(row.bytes), row.seconds]
    return [*fields, mode_of(record)]


def _of_claim(row: Row, view: str) -> list[object]:
    """What a view is promised: in short, its kind, unit, epsilon, delta and mu apart."""
    each = next((own for own in row.guarantees if own.view == view), None)
    if each is None:
        return [None] * len(CLAIM)
    same = (own.mu for own in row.allows if (own.view, own.unit) == (view, each.unit))
    unit = each.unit or None
    return [each.short, each.kind, unit, each.epsilon, each.delta, next(same, None)]


MECHANISM = ("clip_norm", "noise_std", "clipped_share", "signal_to_noise")
"""What the table says of each mechanism, as the records name it."""


def _of_mechanisms(record: CellResult) -> list[str]:
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
