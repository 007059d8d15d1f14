"""Records, the format of results: one JSON line per cell of a grid, whatever became of it."""

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from reports import checks

SCHEMA = 2
READABLE = (1, 2)  # schema 1 had a flag `headline` on leakage entries, which nobody read
_TIMES = ("seconds",)


@dataclass(frozen=True)
class Estimate:
    """A measured number with the interval that it comes with.

    `n` counts what was judged (examples, tokens, candidates); `method` says how the interval was
    made.

    Raises: ValueError unless low <= value <= high, all finite, n >= 1 and 0 < confidence < 1.

    >>> Estimate(0.8, 0.7, 0.9, n=100).value
    0.8
    """

    value: float
    low: float
    high: float
    n: int
    confidence: float = 0.95
    method: str = ""

    def __post_init__(self) -> None:
        """Refuses what is no estimate."""
        for name in ("value", "low", "high", "confidence"):
            number = checks.number(getattr(self, name), f"estimate.{name}")
            object.__setattr__(self, name, number)
        if not self.low <= self.value <= self.high:
            raise ValueError(
                f"expected low <= value <= high, "
                f"got low={self.low}, value={self.value}, high={self.high}"
            )
        if isinstance(self.n, bool) or not isinstance(self.n, int) or self.n < 1:
            raise ValueError(f"expected an integer n >= 1, got n={self.n!r}")
        if not 0 < self.confidence < 1:
            raise ValueError(f"expected 0 < confidence < 1, got confidence={self.confidence}")

    def to_json(self) -> dict[str, Any]:
        """The estimate as plain JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Any) -> "Estimate":
        """The estimate that `to_json` wrote; ValueError for anything else."""
        names = tuple(each.name for each in dataclasses.fields(cls))
        if not isinstance(values, Mapping) or not set(values) <= set(names):
            raise ValueError(f"expected an estimate with {', '.join(names)}, got {values!r}")
        checks.has_keys(values, names[:4], "an estimate")
        return cls(**values)


@dataclass(frozen=True)
class CellResult:
    """What is known of one cell: its specification, its fate, and everything measured in it.

    `spec` is any nested JSON; `labels` are the strings that tables show (task, model, strategy,
    defence, level, seed). The first key of `utility` is the headline metric. `guarantees` holds
    one entry per view; `leakage` one per attack and metric, with its `estimate`, or with the
    reason under `not_measured`; beside an estimate may stand `floor` (an estimate), `ceiling` (a
    number or null, with `ceiling_basis`) and `flags` of `reports.metrics.FLAGS`. `seconds` is left
    out when two runs are compared.

    Raises: ValueError for a field that the readers could not use.
    """

    cell: str
    status: str
    spec: dict[str, Any]
    labels: dict[str, str]
    reason: str = ""
    traceback: str = ""
    utility: dict[str, Estimate] = field(default_factory=dict)
    baseline: dict[str, float | None] = field(default_factory=dict)
    guarantees: list[dict[str, Any]] = field(default_factory=list)
    leakage: list[dict[str, Any]] = field(default_factory=list)
    mechanisms: dict[str, dict[str, Any]] = field(default_factory=dict)
    bytes: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    schema: int = SCHEMA

    def __post_init__(self) -> None:
        """Copies every field into plain values and refuses what is no record."""
        for name in ("spec", "labels", "baseline", "guarantees", "mechanisms", "bytes"):
            object.__setattr__(self, name, checks.plain(getattr(self, name), name))
        for name in ("seconds", "provenance"):
            object.__setattr__(self, name, checks.plain(getattr(self, name), name))
        object.__setattr__(self, "leakage", [_leak(each, i) for i, each in enumerate(self.leakage)])
        _check(self)

    def to_json(self) -> dict[str, Any]:
        """The record as plain JSON."""
        values = {each.name: getattr(self, each.name) for each in dataclasses.fields(self)}
        values["utility"] = {name: each.to_json() for name, each in self.utility.items()}
        values["leakage"] = [
            {key: item.to_json() if isinstance(item, Estimate) else item for key, item in e.items()}
            for e in self.leakage
        ]
        return values

    @classmethod
    def from_json(cls, values: Any) -> "CellResult":
        """The record that `to_json` wrote; ValueError for anything else."""
        if not isinstance(values, Mapping):
            raise ValueError(f"expected a record, got {type(values).__name__}")
        if values.get("schema") not in READABLE:
            known_schemas = " or ".join(map(str, READABLE))
            raise ValueError(
                f"expected schema={known_schemas}, got schema={values.get('schema')!r}"
            )
        known = [each.name for each in dataclasses.fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(f"expected fields of {', '.join(known)}, got unknown={unknown}")
        checks.has_keys(values, known[:4], "a record")
        utility = values.get("utility", {})
        if not isinstance(utility, Mapping):
            raise ValueError(f"expected utility by metric, got utility={utility!r}")
        read = {name: Estimate.from_json(each) for name, each in utility.items()}
        return cls(**{**values, "utility": read, "leakage": _leaks(values), "schema": SCHEMA})


def _leaks(values: Mapping[str, Any]) -> Any:
    """The leakage entries of a stored record as the present schema has them."""
    entries = values.get("leakage", [])
    if values["schema"] == SCHEMA or not isinstance(entries, list):
        return entries
    return [
        {key: item for key, item in entry.items() if key != "headline"}
        if isinstance(entry, Mapping)
        else entry
        for entry in entries
    ]


def _leak(entry: Any, place: int) -> dict[str, Any]:
    """One leakage entry as a fresh dict, its estimate and its floor `Estimate`s."""
    where = f"leakage[{place}]"
    if not isinstance(entry, Mapping):
        raise ValueError(f"expected a dict, got {where}={entry!r}")
    checks.leakage_keys(entry, where)
    measured = [key for key in ("estimate", "floor") if entry.get(key) is not None]
    rest = {key: item for key, item in entry.items() if key not in measured}
    copied: dict[str, Any] = checks.plain(rest, where)
    for key in measured:
        raw = entry[key]
        copied[key] = raw if isinstance(raw, Estimate) else Estimate.from_json(raw)
    return copied


def _check(record: CellResult) -> None:
    """None, once the fields of `record` are known to fit each other."""
    if not record.cell or not set(record.cell) <= set("0123456789abcdef"):
        raise ValueError(f"expected a lower-case hex id, got cell={record.cell!r}")
    if record.schema != SCHEMA:
        raise ValueError(f"expected schema={SCHEMA}, got schema={record.schema!r}")
    checks.one_of(record.status, checks.STATUSES, "status")
    for name in ("spec", "labels", "baseline", "mechanisms", "bytes", "seconds", "provenance"):
        if not isinstance(getattr(record, name), dict):
            raise ValueError(f"expected a dict, got {name}={getattr(record, name)!r}")
    checks.labels(record.labels)
    if record.status == "skipped" and not record.reason:
        raise ValueError("expected a reason for a skipped cell, got reason=''")
    if record.status == "failed" and not record.traceback:
        raise ValueError("expected a traceback for a failed cell, got traceback=''")
    if not isinstance(record.reason, str) or not isinstance(record.traceback, str):
        raise ValueError("expected strings, got a reason or traceback of another type")
    for name, estimate in record.utility.items():
        if not isinstance(name, str) or not isinstance(estimate, Estimate):
            raise ValueError(f"expected an Estimate, got utility.{name}={estimate!r}")
    for name, value in record.baseline.items():
        if value is not None:
            checks.number(value, f"baseline.{name}")
    if record.guarantees or record.status == "done":
        checks.guarantees(record.guarantees)
    for name, entry in record.mechanisms.items():
        if not isinstance(entry, dict):
            raise ValueError(f"expected a dict, got mechanisms.{name}={entry!r}")
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
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        whole, torn = _split(path.read_bytes()) if _ends_torn(file) else (b"", b"")
        if torn and _is_json(torn):
            line = b"\n" + line
        elif torn:
            file.truncate(len(whole))
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def read_records(path: Path) -> list[CellResult]:
    """The records of a file, one per cell: the last one written, at the place of the first.

    A last line that was torn off mid-write is passed over; anything else that is no record is
    refused.

    Raises: ValueError, naming file and line.
    """
    whole, torn = _split(path.read_bytes())
    lines = whole.split(b"\n")[:-1] + ([torn] if _is_json(torn) else [])
    found: dict[str, CellResult] = {}
    for place, line in enumerate(lines, start=1):
        try:
            record = CellResult.from_json(json.loads(line, parse_constant=_refuse))
        except (ValueError, TypeError, RecursionError) as error:
            raise ValueError(f"{path}:{place}: {error}") from error
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
    except ValueError:
        return False


def _refuse(constant: str) -> Any:
    raise ValueError(f"expected finite numbers, got {constant}")
