"""Sentences of a report that are made from its data."""

from collections.abc import Mapping, Sequence

from reports import metrics, received
from reports.checks import LABELS
from reports.labels import further_labels, phrase
from reports.records import CellResult
from reports.rows import Row

UNNOISED = (
    "No guarantee covers this report: scores, leakage, clipped shares, signal to noise, examples "
    "per client and label, and the hash of the data were taken from the data without noise; the "
    "hash alone settles which of two data sets it was."
)
"""What whoever gets a report is told of it."""


def doubts(records: Sequence[CellResult]) -> list[str]:
    """What may be wrong with the models and data of some cells, each sentence once."""
    return list(dict.fromkeys(doubt for record in records for doubt in record.doubts))


def received_lines(records: Sequence[CellResult]) -> list[str]:
    """What became of the clients' updates, a line for each cell in which anything was amiss."""
    return [
        f"{_named(record.labels)}: {told}"
        for record in records
        if (told := received.line(record.received))
    ]


def _named(labels: Mapping[str, str]) -> str:
    """A cell by its labels, without those that say nothing."""
    plain = [v for n, v in labels.items() if n in LABELS and n != "seed" and v != "-"]
    return f"{', '.join(plain)}{phrase(further_labels(labels))}, seed {labels.get('seed', '-')}"


def beats_majority(row: Row) -> bool | None:
    """Whether the whole utility interval is better than the majority class; None if unknown.

    Unknown, too, where it is not and the comparison does not hold: that may be the training's
    fault, and not the defence's.
    """
    if row.utility is None or row.majority_baseline is None:
        return None
    better = metrics.clearly_better(
        row.metric, row.utility.low, row.utility.high, row.majority_baseline
    )
    return better if better or row.comparison.holds else None


def tally(records: Sequence[CellResult]) -> str:
    """How many cells there are, and what became of them."""
    counts = {status: 0 for status in ("done", "skipped", "failed")}
    for record in records:
        counts[record.status] += 1
    parts = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return f"{_count(len(records), 'cell')}: {parts}" if parts else "no cells"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
