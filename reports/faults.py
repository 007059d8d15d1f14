"""Faults of comparisons: which of a report's rows are held against a training that learnt nothing.

What each verdict means stands in `reports.comparison`.
"""

from collections.abc import Sequence

from reports.comparison import brief
from reports.labels import phrase
from reports.rows import Row

PARTS = ("task", "strategy", "model")
UNBLAMED = "No defence is to blame for a utility below"


def faults(rows: Sequence[Row]) -> list[str]:
    """Each comparison that does not hold: whose it is, why, and what may help; each once."""
    parts = PARTS if len({row.model for row in rows}) > 1 else PARTS[:2]
    lines = (
        f"{_name(row, parts)}: {row.comparison.told}" for row in rows if not row.comparison.holds
    )
    return list(dict.fromkeys(lines))


def fault(rows: Sequence[Row]) -> str:
    """The same in one line, for a figure or the head of a table; "" where all hold."""
    several = [part for part in PARTS if len({getattr(row, part) for row in rows}) > 1]
    return brief({_name(row, several or ["strategy"]): row.comparison for row in rows})


def _name(row: Row, parts: Sequence[str]) -> str:
    """These parts of what a row is of, with its further labels."""
    return ", ".join(getattr(row, part) for part in parts) + phrase(row.further)
