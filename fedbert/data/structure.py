"""Attributes of generated texts: what their words say besides the label, known by construction."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fedbert.data.synthetic import AGENTS, PLACES, TIMES, TOPICS
from fedbert.data.tables import Table
from fedbert.errors import InputError, nearest
from fedbert.tasks import Task

STRUCTURE: Mapping[str, frozenset[str]] = {
    "agent": frozenset((*AGENTS, *(f"{agent}s" for agent in AGENTS))),
    "place": frozenset(PLACES),
    "time": frozenset(TIMES),
    "topic": frozenset(TOPICS),
}
"""By attribute the words that say it: a text's is the first of them in it."""


def with_structure(task: Task, tables: dict[str, list[Table]]) -> dict[str, list[Table]]:
    """Return generated tables with a column of the task's attribute, where it names one.

    Raises:
        InputError: for an attribute that generated texts, or some of this task's, do not have.
    """
    if task.attribute is None:
        return tables
    if task.attribute not in STRUCTURE:
        near = nearest(task.attribute, list(STRUCTURE))
        known = ", ".join(STRUCTURE)
        raise InputError(f"expected attribute {known}, got attribute={task.attribute!r}{near}")
    return {split: [_told(task, each) for each in own] for split, own in tables.items()}


def _told(task: Task, table: Table) -> Table:
    """Return one table with its column."""
    name = task.attribute or ""
    texts = zip(*(table.columns[column] for column in task.columns), strict=True)
    found = [_first(name, text) for text in texts]
    if None in found:
        raise InputError(
            f"expected an attribute that every text has, got attribute={name!r} in {table.origin}"
        )
    return replace(table, columns={**table.columns, name: found})


def _first(name: str, texts: Sequence[str]) -> str | None:
    """Return the first word of some texts that says an attribute."""
    words = (word for text in texts for word in text.split())
    return next((word for word in words if word in STRUCTURE[name]), None)
