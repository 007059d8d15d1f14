"""GLUE archive files: tab-separated, quotes literal, one oddity per task."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from fedbert.data.delimited import Row, from_rows, read_tsv, tab_rows
from fedbert.data.tables import Table, check_encoding
from fedbert.errors import InputError
from fedbert.tasks import Task, Tsv

logger = logging.getLogger(__name__)

_MRPC_TRAIN, _MRPC_HELD_OUT = "msr_paraphrase_train.txt", "dev_ids.tsv"
_IDS = ("#1 ID", "#2 ID")
_FIELDS = 4  # of CoLA, which has no header


def is_old_mrpc(folder: Path, task: Task) -> bool:
    """Return whether a folder holds MRPC as its publisher has it."""
    return task.name == "mrpc" and (folder / _MRPC_TRAIN).is_file()


def read_old_mrpc(folder: Path, task: Task) -> dict[str, list[Table]]:
    """Return MRPC's splits from `msr_paraphrase_train.txt`.

    The pairs listed in `dev_ids.tsv` are the validation split. The test file plays no part: those
    labels are what the benchmark hides.

    Raises:
        InputError: for a missing column, a ragged row, or bytes that are not UTF-8.
    """
    path, listed = folder / _MRPC_TRAIN, folder / _MRPC_HELD_OUT
    header, rows, valid = tab_rows(path)
    if not listed.is_file():
        raise InputError(f"expected the pairs of the validation split, got no {listed}")
    held_out = {tuple(row[:2]) for *_, row in tab_rows(listed, header=False)[1]}
    whole = from_rows(str(path), header, rows)
    first, second = _positions(path, header, _IDS)
    chosen: dict[bool, list[Row]] = {False: [], True: []}
    for each in rows:
        pair = (each[2][first], each[2][second])
        chosen[pair in held_out].append(each)
    parts = {"train": chosen[False], "validation": chosen[True]}
    return {
        split: [_named(check_encoding(from_rows(whole.origin, header, own), valid), task)]
        for split, own in parts.items()
    }


def read_official(path: Path, task: Task) -> Table:
    """Return a tab-separated file's text and label columns under the task's names.

    Its header is the official archive's or has the task's own names; CoLA's has none. Of QQP, rows
    with too few fields are left out and counted, as the official readers leave them out.

    Raises:
        InputError: for a missing column, a ragged row, or bytes that are not UTF-8.
    """
    tsv = task.tsv
    own = {*task.columns, task.label}
    header, rows, valid = tab_rows(path)
    if tsv is None or own <= set(header):
        return read_tsv(path)
    if tsv.positions:
        _, rows, valid = tab_rows(path, header=False)
        header = [f"field {number}" for number in range(_FIELDS)]
        for name, position in zip((*task.columns, task.label), tsv.positions, strict=True):
            header[position] = name
    kept = rows
    if tsv.short_rows:
        kept = [each for each in rows if len(each[2]) >= len(header)]
        if len(kept) < len(rows):
            missing = len(rows) - len(kept)
            logger.warning("%s: left out %d rows with too few fields", path, missing)
    table = check_encoding(from_rows(str(path), header, kept), valid)
    return replace(_named(table, task), skipped=len(rows) - len(kept))


def _named(table: Table, task: Task) -> Table:
    """Return the official archive's columns under the task's names."""
    tsv = task.tsv or Tsv("", task.columns)
    names = (*task.columns, task.label)
    official = names if tsv.positions else (*tsv.columns, tsv.label)
    found = list(table.columns)
    places = _positions(Path(table.origin), found, official)
    columns = {name: table.columns[found[place]] for name, place in zip(names, places, strict=True)}
    return replace(table, columns=columns)


def _positions(path: Path, header: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    """Return where the wanted columns stand in the header."""
    for name in wanted:
        if name not in header:
            found = ", ".join(header)
            raise InputError(f"expected column {name!r}, got columns={found} in {path}")
    return tuple(header.index(name) for name in wanted)
