"""JSON rows: an object a line, or an array of objects."""

import json
from pathlib import Path
from typing import Any

from fedbert.data.tables import Table, check_encoding, decode, location, shown, undecodable
from fedbert.errors import InputError


class KeyTwiceError(ValueError):
    """An object has a key twice: one of the values would be lost."""


def read_json(path: Path) -> Table:
    """Return the columns of a file with one array of JSON objects, or with an object a line."""
    text, valid = decode(path)
    if not text.lstrip().startswith("["):
        return read_lines(path)
    found = _parsed(text)
    if isinstance(found, KeyTwiceError):
        raise InputError(f"expected different keys, got {found} twice {location(str(path))}")
    if not isinstance(found, list):
        wrong = "JSON, got none" if valid else "UTF-8, got other bytes"
        raise InputError(f"expected {wrong} {location(str(path))}")
    rows = [_checked(row, "", str(path), number) for number, row in enumerate(found, start=1)]
    return check_encoding(_table(path, rows, list(range(1, len(rows) + 1))), valid)


def read_lines(path: Path) -> Table:
    """Return the columns of a file with one JSON object a line; absent keys are None."""
    text, valid = decode(path)
    rows: list[dict[str, Any]] = []
    numbers: list[int] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            rows.append(_checked(_parsed(line), line, str(path), number))
            numbers.append(number)
    return check_encoding(_table(path, rows, numbers), valid)


def _parsed(text: str) -> Any:
    """Return the value of a JSON text; None or KeyTwiceError for what is none."""
    try:
        return json.loads(text, object_pairs_hook=_object)
    except KeyTwiceError as error:
        return error
    except (ValueError, RecursionError):
        return None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise KeyTwiceError(shown(key))
        found[key] = value
    return found


def _checked(row: Any, line: str, origin: str, number: int) -> dict[str, Any]:
    """Return a row that is an object, with no key twice."""
    if isinstance(row, dict):
        return row
    if isinstance(row, KeyTwiceError):
        where = location(origin, "", number)
        raise InputError(f"expected different keys, got {row} twice {where}")
    if undecodable(line):
        raise InputError(f"expected UTF-8, got other bytes {location(origin, '', number)}")
    told = shown(line or row)
    raise InputError(f"expected a JSON object, got {told} {location(origin, '', number)}")


def _table(path: Path, rows: list[dict[str, Any]], numbers: list[int]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: [row.get(name) for row in rows] for name in names}
    return Table(str(path), columns, rows=tuple(numbers))
