"""Tables: columns as a file holds them, and words for where in the file something is.

What is wrong with a file is told in one line, with the file, the column, the data row (the first
below the header is row 1) and, where it is another number, the line, as far as they are known.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fedbert.errors import InputError


@dataclass(frozen=True)
class Table:
    """Columns of equal length as they were read, with the name to blame in messages.

    `names` replaces label numbers of a column where the file brings its own label names. `rows`
    holds each row's number in the file, where that is not 1, 2, 3 ...; `lines` the line that it
    begins on, where that is another number; `skipped` counts rows left out.
    """

    origin: str
    columns: dict[str, list[Any]]
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    rows: tuple[int, ...] = ()
    lines: tuple[int, ...] = ()
    skipped: int = 0

    def __len__(self) -> int:
        """Return the number of rows."""
        return max((len(cells) for cells in self.columns.values()), default=0)

    def row(self, position: int) -> int:
        """Return a row's number in the file."""
        return self.rows[position] if self.rows else position + 1

    def where(self, column: str, position: int) -> str:
        """Return where a cell is in the file, for the end of a message."""
        row = self.row(position)
        line = self.lines[position] if self.lines else row
        return location(self.origin, column, row, None if line == row else line)


FEW = 5
"""Rows that a message lists."""


def refused(expected: str, table: Table, column: str, wrong: Sequence[int], hint: str = "") -> str:
    """Return the complaint about cells: the first one with its place, how many, the first rows.

    wrong: positions of the rows, one at the least. hint: what helps.

    >>> refused("text", Table("a.csv", {"t": ["", "x", ""]}), "t", [0, 2])
    "expected text, got t='' in a.csv, column 't', row 1; so are 2 of 3 rows: 1, 3"
    """
    first = f"{column}={shown(table.columns[column][wrong[0]])} {table.where(column, wrong[0])}"
    told = f"expected {expected}, got {first}"
    if len(wrong) == 1:
        return told + hint
    rows = ", ".join(str(table.row(position)) for position in wrong[:FEW])
    more = f" and {len(wrong) - FEW:,} more" if len(wrong) > FEW else ""
    return f"{told}; so are {len(wrong):,} of {len(table):,} rows: {rows}{more}{hint}"


def numbered(tables: Iterable[Table]) -> list[int]:
    """Return the numbers of all rows, from 1, as if the tables' files were one after the other.

    Rows that a reader left out are counted.
    """
    found, before = list[int](), 0
    for table in tables:
        found += [before + row for row in table.rows or range(1, len(table) + 1)]
        before += len(table) + table.skipped
    return found


def location(origin: str, column: str = "", row: int | None = None, line: int | None = None) -> str:
    """Return where something is, for the end of a message.

    >>> location("train.csv", "label", 3, 5)
    "in train.csv, column 'label', row 3, line 5"
    """
    parts = [f"in {origin}"]
    parts += [f"column {column!r}"] if column else []
    parts += [f"row {row}"] if row is not None else []
    parts += [f"line {line}"] if line is not None else []
    return ", ".join(parts)


def shown(value: object, width: int = 60) -> str:
    """Return the value in one short line.

    >>> shown("a" * 99, 10)
    "'aaaaaa..."
    """
    return one_line(repr(value), width)


def printable(text: str) -> str:
    """Return the text with whatever a terminal would obey, or could not show, as Python escapes it.

    >>> printable("naïve\\x1b[2J")
    'naïve\\\\x1b[2J'
    """
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def one_line(text: str, width: int = 120) -> str:
    """Return the text in one line, cut to the width.

    >>> one_line("no such\\n  file", 12)
    'no such f...'
    """
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 3] + "..."


def unreadable(path: Path, error: Exception) -> InputError:
    """Return the complaint about a file that cannot be read at all."""
    reason = error.strerror if isinstance(error, OSError) else None
    told = reason or str(error).replace(f"'{path}'", "it") or type(error).__name__
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
    check_header(table.origin, table.columns)
    for position in range(len(table)):
        for column, cells in table.columns.items():
            if undecodable(cells[position]):
                raise InputError(f"expected UTF-8, got other bytes {table.where(column, position)}")
    raise InputError(f"expected UTF-8, got other bytes {location(table.origin)}")


def check_header(origin: str, names: Iterable[str]) -> None:
    """Refuse column names that are not UTF-8."""
    if any(undecodable(name) for name in names):
        raise InputError(f"expected UTF-8, got other bytes {location(origin)}, header")


def check_different(origin: str, names: Sequence[str]) -> None:
    """Refuse a column name that stands twice: one of the columns would be lost."""
    twice = [name for number, name in enumerate(names) if name in names[:number]]
    if twice:
        raise InputError(f"expected different columns, got {twice[0]!r} twice in {origin}")


def undecodable(cell: object) -> bool:
    """Return whether a string holds bytes that were not UTF-8."""
    return isinstance(cell, str) and any("\udc80" <= letter <= "\udcff" for letter in cell)
