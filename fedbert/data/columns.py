"""Columns of somebody's own data: what each holds, and which hold the text and the label."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fedbert.data.examples import in_order, number_of
from fedbert.data.tables import Table
from fedbert.errors import InputError, nearest
from fedbert.tasks import label_word

MOST = 50  # labels of a classification
_USUAL = ("label", "labels", "class", "category", "target", "stars", "rating", "score", "sentiment")


@dataclass(frozen=True)
class Column:
    """What a column holds: `cells` that are there, of which so many differ; `missing` ones beside.

    words: the label words and how often each occurs, where they are few. numbers: every cell is
    one. length: the mean length of its texts in characters, 0 where there are none.
    """

    name: str
    cells: int
    missing: int
    different: int
    words: dict[str, int]
    numbers: bool
    length: float

    @property
    def holds(self) -> str:
        """Return what the column holds, in a word."""
        if self.cells == 0:
            return "nothing"
        return "numbers" if self.numbers else "text" if self.length else "other values"


def columns_of(tables: Sequence[Table]) -> list[Column]:
    """Return what the columns of some tables hold, in the order of the first table."""
    names = dict.fromkeys(name for table in tables for name in table.columns)
    return [_column(name, tables) for name in names]


def _column(name: str, tables: Sequence[Table]) -> Column:
    cells: list[Any] = []
    for table in tables:
        called = table.names.get(name, ())
        for cell in table.columns.get(name, []):
            inside = isinstance(cell, int) and 0 <= cell < len(called)
            cells.append(called[cell] if inside else cell)
    there = [c for c in cells if c is not None and not (isinstance(c, str) and not c.strip())]
    words = Counter(label_word(cell) or type(cell).__name__ for cell in there)
    texts = [cell for cell in there if isinstance(cell, str)]
    numbers = bool(there) and all(number_of(word) is not None for word in words)
    few = {word: words[word] for word in sorted(words, key=in_order)} if len(words) <= MOST else {}
    length = sum(map(len, texts)) / len(texts) if texts else 0.0
    return Column(name, len(there), len(cells) - len(there), len(words), few, numbers, length)


def text_of(columns: Sequence[Column], named: str | None) -> str:
    """Return the column of the text: the one that is named, else that of the longest texts.

    Raises:
        InputError: where there is none.
    """
    if named is not None:
        return known(columns, named)
    texts = [each for each in columns if each.holds == "text"]
    if not texts:
        found = ", ".join(each.name for each in columns)
        raise InputError(f"expected a column of texts, got columns={found or 'none'}")
    return max(texts, key=lambda each: each.length).name


def label_of(columns: Sequence[Column], named: str | None, texts: Sequence[str]) -> str:
    """Return the column of the label: the one that is named, else one of a usual name.

    Else the one with the fewest values that come again.

    Raises:
        InputError: where there is none.
    """
    if named is not None:
        return known(columns, named)
    others = [each for each in columns if each.name not in texts and each.different > 1]
    usual = [each for each in others if each.name.lower() in _USUAL]
    few = [each for each in others if each.words and each.cells >= 2 * each.different]
    for group in (usual, sorted(few, key=lambda each: each.different)):
        if group:
            return group[0].name
    found = ", ".join(each.name for each in columns)
    raise InputError(
        f"expected a column of labels, got columns={found}: name it with --label, or --task mlm "
        "for texts alone"
    )


def classes_of(columns: Sequence[Column], label: str) -> tuple[str, ...]:
    """Return the label words of a column in order; none for a column of scores.

    Raises:
        InputError: for words that are too many.
    """
    (column,) = (each for each in columns if each.name == label)
    whole = not column.numbers or all(float(word).is_integer() for word in column.words)
    if column.words and whole:
        return tuple(column.words)
    if column.numbers:
        return ()
    raise InputError(
        f"expected at most {MOST} classes or scores, got {column.different} different values in "
        f"column {label!r}"
    )


def known(columns: Sequence[Column], named: str) -> str:
    """Return the name of a column, or raise InputError where there is none."""
    names = [each.name for each in columns]
    if named not in names:
        raise InputError(
            f"expected a column of {', '.join(names)}, got {named!r}{nearest(named, names)}"
        )
    return named
