"""Verification of a run's membership numbers, made again from the scores on disk."""

from collections.abc import Iterable
from pathlib import Path

from evaluation.metrics.membership import judged
from fedbert.errors import InputError
from reports.estimate import Estimate
from reports.leak import Leak
from reports.records import RECORDS, CellResult, read_records
from reports.scores import FOLDER, read_scores, scores_path

TOLERANCE = 1e-9


def verify_run(run: Path) -> int:
    """Return `verify` of a run directory; 0 where it holds no scores."""
    records = run / RECORDS
    if not (run / FOLDER).is_dir() or not records.is_file():
        return 0
    return verify(run, read_records(records))


def verify(run: Path, records: Iterable[CellResult]) -> int:
    """Return how many numbers of records were made again from the scores on disk, all equal.

    Raises:
        InputError: naming cell, attack and metric where a record says something else.
    """
    count = 0
    for record in records:
        path = scores_path(run, record.cell)
        if not path.is_file():
            continue
        try:
            attacks = read_scores(path)
        except ValueError as error:
            raise InputError(str(error)) from None
        stated = {
            (each.attack, each.metric): each.estimate
            for each in record.leakage
            if isinstance(each, Leak)
        }
        for name, scored in attacks.items():
            for metric, found in judged(scored).items():
                there = stated.get((name, metric))
                if there is None or not _same(there, found):
                    value = None if there is None else there.value
                    raise InputError(
                        f"expected {metric}={found.value:.6g} of {name} as its scores give it, "
                        f"got {value} in the record of cell {record.cell}"
                    )
                count += 1
    return count


def _same(one: Estimate, other: Estimate) -> bool:
    pairs = ((one.value, other.value), (one.low, other.low), (one.high, other.high))
    return one.n == other.n and all(abs(a - b) <= TOLERANCE for a, b in pairs)
