"""Examples, checked: texts and labels that are known to fit their task."""

import hashlib
import json
import logging
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import cached_property
from typing import Any

import numpy as np

from fedbert.data.documents import documents
from fedbert.data.people import people_of
from fedbert.data.tables import Table, location, numbered, printable, refused
from fedbert.errors import InputError, nearest
from fedbert.tasks import OWN, Task, label_word

logger = logging.getLogger(__name__)

_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_DIGITS = 400  # of a number
_FEW = 20  # labels that a message lists


@dataclass(frozen=True)
class Examples:
    """One split of a task.

    texts: per example one string per text column of the task; for masked-LM one document each.
    labels: [example] int64 classes in the hub's numbering, or float32 scores; all zero for
        masked-LM, which has none.
    origin: where they came from, for messages.
    skipped: rows that were left out, as the official readers leave them out (QQP).
    held_out: they were kept back from the only split that there is.
    people: per example the person that it belongs to; none where the task has no column of them.
    rows: per example its row in the source, from 1; of masked-LM the document's number.
    attributes: per example what the task's column of an attribute says; none without such a column.
    """

    task: Task
    texts: tuple[tuple[str, ...], ...]
    labels: np.ndarray
    origin: str
    skipped: int = 0
    held_out: bool = False
    people: tuple[str, ...] = ()
    rows: tuple[int, ...] = ()
    attributes: tuple[str, ...] = ()

    def __len__(self) -> int:
        """Return the number of examples."""
        return len(self.texts)

    @cached_property
    def sha256(self) -> str:
        """The hash of task, texts, labels and persons in their order; the origin stays out."""
        digest = hashlib.sha256(self.task.name.encode())
        rows = zip(self.texts, self.labels.tolist(), strict=True)
        parts = (part for texts, label in rows for part in (*texts, repr(label)))
        for part in (*parts, *self.people, *self.attributes):
            data = part.encode()
            digest.update(len(data).to_bytes(8, "big") + data)
        return digest.hexdigest()

    def take(self, indices: Sequence[int] | np.ndarray) -> "Examples":
        """Return the chosen examples in the given order."""
        chosen = np.asarray(indices, dtype=np.int64)
        names = ("texts", "people", "rows", "attributes")
        own: dict[str, tuple[Any, ...]] = {name: getattr(self, name) for name in names}
        taken: Any = {name: tuple(each[i] for i in chosen) for name, each in own.items() if each}
        return replace(self, labels=self.labels[chosen], **taken)


def from_tables(task: Task, tables: Sequence[Table]) -> Examples:
    """Return the rows of one split's tables, checked, as examples of the task.

    Raises:
        InputError: naming file, column and row, for a missing column, a text that is not a string
            or (of somebody's own columns, the first) blank, a label that the task does not know,
            hidden labels, nobody's row, or no rows at all.
    """
    for table in tables:
        _check_columns(task, table)
    origin = tables[0].origin if len(tables) == 1 else f"{tables[0].origin} ... {tables[-1].origin}"
    skipped = sum(table.skipped for table in tables)
    group = task.group
    people = [] if group is None else [p for table in tables for p in people_of(table, group)]
    attributes: list[str] = []
    if task.attribute is not None:
        attributes = [a for table in tables for a in people_of(table, task.attribute, "attribute")]
    if task.kind == "mlm":
        rows = [text for table in tables for text in _texts(table, _text_column(task, table))]
        people = [person for person, row in zip(people, rows, strict=False) if row.strip()]
        found = documents(rows) if group is None else [row.strip() for row in rows if row.strip()]
        texts = tuple((document,) for document in found)
        labels = np.zeros(len(texts), dtype=np.int64)
    else:
        if task.guessed:
            _refuse_classes(task, tables)
        columns = [
            [t for table in tables for t in _texts(table, name, task.of_ones_own and not second)]
            for second, name in enumerate(task.columns)
        ]
        texts = tuple(zip(*columns, strict=True))
        kind = np.float32 if task.regression else np.int64
        labels = np.asarray([y for table in tables for y in _labels(task, table)], dtype=kind)
    if not texts:
        raise InputError(f"expected at least one row with text, got rows=0 in {origin}")
    numbers = tuple(range(1, len(texts) + 1) if task.kind == "mlm" else numbered(tables))
    return Examples(
        task, texts, labels, origin, skipped,
        people=tuple(people), rows=numbers, attributes=tuple(attributes),
    )  # fmt: skip


def _check_columns(task: Task, table: Table) -> None:
    """Refuse a table that lacks a column of the task or has no rows."""
    wanted = () if task.kind == "mlm" else (*task.columns, task.label)
    wanted += tuple(name for name in (task.group, task.attribute) if name is not None)
    if len(table) == 0:
        raise InputError(f"expected at least one row, got rows=0 in {table.origin}")
    for name in wanted:
        if name not in table.columns:
            raise _no_column(name, table, wanted)


def _no_column(name: str, table: Table, wanted: Sequence[str]) -> InputError:
    """Return the complaint about a column that is not there."""
    found = printable(", ".join(table.columns))
    near = nearest(name, [each for each in table.columns if each not in wanted])
    return InputError(f"expected column {name!r}, got columns={found} in {table.origin}{near}")


def _text_column(task: Task, table: Table) -> str:
    """Return the column that holds the text for masked-LM: "text", or the only one of strings."""
    (name,) = task.columns
    if name in table.columns:
        return name
    if name != "text":
        raise _no_column(name, table, task.columns)
    strings = [
        name
        for name, cells in table.columns.items()
        if name != task.group and any(isinstance(cell, str) for cell in cells)
    ]
    if len(strings) == 1:
        return strings[0]
    found = ", ".join(table.columns)
    raise InputError(f"expected a column 'text' of strings, got columns={found} in {table.origin}")


def _texts(table: Table, column: str, some: bool = False) -> list[str]:
    """Return a column's strings; a null or undecodable one is refused, a blank one if `some`."""
    cells = table.columns[column]
    wrong = [
        position
        for position, cell in enumerate(cells)
        if not isinstance(cell, str) or not _encodable(cell) or (some and not cell.strip())
    ]
    if wrong:
        raise InputError(refused("text", table, column, wrong))
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
    cells = table.columns[task.label]
    names = _numbering(task, table)
    if "-1" not in names and all(_is_hidden(cell) for cell in cells):
        where = location(table.origin, task.label)
        raise InputError(
            f"expected labels, got {task.label}=-1 in every row (the hidden test split) {where}"
        )
    read = [
        _score(task, cell) if task.regression else names.get(label_word(cell) or "")
        for cell in cells
    ]
    if wrong := [position for position, label in enumerate(read) if label is None]:
        hint = _classes_hint(cells) if task.guessed else ""
        raise InputError(refused(_allowed(task), table, task.label, wrong, hint))
    return [label for label in read if label is not None]


def _is_hidden(cell: Any) -> bool:
    """Return whether a label is the -1 that stands for "not told"."""
    return label_word(cell) == "-1"


def _numbering(task: Task, table: Table) -> dict[str, int]:
    """Return the task's number for every label word and every number that the table may hold.

    Numbers count in the order of the table's own names, where it brings any; else in the task's
    order, unless the task's labels are numbers themselves.
    """
    words = {label_word(name) or "": number for number, name in enumerate(task.label_names)}
    own = [label_word(name) or "" for name in table.names.get(task.label, ())]
    if own and (task.name == OWN or set(own) == set(words)):
        known = {str(number): words[name] for number, name in enumerate(own) if name in words}
        return words | known
    if own and words:
        told = ", ".join(f"{a} as {b}" for a, b in zip(own, task.label_names, strict=False))
        logger.warning("%s: labels of other names are read by number: %s", table.origin, told)
    if any(number_of(word) is not None for word in words):
        return words
    return words | {str(number): number for number in words.values()}


def number_of(text: str) -> float | None:
    """Return the number that a text writes in full, without spaces within; None for none.

    >>> number_of(" 1.50 "), number_of("1e3"), number_of("1_0"), number_of("nan")
    (1.5, 1000.0, None, None)
    """
    text = text.strip()
    return float(text) if len(text) <= _DIGITS and _NUMBER.fullmatch(text) else None


def _score(task: Task, cell: Any) -> float | None:
    """Return a score given as number or digits; None when it is no number or out of range."""
    if isinstance(cell, bool) or not isinstance(cell, int | float | str | Decimal):
        return None
    try:
        score = number_of(cell) if isinstance(cell, str) else float(cell)
    except OverflowError:
        return None
    if score is None:
        return None
    low, high = task.score_range
    fits = low <= score <= high and abs(score) <= float(np.finfo(np.float32).max)
    return score if fits else None  # NaN fails too


def _refuse_classes(task: Task, tables: Sequence[Table]) -> None:
    """Refuse labels that nobody called scores and that look like classes: few whole numbers."""
    cells = [cell for table in tables for cell in table.columns[task.label]]
    words = {label_word(cell) or "" for cell in cells}
    if len(words) <= _FEW and all((number_of(each) or 0.5).is_integer() for each in words - {"0"}):
        hint = _classes_hint(cells).removeprefix(": for classes ") or "labels"
        raise InputError(
            f'expected {hint}, or metric = "pearson" for scores, got neither for the column '
            f"{task.label!r} {location(tables[0].origin)}"
        )


def _classes_hint(cells: Sequence[Any]) -> str:
    """Return what names the labels of a column as classes, where they are few."""
    words = sorted({label_word(cell) or "" for cell in cells} - {""}, key=in_order)
    if not 2 <= len(words) <= _FEW:
        return ""
    return f": for classes labels = {json.dumps(words, ensure_ascii=False)} in [data]"


def in_order(word: str) -> tuple[float, str]:
    """Return by what label words are sorted: numbers first, as numbers."""
    number = number_of(word)
    return (math.inf if number is None else number, word)


def _allowed(task: Task) -> str:
    """Return the labels of a task, for a message."""
    if task.regression:
        low, high = task.score_range
        return f"a score from {low:g} to {high:g}" if math.isfinite(high) else "a finite score"
    listed = [
        name if number_of(name) is not None else f"{number} ({name})"
        for number, name in enumerate(task.label_names)
    ]
    more = [f"another of {len(listed)}"] if len(listed) > _FEW else []
    return "label " + " or ".join([*listed[:_FEW], *more])
