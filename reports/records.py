"""Records, the format of results: one JSON line per cell of a grid, whatever became of it."""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from fedbert.disk.writer import appending
from reports import checks, live, older, received, tradeoff
from reports.estimate import Estimate
from reports.leak import Leak, LeakageEntry, NotMeasured, entry_from_json

SCHEMA = 3
RECORDS = "records.jsonl"
"""The file of a run directory that holds its records."""
REMEDY = "take this line out and run the grid again: it makes the cell anew"
_BROKEN = ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError
_TIMES = ("seconds",)
_OBJECTS = (
    "spec", "labels", "majority_baseline", "mechanisms", "bytes", "seconds", "provenance",
)  # fmt: skip
_MAYBE = ("audit", "received")
"""Objects that stand in a record only where there is something to say."""


@dataclass(frozen=True)
class CellResult:
    """What is known of one cell: its specification, its fate, and everything measured in it.

    `spec` is any nested JSON; `labels` are the strings that tables show (task, model, strategy,
    defence, level, seed). The first key of `utility` is the headline metric; `majority_baseline`
    holds by metric what the most frequent answer reaches. `guarantees` holds one entry per view,
    a claim with its trade-off curve (older records lack those); `leakage` one per attack and
    metric. `doubts` says what may be wrong with model and data, a sentence each (older records have
    none). `gains` holds by metric by how much training beat the majority baseline, paired by
    example (older records have none). `subgroups` holds by what groups differ in, and by group,
    what each gets; left out where nobody looked. `audit` is what a live audit saw, by round; left
    out where there was none. `received` is what became of the clients' updates; left out where all
    of them came and were taken. `seconds` is left out when two runs are compared.

    Raises: ValueError for a field that the readers could not use.
    """

    cell: str
    status: str
    spec: dict[str, Any]
    labels: dict[str, str]
    reason: str = ""
    traceback: str = ""
    utility: dict[str, Estimate] = field(default_factory=dict)
    majority_baseline: dict[str, float | None] = field(default_factory=dict)
    guarantees: list[dict[str, Any]] = field(default_factory=list)
    leakage: tuple[LeakageEntry, ...] = ()
    mechanisms: dict[str, dict[str, Any]] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    doubts: list[str] = field(default_factory=list)
    gains: dict[str, Estimate] = field(default_factory=dict)
    subgroups: dict[str, dict[str, Estimate]] = field(default_factory=dict)
    audit: dict[str, Any] = field(default_factory=dict)
    received: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        """Copies every field into plain values and refuses what is no record."""
        for name in (*_OBJECTS, *_MAYBE, "guarantees", "doubts"):
            object.__setattr__(self, name, checks.plain(getattr(self, name), name))
        object.__setattr__(self, "leakage", _entries(self.leakage))
        _check(self)

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON."""
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        for part in ("utility", "gains"):
            values[part] = {name: each.to_json() for name, each in getattr(self, part).items()}
        values["leakage"] = [each.to_json() for each in self.leakage]
        values["subgroups"] = {
            way: {name: each.to_json() for name, each in groups.items()}
            for way, groups in self.subgroups.items()
        }
        for part in (*_MAYBE, "subgroups"):
            if not values[part]:
                del values[part]
        return values

    @classmethod
    def from_json(cls, values: Any) -> "CellResult":
        """The record that `to_json` wrote; ValueError for anything else."""
        if not isinstance(values, Mapping):
            raise ValueError(f"expected a record, got {type(values).__name__}")
        values = older.renamed(values, SCHEMA)
        known = [each.name for each in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"expected fields of {', '.join(known)}, got unknown={unknown}")
        checks.has_keys(values, known[:4], "a record")
        leakage = values.get("leakage", [])
        if not isinstance(leakage, list):
            raise ValueError(f"expected a list, got leakage={leakage!r}")
        return cls(
            **{
                **values,
                **{part: _estimates(values.get(part, {}), part) for part in ("utility", "gains")},
                "subgroups": _subgroups(values.get("subgroups", {})),
                "leakage": [entry_from_json(e, f"leakage[{i}]") for i, e in enumerate(leakage)],
            }
        )


def _estimates(values: Any, part: str) -> dict[str, Estimate]:
    """The estimates by metric that a part of a record holds; ValueError for anything else."""
    if not isinstance(values, Mapping):
        raise ValueError(f"expected {part} by metric, got {part}={values!r}")
    return {name: Estimate.from_json(each) for name, each in values.items()}


def _subgroups(values: Any) -> dict[str, dict[str, Estimate]]:
    """The estimates by what groups differ in and by group; ValueError for anything else."""
    if not isinstance(values, Mapping):
        raise ValueError(f"expected subgroups by what they differ in, got subgroups={values!r}")
    return {way: _estimates(groups, f"subgroups.{way}") for way, groups in values.items()}


def _entries(entries: Any) -> tuple[LeakageEntry, ...]:
    """The entries of a record; ValueError, naming its position, for anything that is none."""
    for number, each in enumerate(entries):
        if not isinstance(each, Leak | NotMeasured):
            raise ValueError(f"expected a Leak or a NotMeasured, got leakage[{number}]={each!r}")
    return tuple(entries)


def _check(record: CellResult) -> None:
    """None, once the fields of `record` are known to fit each other."""
    checks.text(record.cell, "cell")
    if not set(record.cell) <= set("0123456789abcdef"):
        raise ValueError(f"expected a lower-case hex id, got cell={record.cell!r}")
    if record.schema != SCHEMA:
        raise ValueError(f"expected schema={SCHEMA}, got schema={record.schema!r}")
    checks.one_of(record.status, checks.STATUSES, "status")
    for name in (*_OBJECTS, *_MAYBE):
        if not isinstance(getattr(record, name), dict):
            raise ValueError(f"expected a dict, got {name}={getattr(record, name)!r}")
    checks.labels(record.labels)
    if record.status == "skipped" and not record.reason:
        raise ValueError("expected a reason for a skipped cell, got reason=''")
    if record.status == "failed" and not record.traceback:
        raise ValueError("expected a traceback for a failed cell, got traceback=''")
    if not isinstance(record.reason, str) or not isinstance(record.traceback, str):
        raise ValueError("expected strings, got a reason or traceback of another type")
    parts = {"utility": record.utility, "gains": record.gains}
    parts |= {f"subgroups.{way}": groups for way, groups in record.subgroups.items()}
    for part, found in parts.items():
        for name, estimate in found.items():
            if not isinstance(name, str) or not isinstance(estimate, Estimate):
                raise ValueError(f"expected an Estimate, got {part}.{name}={estimate!r}")
    for name, value in record.majority_baseline.items():
        if value is not None:
            checks.number(value, f"majority_baseline.{name}")
    if not isinstance(record.guarantees, list):
        raise ValueError(f"expected a list, got guarantees={record.guarantees!r}")
    if not isinstance(record.doubts, list):
        raise ValueError(f"expected a list, got doubts={record.doubts!r}")
    for place, doubt in enumerate(record.doubts):
        checks.text(doubt, f"doubts[{place}]")
    if record.guarantees or record.status == "done":
        checks.guarantees(record.guarantees)
        for place, guarantee in enumerate(record.guarantees):
            tradeoff.check(guarantee, f"guarantees[{place}]")
    for name, entry in record.mechanisms.items():
        if not isinstance(entry, dict):
            raise ValueError(f"expected a dict, got mechanisms.{name}={entry!r}")
        checks.text(entry.get("name"), f"mechanisms.{name}.name")
    if record.audit:
        live.check(record.audit, "audit")
    if record.received:
        received.check(record.received, "received")
    checks.amounts(record.bytes, "bytes", whole=True)
    checks.amounts(record.seconds, "seconds")


def without_times(record: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON form of a record less its durations: equal for two runs of the same cell."""
    return {key: value for key, value in record.items() if key not in _TIMES}


def encode(record: CellResult) -> bytes:
    """The one line that stands for `record` in the file, its newline included.

    Keys are sorted at the top level; below it their order is kept (it says which metric leads).
    """
    values = record.to_json()
    ordered = {key: values[key] for key in sorted(values)}
    return json.dumps(ordered, allow_nan=False).encode("ascii") + b"\n"


def append_record(path: Path, record: CellResult) -> None:
    """None; afterwards the record's whole line is on disk. The caller holds the file's lock.

    What a killed writer left after the last newline is cut off first, unless it is a whole record.
    """
    line = encode(record)
    with appending(path) as file:
        whole, torn = _split(path.read_bytes()) if _ends_torn(file) else (b"", b"")
        if torn and _is_json(torn):
            line = b"\n" + line
        elif torn:
            file.truncate(len(whole))
        file.write(line)


def read_records(path: Path) -> list[CellResult]:
    """The records of a file, one per cell: the last one written, at the position of the first.

    A last line that was torn off mid-write is passed over; anything else that is no record is
    refused.

    Raises: ValueError, naming file and line.
    """
    whole, torn = _split(path.read_bytes())
    lines = whole.split(b"\n")[:-1] + ([torn] if _is_json(torn) else [])
    found: dict[str, CellResult] = {}
    for number, line in enumerate(lines, start=1):
        try:
            record = CellResult.from_json(_parsed(line))
        except _BROKEN as error:
            raise ValueError(f"{path}:{number}: {_told(error)}; {REMEDY}") from error
        found[record.cell] = record
    return list(found.values())


def _ends_torn(file: BinaryIO) -> bool:
    """Whether the file's last byte is there and no newline."""
    size = file.seek(0, os.SEEK_END)
    if size == 0:
        return False
    file.seek(size - 1)
    return file.read(1) != b"\n"


def _split(content: bytes) -> tuple[bytes, bytes]:
    """What ends in a newline, and the rest."""
    end = content.rfind(b"\n") + 1
    return content[:end], content[end:]


def _is_json(line: bytes) -> bool:
    """Whether `line` is one whole JSON object."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _told(error: Exception) -> str:
    deep = "expected a record, got one nested too deep"
    return deep if isinstance(error, RecursionError) else str(error)


def _parsed(line: bytes) -> Any:
    """The value of a line, as `encode` writes it: UTF-8, no key twice, finite numbers."""
    return json.loads(line.decode("utf-8"), parse_constant=_refuse, object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"expected different keys, got one twice of {', '.join(found)}")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"expected finite numbers, got {constant}")
