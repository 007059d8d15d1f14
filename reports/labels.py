"""Labels of a setting beyond the six that every record has, such as the settings of a sweep."""

from collections.abc import Iterable, Mapping
from typing import Protocol

from reports.checks import LABELS
from reports.wording import ABSENT

Pairs = tuple[tuple[str, str], ...]


class Labelled(Protocol):
    """Whatever has further labels: a row."""

    @property
    def further(self) -> Pairs:
        """Name and value of each, in the record's order."""


def further_labels(labels: Mapping[str, str]) -> Pairs:
    """Name and value of each further label, in the record's order.

    >>> further_labels({"task": "sst2", "data.clients": "64", "seed": "0"})
    (('data.clients', '64'),)
    """
    return tuple((name, value) for name, value in labels.items() if name not in LABELS)


def columns(rows: Iterable[Labelled]) -> tuple[str, ...]:
    """The names of all further labels of the rows, in order of appearance: a column each."""
    return tuple(dict.fromkeys(name for row in rows for name, _ in row.further))


def cells(further: Pairs, names: Iterable[str]) -> list[str]:
    """A row's value in each of the columns; a dash where it has none.

    >>> cells((("cut", "2"),), ["data.clients", "cut"])
    ['-', '2']
    """
    known = dict(further)
    return [known.get(name, ABSENT) for name in names]


def phrase(further: Pairs) -> str:
    """The further labels as the end of a phrase; nothing for none.

    >>> phrase((("cut", "2"), ("data.clients", "64")))
    ', cut = 2, data.clients = 64'
    """
    return "".join(f", {name} = {value}" for name, value in further)
