"""Cells of a run, one in full: its settings, claims, utility, every leak, and its files."""

import difflib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports import metrics, received
from reports.alike import over_views
from reports.fates import why
from reports.leak import Leak, NotMeasured
from reports.leaks import alarms, what_of
from reports.noise_mode import noise_note
from reports.records import RECORDS, CellResult
from reports.samples import SAMPLES
from reports.wording import ABSENT, beside, decimal, duration, interval, size

if TYPE_CHECKING:
    from rich.table import Table

SCHEMA = 1
"""Version of the form of `to_json`."""
FAIR = {("data.hold_out", "0.0"): " (none was set: a grid's fair coin held out half, 0.5)"}
"""What a grid does where a setting is left as it is."""
SHORT = 4
"""The fewest digits of an id that can stand for a cell."""


def chosen(records: Sequence[CellResult], asked: str) -> int:
    """The position of a cell that is named by its number, from 1 on, or by how its id begins.

    Raises: ValueError for none, or for the beginning of several ids.
    """
    if asked.isdecimal() and 1 <= int(asked) <= len(records):
        return int(asked) - 1
    ids = [record.cell for record in records]
    found = [place for place, each in enumerate(ids) if each.startswith(asked.lower())]
    if len(found) == 1 and len(asked) >= SHORT:
        return found[0]
    known = f"expected a cell by its number, 1 to {len(ids)}, or the first {SHORT} digits of its id"
    if len(found) > 1 and len(asked) >= SHORT:
        raise ValueError(f"{known}, got {asked!r}, with which {len(found)} begin")
    near = difflib.get_close_matches(asked, [*ids, *(each[: len(asked)] for each in ids)], 1)
    full = next((each for each in ids if near and each.startswith(near[0])), None)
    raise ValueError(f"{known}, got {asked!r}" + (f": did you mean {full}?" if full else ""))


def files(run: Path, cell: str) -> dict[str, str]:
    """What a run directory holds of a cell: path below it, and what that is."""
    there = {
        RECORDS: "its record, a line",
        f"scores/{cell}.npz": "scores of membership attacks",
        f"figures/live-{cell}.png": "its live audit",
        SAMPLES: "sentences of the run: private text",
        "report.html": "the run's page",
    }
    return {name: what for name, what in there.items() if (run / name).is_file()}


def to_json(run: Path, records: Sequence[CellResult], place: int) -> dict[str, Any]:
    """A cell for machines: its record, whose fields carry units, views and relations."""
    record = records[place]
    return {
        "number": place + 1,
        "of": len(records),
        "record": record.to_json(),
        "files": files(run, record.cell),
    }


def index(records: Sequence[CellResult]) -> "Table":
    """The cells of a run, by number and id."""
    further = dict.fromkeys(name for each in records for name in each.labels)
    rows = [
        (str(number), each.cell, *(each.labels.get(name, ABSENT) for name in further), each.status)
        for number, each in enumerate(records, start=1)
    ]
    return _table(("cell", "id", *further, "fate"), rows, kept=2)


def lines(run: Path, records: Sequence[CellResult], place: int) -> Iterator[str]:
    """What there is to say of a cell beside its leaks."""
    record = records[place]
    yield f"cell {place + 1} of {len(records)}: {record.cell}, {record.status}"
    yield from (f"{name}: {value}" for name, value in record.labels.items())
    if record.status != "done":
        yield f"why: {why(record)}"
    if "\n" in record.traceback.strip():
        many = len(record.traceback.splitlines())
        there = shlex.quote(str(run))
        yield f"traceback: {many} lines, by `fedbert-eval show {there} {place + 1} --traceback`"
    yield from (f"doubt: {each}" for each in record.doubts)
    if told := received.line(record.received):
        yield told
    yield ""
    yield "claims"
    said = [(entry["view"], entry["sentence"]) for entry in record.guarantees]
    yield from (f"  {sentence}" for _, sentence in over_views(said))
    if note := noise_note([record]):
        yield f"  {note}"
    if not said:
        yield "  none: the cell has no ledger"
    yield ""
    yield "utility"
    for name, estimate in record.utility.items():
        told = f"  {metrics.title(name)} {interval(estimate)}, n = {estimate.n}"
        majority = record.majority_baseline.get(name)
        told += "" if majority is None else f"; without the text {decimal(majority)}"
        gain = record.gains.get(name)
        yield told + ("" if gain is None else f"; gained {interval(gain)}")
    if not record.utility:
        yield "  not measured"


def leaks(record: CellResult) -> "Table | None":
    """Every leak with its interval, and what it is to be read beside; None of a cell without."""
    found = [each for each in record.leakage if isinstance(each, Leak)]
    rows = [
        (
            each.view,
            each.name,
            metrics.title(each.metric),
            interval(each.estimate),
            f"{each.estimate.n} ({each.unit})",
            "; ".join([beside(each), *alarms(each)]),
        )
        for each in found
    ]
    heads = ("view", "attack", "what", "recovered", "n", "beside")
    return _table(heads, rows, kept=1) if rows else None


def rest(run: Path, record: CellResult) -> Iterator[str]:
    """What was not measured, what it cost, its settings and its files."""
    missing = [each for each in record.leakage if isinstance(each, NotMeasured)]
    if missing:
        yield "not measured"
        yield from (f"  {what_of(each)}: {each.reason}" for each in missing)
        yield ""
    if record.bytes:
        yield f"sent: {', '.join(f'{kind} {size(n)}' for kind, n in record.bytes.items())}"
    if record.seconds:
        yield f"took: {', '.join(f'{phase} {duration(s)}' for phase, s in record.seconds.items())}"
    yield ""
    yield "settings"
    yield from (
        f"  {key} = {value}{FAIR.get((key, value), '')}" for key, value in flat(record.spec)
    )
    yield from (f"  in force at {p}: {_pairs(e)}" for p, e in record.mechanisms.items())
    yield ""
    yield "files"
    yield from (f"  {run / name}: {what}" for name, what in files(run, record.cell).items())


def flat(values: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Settings by their dotted keys, values as TOML writes them.

    >>> list(flat({"a": {"b": True, "c": None}, "d": ["x"]}))
    [('a.b', 'true'), ('a.c', 'none'), ('d', 'x')]
    """
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{before}{key}.")
        else:
            yield f"{before}{key}", _written(value)


def _written(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_written, value)) or "none"
    if value is None or isinstance(value, bool):
        return "none" if value is None else str(value).lower()
    return _pairs(value) if isinstance(value, Mapping) else str(value)


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {_written(value)}" for key, value in values.items())


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], kept: int) -> "Table":
    from rich.table import Table

    from reports.terminal import cell

    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, head in enumerate(heads):
        table.add_column(head, no_wrap=number < kept)
    for row in rows:
        table.add_row(*map(cell, row))
    return table
