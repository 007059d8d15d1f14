"""Strict reader of data files: the rules of docs/grids.md by hand, a character at a time."""

import json
import math
import re
from pathlib import Path
from typing import Any

from tests.fuzz.trial import WrongError

Row = dict[str, Any]
FLOAT32 = 3.4028234663852886e38
WHOLE = re.compile(r"(-?)(0|[1-9][0-9]{0,17})(\.0*)?")
NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def examples(
    path: Path, texts: tuple[str, ...], label: str, classes: tuple[str, ...]
) -> list[tuple[tuple[str, ...], float]]:
    """Return (texts, label) of each row of a file; classes: none for scores."""
    found = []
    rows = table(path)
    for row in rows:
        if any(name not in row for name in (*texts, label)):
            raise WrongError("a column is missing")
        read = tuple(row[name] for name in texts)
        if not all(_is_text(each) for each in read):
            raise WrongError(f"a text is none: {read!r}")
        if not read[0].strip():
            raise WrongError(f"a first text is empty: {read!r}")
        number = _class(row[label], classes) if classes else _score(row[label])
        if number is None:
            raise WrongError(f"a label is none: {row[label]!r}")
        found.append((read, number))
    if not found:
        raise WrongError("there is no row")
    if "-1" not in classes and all(word(row[label]) == "-1" for row in rows):
        raise WrongError("labels that are not told")
    return found


def documents(path: Path) -> list[str]:
    """Return the lines of a text file that hold something."""
    text = _text(path)
    found = [line.strip() for line in text.replace("\r\n", "\n").split("\n")]
    if not any(found):
        raise WrongError("there is no text")
    return [line for line in found if line]


def table(path: Path) -> list[Row]:
    """Return a file's rows by column, read by its ending."""
    text = _text(path)
    if path.suffix == ".csv":
        return _with_header(_csv(text), text)
    if path.suffix == ".tsv":
        lines = re.split("\r\n|\r|\n", text)
        return _by_name(lines[0].split("\t"), [x.split("\t") for x in lines[1:] if x])
    if path.suffix == ".json" and text.lstrip().startswith("["):
        found = _json(text)
        rows = [_object(each) for each in found]
    else:
        rows = [_object(_json(line)) for line in text.split("\n") if line.strip()]
    names = dict.fromkeys(name for row in rows for name in row)
    return [{name: row.get(name) for name in names} for row in rows]


def _text(path: Path) -> str:
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise WrongError("it is not UTF-8") from None
    return text.removeprefix("\ufeff")


def _with_header(rows: list[list[str]], text: str) -> list[Row]:
    """Return the rows below the first line, which is empty where the text begins with its end."""
    if text[:1] in ("\r", "\n"):
        return _by_name([], rows)
    return _by_name(rows[0] if rows else [], rows[1:])


def _by_name(names: list[str], rows: list[list[str]]) -> list[Row]:
    if len(set(names)) != len(names):
        raise WrongError("a column is there twice")
    if any(len(row) != len(names) for row in rows):
        raise WrongError("a row is ragged")
    return [dict(zip(names, row, strict=True)) for row in rows]


def _csv(text: str) -> list[list[str]]:
    """Return the records of CSV text; a blank line is none."""
    rows: list[list[str]] = []
    at = 0
    while at < len(text):
        row, at = _record(text, at)
        if row:
            rows.append(row)
    return rows


def _record(text: str, at: int) -> tuple[list[str], int]:
    """Return the fields of the record that begins there, and where the next one does."""
    if text[at] in "\r\n":
        return [], at + (2 if text[at : at + 2] == "\r\n" else 1)
    fields = []
    while True:
        field, at = _field(text, at)
        fields.append(field)
        if at >= len(text):
            return fields, at
        if text[at] == ",":
            at += 1
            continue
        return fields, at + (2 if text[at : at + 2] == "\r\n" else 1)


def _field(text: str, at: int) -> tuple[str, int]:
    """Return a field, and where the comma or the end behind it is."""
    if text[at : at + 1] != '"':
        start = at
        while at < len(text) and text[at] not in ",\r\n":
            at += 1
        return text[start:at], at
    said, at = "", at + 1
    while True:
        end = text.find('"', at)
        if end < 0:
            raise WrongError("a quote is not closed")
        said, at = said + text[at:end], end + 1
        if text[at : at + 1] != '"':
            break
        said, at = said + '"', at + 1
    if at < len(text) and text[at] not in ",\r\n":
        raise WrongError("something follows a closing quote")
    return said, at


def _json(text: str) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> Row:
        if len({key for key, _ in pairs}) != len(pairs):
            raise WrongError("a key is there twice")
        return dict(pairs)

    try:
        return json.loads(text, object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise WrongError(f"it is no JSON: {error}") from None


def _object(found: Any) -> Row:
    if not isinstance(found, dict):
        raise WrongError("a row is no object")
    return found


def _is_text(cell: Any) -> bool:
    return isinstance(cell, str) and not any("\ud800" <= letter <= "\udfff" for letter in cell)


def word(cell: Any) -> str:
    """Return how a label is spelt: 1, 1.0, "1" and " 1.0 " are one label."""
    if cell is None or isinstance(cell, list | dict):
        return ""
    text = str(cell).strip()
    whole = WHOLE.fullmatch(text)
    if whole is not None:
        return "0" if whole[2] == "0" else whole[1] + whole[2]
    return text.lower() if text.lower() in ("true", "false") else text


def _class(cell: Any, classes: tuple[str, ...]) -> float | None:
    """Return a label's number: by name, or counted from 0 where no name is a number."""
    said = word(cell)
    if not said:
        return None
    if said in classes:
        return classes.index(said)
    counted = [str(number) for number in range(len(classes))]
    words = not any(NUMBER.fullmatch(name) for name in classes)
    return counted.index(said) if words and said in counted else None


def _score(cell: Any) -> float | None:
    """Return a finite number that fits a float32, as number or as digits."""
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        return None
    if isinstance(cell, str):
        text = cell.strip()
        if len(text) > 400 or not NUMBER.fullmatch(text):
            return None
        cell = float(text)
    try:
        number = float(cell)
    except OverflowError:
        return None
    return number if math.isfinite(number) and abs(number) <= FLOAT32 else None
