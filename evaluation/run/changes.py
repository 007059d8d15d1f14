"""Changes since a run began: of data, code, libraries and the grid; found before it goes on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.grid.spec import Cell
from fedbert.errors import InputError
from fedbert.settings import first_difference
from reports.records import RECORDS, CellResult

HOW = "choose another --out, or say --accept-changes to have both in one report"


class OtherGridError(InputError):
    """A run directory holds records of cells that the grid has not."""


@dataclass(frozen=True)
class Known:
    """What a look at a grid showed before it runs.

    lines: to be told. data: the sha256 of a cell's examples by its id, of those cells whose
    examples were read. made_by: commit and versions, as records name them. warned: warnings that
    were logged where it was looked at.
    """

    lines: list[str]
    data: Mapping[str, str] = field(default_factory=dict)
    made_by: Mapping[str, Any] = field(default_factory=dict)
    warned: tuple[str, ...] = ()


def refuse_changes(
    directory: Path, finished: Sequence[CellResult], known: Known, goes_on: bool = True
) -> None:
    """Raise InputError, naming each, where what stands was made of other data or by other code.

    goes_on: cells remain; where none does, other code mixes nothing, and data alone count.
    """
    found = dict.fromkeys(
        line
        for record in finished
        for line in (*_other_data(record, known), *(_other_code(record, known) if goes_on else ()))
    )
    if found:
        raise InputError(
            f"expected a run that goes on as it began, got changes since {directory / RECORDS}: "
            f"{'; '.join(found)}; {HOW}"
        )


def _other_data(record: CellResult, known: Known) -> Iterable[str]:
    """Yield that a record was made of other data; one that does not say was not."""
    old, new = record.provenance.get("data_sha256"), known.data.get(record.cell)
    if old is not None and new is not None and old != new:
        source = record.spec["data"]["source"]
        yield f"the data of {record.labels['task']} in {source!r} are others"


def _other_code(record: CellResult, known: Known) -> Iterable[str]:
    """Yield what code or libraries differ between a record and today, as far as it says."""
    made = record.provenance
    versions, today = made.get("versions", {}), known.made_by.get("versions", {})
    for package, version in versions.items():
        if package in today and today[package] != version:
            yield f"{package} was {version} and is {today[package]}"
    was, now = made.get("commit"), known.made_by.get("commit")
    if was is not None and now is not None and was != now:
        yield f"the code was of commit {was[:12]} and is of {now[:12]}"
    if made.get("dirty") is False and known.made_by.get("dirty"):
        yield "the code has changes that are not committed"


def refuse_other_grid(
    directory: Path, records: Iterable[CellResult], cells: Sequence[Cell]
) -> None:
    """Raise OtherGridError for records of cells that a grid has not, with the key that differs."""
    ids = {cell.id for cell in cells}
    foreign = [record for record in records if record.cell not in ids]
    if not foreign:
        return
    first = foreign[0]
    specs = [cell.spec() for cell in cells]
    nearest = min(specs, key=lambda spec: _distance(first.spec, spec))
    difference = first_difference(first.spec, nearest)
    told = "" if difference is None else "{}={} where this grid has {}".format(*difference)
    raise OtherGridError(
        f"expected a run directory of this grid, got {len(foreign)} records of other cells in "
        f"{directory / RECORDS}{': ' if told else ''}{told}; choose another --out"
    )


def _distance(one: Mapping[str, Any], other: Mapping[str, Any]) -> int:
    """Return in how many keys nested settings differ."""
    count = 0
    for key in {*one, *other}:
        old, new = one.get(key), other.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            count += _distance(old, new)
        else:
            count += old != new
    return count
