"""Table files read into columns: parquet, CSV, JSON Lines, plain text, TSV.

Every reader returns a `Table`; what is wrong with a file is told in one line, with the file, the
column and the data row (the first row below the header is row 1) as far as they are known.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fedbert.errors import InputError

READABLE = (".parquet", ".csv", ".jsonl", ".json", ".txt")


@dataclass(frozen=True)
class Table:
    """Columns of equal length as they were read, with the name to blame in messages.

    `names` replaces label numbers where the file brings its own label names. `rows` holds each
    row's number in the file, where that is not 1, 2, 3 ...; `skipped` counts rows left out.
    """

    origin: str
    columns: dict[str, list[Any]]
    names: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()
    skipped: int = 0

    def row(self, position: int) -> int:
        """Return the 1-based data row that a position has in the file."""
        return self.rows[position] if self.rows else position + 1


def location(origin: str, column: str = "", row: int | None = None) -> str:
    """Return where something is, for the end of a message.

    >>> location("train.csv", "label", 3)
    "in train.csv, column 'label', row 3"
    """
    parts = [f"in {origin}"]
    parts += [f"column {column!r}"] if column else []
    parts += [f"row {row}"] if row is not None else []
    return ", ".join(parts)


def shown(value: object, width: int = 60) -> str:
    """Return the value in one short line.

    >>> shown("a" * 99, 10)
    "'aaaaaa..."
    """
    return one_line(repr(value), width)


def one_line(text: str, width: int = 120) -> str:
    """Return the text in one line, cut to the width.

    >>> one_line("no such\\n  file", 12)
    'no such f...'
    """
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 3] + "..."


def read_table(path: Path) -> Table:
    """Return the rows of a parquet, CSV, JSON Lines or text file, by its ending.

    Raises:
        InputError: naming the file, and the column and row where they are known.
    """
    readers = {".parquet": _read_parquet, ".csv": _read_csv, ".txt": _read_lines}
    try:
        return readers.get(path.suffix, _read_jsonl)(path)
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: Exception) -> InputError:
    """Return the complaint about a file that cannot be read at all."""
    reason = error.strerror if isinstance(error, OSError) else None
    told = reason or str(error).replace(f"'{path}'", "it")
    kind = path.suffix.lstrip(".")
    return InputError(f"expected a readable {kind} file, got {one_line(told)!r} from {path}")


def decode(path: Path) -> tuple[str, bool]:
    """Return a file's text, and whether it was valid UTF-8 (a byte-order mark is dropped).

    Invalid bytes come back as surrogates, so that `check_encoding` can say which row has them.
    """
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig"), True
    except UnicodeDecodeError:
        return data.decode("utf-8-sig", errors="surrogateescape"), False


def check_encoding(table: Table, valid: bool) -> Table:
    """Return the table, or raise InputError for the first cell that is not UTF-8."""
    if valid:
        return table
    _check_header(table.origin, table.columns)
    length = max((len(cells) for cells in table.columns.values()), default=0)
    for position in range(length):
        for column, cells in table.columns.items():
            if _undecodable(cells[position]):
                where = location(table.origin, column, table.row(position))
                raise InputError(f"expected UTF-8, got other bytes {where}")
    raise InputError(f"expected UTF-8, got other bytes {location(table.origin)}")


def from_rows(
    origin: str, header: Sequence[str], rows: Iterable[tuple[int, Sequence[str]]]
) -> Table:
    """Return the table of delimited rows, each given with its number.

    Raises:
        InputError: for a row with more or fewer fields than the header.
    """
    cells: list[Sequence[str]] = []
    numbers: list[int] = []
    for number, row in rows:
        if len(row) != len(header):
            where = location(origin, "", number)
            raise InputError(f"expected {len(header)} fields, got fields={len(row)} {where}")
        cells.append(row)
        numbers.append(number)
    by_column = [[row[i] for row in cells] for i in range(len(header))]
    columns = dict(zip(header, by_column, strict=True))
    return Table(origin, columns, rows=tuple(numbers))


def _check_header(origin: str, names: Iterable[str]) -> None:
    """Refuse column names that are not UTF-8."""
    if any(_undecodable(name) for name in names):
        raise InputError(f"expected UTF-8, got other bytes {location(origin)}, header")


def _undecodable(cell: object) -> bool:
    """Return whether a string holds bytes that were not UTF-8."""
    return isinstance(cell, str) and any("\udc80" <= letter <= "\udcff" for letter in cell)


def _read_parquet(path: Path) -> Table:
    """Return a parquet file's columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise unreadable(path, error) from error
    columns: dict[str, list[Any]] = {}
    for name in table.schema.names:
        column = table.column(name)
        try:
            columns[name] = column.to_pylist()
        except UnicodeDecodeError:
            where = location(str(path), name, _first_undecodable(column))
            raise InputError(f"expected UTF-8, got other bytes {where}") from None
    return Table(str(path), columns)


def _first_undecodable(column: Any) -> int | None:
    """Return the 1-based row of the first cell of an arrow column that is not UTF-8."""
    for position, cell in enumerate(column):
        try:
            cell.as_py()
        except UnicodeDecodeError:
            return position + 1
    return None


def _read_csv(path: Path) -> Table:
    """Return a CSV file's columns, all strings; the first line is the header."""
    text, valid = decode(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = 0
    try:
        header = next(reader, [])
        kept: list[tuple[int, list[str]]] = []
        for row in reader:
            rows += 1
            if row:
                kept.append((rows, row))
    except csv.Error as error:
        where = location(str(path), "", rows + 1)
        told = one_line(str(error))
        raise InputError(f"expected well-formed CSV, got {told} {where}") from None
    if not valid:
        _check_header(str(path), header)
    return check_encoding(from_rows(str(path), header, kept), valid)


def _read_jsonl(path: Path) -> Table:
    """Return the columns of a file with one JSON object a line; absent keys are None."""
    text, valid = decode(path)
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            where = location(str(path), "", number)
            wrong = "UTF-8, got other bytes" if _undecodable(line) else "a JSON object, got "
            told = "" if _undecodable(line) else shown(line)
            raise InputError(f"expected {wrong}{told} {where}")
        rows.append(row)
        numbers.append(number)
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    table = Table(str(path), columns, rows=tuple(numbers))
    return check_encoding(table, valid)


def _read_lines(path: Path) -> Table:
    """Return the lines of a text file as the column "text"."""
    text, valid = decode(path)
    lines = text.replace("\r\n", "\n").split("\n")
    return check_encoding(Table(str(path), {"text": lines}), valid)
