"""Delimited text: CSV, and tab-separated rows whose quotes are text."""

import csv
import io
import logging
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from fedbert.data.tables import (
    Table,
    check_different,
    check_encoding,
    check_header,
    decode,
    location,
    one_line,
)
from fedbert.errors import InputError

logger = logging.getLogger(__name__)

Row = tuple[int, int, list[str]]
"""A row's number, the line that it begins on, and its fields."""


def read_csv(path: Path) -> Table:
    """Return a CSV file's columns, all strings of any length; the first line is the header."""
    text, valid = decode(path)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    kept: list[Row] = []
    rows, began = 0, 1
    limit = csv.field_size_limit(sys.maxsize)
    try:
        header = next(reader, [])
        began = reader.line_num + 1
        for row in reader:
            rows += 1
            if row:
                kept.append((rows, began, row))
            began = reader.line_num + 1
    except csv.Error as error:
        where = location(str(path), "", rows + 1, began)
        told = one_line(str(error))
        raise InputError(f"expected well-formed CSV, got {told} {where}") from None
    finally:
        csv.field_size_limit(limit)
    if not valid:
        check_header(str(path), header)
    return check_encoding(from_rows(str(path), header, kept), valid)


def read_tsv(path: Path) -> Table:
    """Return the columns of a tab-separated file, all strings; the first line is the header.

    A quote is a character as any other, as in the official GLUE archive: no field holds a tab or
    the end of a line.
    """
    header, rows, valid = tab_rows(path)
    if not valid:
        check_header(str(path), header)
    quoted = sum(_looks_quoted(each) for *_, row in rows for each in row)
    if quoted:
        logger.warning("%s: the quotes around %d fields are read as text, as in GLUE", path, quoted)
    return check_encoding(from_rows(str(path), header, rows), valid)


def _looks_quoted(field: str) -> bool:
    """Return whether a field is as CSV would write it: in quotes, and those within doubled.

    >>> [_looks_quoted(each) for each in ('"a ""b"" c"', '"a"', 'a ""b""')]
    [True, False, False]
    """
    inside = field[1:-1]
    around = len(field) > 1 and field[0] == field[-1] == '"'
    return around and '""' in inside and '"' not in inside.replace('""', "")


def tab_rows(path: Path, header: bool = True) -> tuple[list[str], list[Row], bool]:
    """Return the header (empty without one), the rows, and whether all was UTF-8.

    Lines end at LF, CR or CRLF, as in the official readers of GLUE; blank lines are dropped.
    """
    text, valid = decode(path)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    names = lines.pop(0).split("\t") if header else []
    return (
        names,
        [(i, i + header, line.split("\t")) for i, line in enumerate(lines, 1) if line],
        valid,
    )


def from_rows(origin: str, header: Sequence[str], rows: Iterable[Row]) -> Table:
    """Return the table of delimited rows.

    Raises:
        InputError: for a column that is there twice, or a row with more or fewer fields than the
            header.
    """
    check_different(origin, header)
    kept = list(rows)
    for number, line, row in kept:
        if len(row) != len(header):
            where = location(origin, "", number, line)
            raise InputError(f"expected {len(header)} fields, got fields={len(row)} {where}")
    columns = {name: [row[i] for _, _, row in kept] for i, name in enumerate(header)}
    numbers, lines = tuple(number for number, *_ in kept), tuple(line for _, line, _ in kept)
    return Table(origin, dict(columns), rows=numbers, lines=lines)
