"""Examples, checked: texts and labels that are known to fit their task."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fedbert.data.tables import Table, location, shown
from fedbert.errors import InputError
from fedbert.tasks import Task

_HEADING = re.compile(r"= (?!=)\S.*(?<!=) =")
_HIDDEN = frozenset({-1, -1.0, "-1", "-1.0"})


@dataclass(frozen=True)
class Examples:
    """One split of a task.

    texts: per example one string per text column of the task; for masked-LM one document each.
    labels: [example] int64 classes in the hub's numbering, or float32 scores; all zero for
        masked-LM, which has none.
    origin: where they came from, for messages.
    skipped: rows that were left out, as the official readers leave them out (QQP).
    """

    task: Task
    texts: tuple[tuple[str, ...], ...]
    labels: np.ndarray
    origin: str
    skipped: int = 0

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.texts)

    @cached_property
    def sha256(self) -> str:
        """The hash of task, texts and labels in their order; the origin does not enter."""
        digest = hashlib.sha256(self.task.name.encode())
        for texts, label in zip(self.texts, self.labels.tolist(), strict=True):
            for part in (*texts, repr(label)):
                data = part.encode()
                digest.update(len(data).to_bytes(8, "big") + data)
        return digest.hexdigest()

    def take(self, indices: Sequence[int] | np.ndarray) -> "Examples":
        """Return the chosen examples in the given order."""
        chosen = np.asarray(indices, dtype=np.int64)
        texts = tuple(self.texts[i] for i in chosen)
        return Examples(self.task, texts, self.labels[chosen], self.origin, self.skipped)


def from_tables(task: Task, tables: Sequence[Table]) -> Examples:
    """Return the rows of one split's tables, checked, as examples of the task.

    Raises:
        InputError: naming file, column and row, for a missing column, a text that is not a string,
            a label that the task does not know, hidden labels, or no rows at all.
    """
    for table in tables:
        _check_columns(task, table)
    origin = tables[0].origin if len(tables) == 1 else f"{tables[0].origin} ... {tables[-1].origin}"
    skipped = sum(table.skipped for table in tables)
    if task.kind == "mlm":
        rows = [text for table in tables for text in _texts(table, _text_column(table))]
        texts = tuple((document,) for document in documents(rows))
        labels = np.zeros(len(texts), dtype=np.int64)
    else:
        columns = [[t for table in tables for t in _texts(table, name)] for name in task.columns]
        texts = tuple(zip(*columns, strict=True))
        kind = np.float32 if task.regression else np.int64
        labels = np.asarray([y for table in tables for y in _labels(task, table)], dtype=kind)
    if not texts:
        raise InputError(f"expected at least one row with text, got rows=0 in {origin}")
    return Examples(task, texts, labels, origin, skipped)


def documents(rows: Sequence[str]) -> list[str]:
    """Return the documents in rows of text.

    Where WikiText's title rows (" = Title = ", between blank rows) occur, each begins a document,
    and what precedes the first is one too; otherwise every row is a document. In text without any
    blank row the title's form alone decides. Blank rows are dropped.

    >>> documents([" = Bees = ", "", "They hum.", " = = Wax = = ", "", " = Ants = ", "", "No."])
    ['= Bees =\\nThey hum.\\n= = Wax = =', '= Ants =\\nNo.']
    >>> documents(["They hum.", "", "They do not."])
    ['They hum.', 'They do not.']
    """
    stripped = [row.strip() for row in rows]
    spaced = "" in stripped
    found: list[list[str]] = []
    titles = 0
    for before, row, after in zip(["", *stripped], stripped, [*stripped[1:], ""], strict=False):
        title = bool(_HEADING.fullmatch(row)) and not (spaced and (before or after))
        titles += title
        if title or not found:
            found.append([])
        if row:
            found[-1].append(row)
    if not titles:
        return [row for row in stripped if row]
    return ["\n".join(document) for document in found if document]


def _check_columns(task: Task, table: Table) -> None:
    """Refuse a table that lacks a column of the task or has no rows."""
    wanted = () if task.kind == "mlm" else (*task.columns, "label")
    rows = max((len(cells) for cells in table.columns.values()), default=0)
    if rows == 0:
        raise InputError(f"expected at least one row, got rows=0 in {table.origin}")
    for name in wanted:
        if name not in table.columns:
            found = ", ".join(table.columns)
            raise InputError(f"expected column {name!r}, got columns={found} in {table.origin}")


def _text_column(table: Table) -> str:
    """Return the column that holds the text for masked-LM: "text", or the only one of strings."""
    if "text" in table.columns:
        return "text"
    strings = [
        name
        for name, cells in table.columns.items()
        if any(isinstance(cell, str) for cell in cells)
    ]
    if len(strings) == 1:
        return strings[0]
    found = ", ".join(table.columns)
    raise InputError(f"expected a column 'text' of strings, got columns={found} in {table.origin}")


def _texts(table: Table, column: str) -> list[str]:
    """Return a column's strings; a null or undecodable one is refused, an empty one is text."""
    cells = table.columns[column]
    for position, cell in enumerate(cells):
        if not isinstance(cell, str) or not _encodable(cell):
            where = location(table.origin, column, table.row(position))
            raise InputError(f"expected text, got {column}={shown(cell)} {where}")
    return cells


def _encodable(text: str) -> bool:
    """Return whether UTF-8 can hold the text (a lone surrogate it cannot)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _labels(task: Task, table: Table) -> list[float]:
    """Return a table's labels in the task's own numbering."""
    cells = table.columns["label"]
    if all(_is_hidden(cell) for cell in cells):
        where = location(table.origin, "label")
        raise InputError(
            f"expected labels, got label=-1 in every row (the hidden test split) {where}"
        )
    names = _numbering(task, table)
    found: list[float] = []
    for position, cell in enumerate(cells):
        label = _score(task, cell) if task.regression else _class(names, cell)
        if label is None:
            where = location(table.origin, "label", table.row(position))
            raise InputError(f"expected {_allowed(task)}, got label={shown(cell)} {where}")
        found.append(label)
    return found


def _is_hidden(cell: Any) -> bool:
    """Return whether a label is the -1 that stands for "not told"."""
    return isinstance(cell, int | float | str) and cell in _HIDDEN


def _numbering(task: Task, table: Table) -> dict[str, int]:
    """Return the task's number for every label word and every number that the table may hold."""
    words = {name: number for number, name in enumerate(task.label_names)}
    own = table.names if set(table.names) == set(task.label_names) else task.label_names
    return words | {str(number): words[name] for number, name in enumerate(own)}


def _class(names: dict[str, int], cell: Any) -> int | None:
    """Return the class number of a label given as number, digits or word; None for any other."""
    if isinstance(cell, float) and cell.is_integer():
        cell = int(cell)
    if isinstance(cell, bool) or not isinstance(cell, int | str):
        return None
    return names.get(str(cell).strip())


def _score(task: Task, cell: Any) -> float | None:
    """Return a score given as number or digits; None when it is no number or out of range."""
    if isinstance(cell, bool) or not isinstance(cell, int | float | str):
        return None
    try:
        score = float(cell)
    except ValueError:
        return None
    low, high = task.score_range
    return score if low <= score <= high else None  # NaN fails too


def _allowed(task: Task) -> str:
    """Return the labels of a task, for a message."""
    if task.regression:
        low, high = task.score_range
        return f"a score from {low:g} to {high:g}"
    return "label " + " or ".join(f"{i} ({name})" for i, name in enumerate(task.label_names))
