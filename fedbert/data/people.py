"""Persons that rows belong to: read from a column, numbered, counted, linked."""

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from fedbert.data.tables import Table, refused
from fedbert.errors import InputError
from fedbert.tasks import label_word


def people_of(table: Table, column: str, what: str = "person") -> list[str]:
    """Return the person (or what else) of every row; spelt one way, as labels are.

    Raises:
        InputError: naming the rows, for ones that name nobody.
    """
    found = [_name(cell) for cell in table.columns[column]]
    if wrong := [position for position, name in enumerate(found) if name is None]:
        raise InputError(refused(f"the {what} of a row", table, column, wrong))
    return [name for name in found if name is not None]


def _name(cell: Any) -> str | None:
    """Return how a person is spelt; None where a cell names nobody."""
    if isinstance(cell, float) and not math.isfinite(cell):
        return None
    name = label_word(cell)
    try:
        (name or "").encode()
    except UnicodeEncodeError:  # bytes that were not UTF-8
        return None
    return name or None


def numbers(people: Sequence[str]) -> np.ndarray:
    """Return a number for each row's person [row] int64, the same in every split and file.

    >>> a, b, c = numbers(["ann", "bob", "ann"])
    >>> bool(a == c), bool(a == b), bool(a >= 0)
    (True, False, True)
    """
    known = {each: int.from_bytes(hashlib.sha256(each.encode()).digest()[:8]) for each in {*people}}
    return np.array([known[each] >> 1 for each in people], dtype=np.int64)


def rows_of_each(people: np.ndarray) -> np.ndarray:
    """Return how many rows every person has [person] int64.

    >>> rows_of_each(np.array([9, 4, 9])).tolist()
    [1, 2]
    """
    return np.unique(people, return_counts=True)[1].astype(np.int64)


def linked(*numberings: np.ndarray) -> np.ndarray:
    """Return the first example of all that are linked with each [example] int64.

    Two are linked if one of the numberings [example] has one number for both, or through others.

    >>> linked(np.array([7, 7, 8, 9]), np.array([0, 1, 1, 2])).tolist()
    [0, 0, 0, 3]
    """
    count = nodes = len(numberings[0])
    ends = []
    for each in numberings:
        names, place = np.unique(each, return_inverse=True)
        ends.append(nodes + place)
        nodes += len(names)
    edges = np.tile(np.arange(count), len(numberings)), np.concatenate(ends)
    graph = coo_array((np.ones(len(edges[0])), edges), shape=(nodes, nodes))
    parts = connected_components(graph, directed=False)[1][:count]
    first = np.unique(parts, return_index=True)[1]
    return np.asarray(first[parts], dtype=np.int64)
