"""GLUE archive folders: tab-separated, quotes literal, one oddity per task."""

import logging
from collections.abc import Sequence
from pathlib import Path

from fedbert.data.tables import Table, check_encoding, decode, location, unreadable
from fedbert.errors import InputError
from fedbert.tasks import Task, Tsv

logger = logging.getLogger(__name__)

_MRPC_TRAIN, _MRPC_HELD_OUT = "msr_paraphrase_train.txt", "dev_ids.tsv"
_IDS = ("#1 ID", "#2 ID")


def is_glue_folder(folder: Path) -> bool:
    """Return whether a folder holds a task of the official archive."""
    return (folder / "train.tsv").is_file() or (folder / _MRPC_TRAIN).is_file()


def read_glue_folder(folder: Path, task: Task) -> dict[str, list[Table]]:
    """Return the splits of one folder of the official archive, in the task's own column names.

    MRPC's older form is understood too: `msr_paraphrase_train.txt`, of which the pairs listed in
    `dev_ids.tsv` are the validation split. Its test file plays no part: those labels are what the
    benchmark hides.

    Raises:
        InputError: for a missing file, a missing column, a short row (except where `Tsv` allows
            leaving it out, as the official readers do), or bytes that are not UTF-8.
    """
    if task.tsv is None:
        raise InputError(f"expected parquet, CSV or text for task {task.name}, got {folder}")
    if task.name == "mrpc" and not (folder / "train.tsv").is_file():
        return _read_mrpc(folder, task, task.tsv)
    found = {"train": [_read(folder / "train.tsv", task, task.tsv)]}
    for split in task.evaluation:
        path = folder / f"{split.replace('validation', 'dev')}.tsv"
        if path.is_file():
            found[split] = [_read(path, task, task.tsv)]
    if len(found) == 1:
        wanted = " or ".join(f"{s.replace('validation', 'dev')}.tsv" for s in task.evaluation)
        names = ", ".join(sorted(path.name for path in folder.iterdir()))
        raise InputError(f"expected {wanted} in {folder}, got files={names}")
    return found


def _read(path: Path, task: Task, tsv: Tsv) -> Table:
    """Return one file's text and label columns under the task's names."""
    header, rows, valid = _lines(path, header=not tsv.positions)
    positions = tsv.positions or _positions(path, header, (*tsv.columns, tsv.label))
    return _table(path, task, rows, positions, valid)


def _table(
    path: Path,
    task: Task,
    rows: Sequence[tuple[int, list[str]]],
    positions: Sequence[int],
    valid: bool,
) -> Table:
    """Return the wanted fields of numbered rows, leaving out short rows where allowed."""
    skips = task.tsv is not None and task.tsv.short_rows
    needed = max(positions) + 1
    kept = [(number, row) for number, row in rows if len(row) >= needed]
    if len(kept) < len(rows):
        short = [number for number, row in rows if len(row) < needed]
        fields = len(dict(rows)[short[0]])
        where = location(str(path), "", short[0])
        if not skips:
            raise InputError(f"expected at least {needed} fields, got fields={fields} {where}")
        logger.warning("%s: left out %d rows with too few fields", path, len(short))
    names = (*task.columns, "label")
    columns = {
        name: [row[position] for _, row in kept]
        for name, position in zip(names, positions, strict=True)
    }
    numbers = tuple(number for number, _ in kept)
    table = Table(str(path), dict(columns), rows=numbers, skipped=len(rows) - len(kept))
    return check_encoding(table, valid)


def _lines(path: Path, header: bool) -> tuple[list[str], list[tuple[int, list[str]]], bool]:
    """Return the header (empty without one), the numbered rows, and whether all was UTF-8.

    Lines end at LF, CR or CRLF, as in the official readers; blank lines are dropped.
    """
    try:
        text, valid = decode(path)
    except OSError as error:
        raise unreadable(path, error) from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    names = lines.pop(0).split("\t") if header else []
    rows = [(number, line.split("\t")) for number, line in enumerate(lines, 1) if line]
    return names, rows, valid


def _positions(path: Path, header: Sequence[str], wanted: Sequence[str]) -> tuple[int, ...]:
    """Return where the wanted columns stand in the header."""
    for name in wanted:
        if name not in header:
            found = ", ".join(header)
            raise InputError(f"expected column {name!r}, got columns={found} in {path}")
    return tuple(header.index(name) for name in wanted)


def _read_mrpc(folder: Path, task: Task, tsv: Tsv) -> dict[str, list[Table]]:
    """Return MRPC's splits from its older form."""
    path = folder / _MRPC_TRAIN
    header, rows, valid = _lines(path, header=True)
    positions = _positions(path, header, (*tsv.columns, tsv.label))
    first, second = _positions(path, header, _IDS)
    held_out = {tuple(row[:2]) for _, row in _lines(folder / _MRPC_HELD_OUT, header=False)[1]}
    chosen: dict[bool, list[tuple[int, list[str]]]] = {False: [], True: []}
    for number, row in rows:
        pair = tuple(row[i] for i in (first, second) if i < len(row))
        chosen[pair in held_out].append((number, row))
    return {
        "train": [_table(path, task, chosen[False], positions, valid)],
        "validation": [_table(path, task, chosen[True], positions, valid)],
    }
