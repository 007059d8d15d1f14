"""Verification of a run's membership numbers, made again from the scores on disk."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from evaluation.metrics.membership import FPRS, chance, judged, too_few
from fedbert.errors import InputError
from reports.estimate import Estimate
from reports.leak import Leak, LeakageEntry, NotMeasured
from reports.older import RUN_AGAIN
from reports.records import RECORDS, CellResult, read_records
from reports.run_folder import SCORES, scores_path
from reports.scores import Scored, read_scores

TOLERANCE = 1e-9


def verify_run(run: Path) -> int:
    """Return `verify` of a run directory; 0 where it holds no scores."""
    records = run / RECORDS
    if not (run / SCORES).is_dir() or not records.is_file():
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
                if (name, metric) in unsound(record):
                    count += 1
                    continue
                there = stated.get((name, metric))
                if there is None or not _same(there, found):
                    value = None if there is None else there.value
                    raise InputError(
                        f"expected {metric}={found.value:.6g} of {name} as its scores give it, "
                        f"got {value} in the record of cell {record.cell}"
                    )
                count += 1
    return count


def unclustered(run: Path) -> int:
    """Return how many files of scores do not say which candidates depend on each other.

    They are of an earlier version: each candidate counts by itself.
    """
    files = sorted((run / SCORES).glob("*.npz"))
    return sum(any(each.clusters is None for each in read_scores(f).values()) for f in files)


def unsound(record: CellResult) -> list[tuple[str, str | None]]:
    """Return attacks and metrics whose intervals, of an earlier version, did not hold."""
    missing = [each for each in record.leakage if isinstance(each, NotMeasured)]
    return [(each.attack, each.metric) for each in missing if each.reason == RUN_AGAIN]


def made_again(run: Path) -> list[CellResult]:
    """Return a run's records; numbers of an earlier version that did not hold, from the scores.

    Raises:
        InputError: for records or scores that cannot be read.
    """
    try:
        records = read_records(run / "records.jsonl")
        paths = [scores_path(run, record.cell) for record in records]
        return [
            _made_again(record, read_scores(path)) if unsound(record) and path.is_file() else record
            for record, path in zip(records, paths, strict=True)
        ]
    except ValueError as error:
        raise InputError(str(error)) from None


def _made_again(record: CellResult, scores: Mapping[str, Scored]) -> CellResult:
    return replace(record, leakage=tuple(_today(each, scores) for each in record.leakage))


def _today(entry: LeakageEntry, scores: Mapping[str, Scored]) -> LeakageEntry:
    """Return an entry; what did not hold as scores give it today, or that they are too few."""
    if not isinstance(entry, NotMeasured) or entry.reason != RUN_AGAIN:
        return entry
    metric, scored = entry.metric, scores.get(entry.attack)
    if metric is None or scored is None:
        return entry
    others = len(scored.non_member_scores)
    found = judged(scored).get(metric)
    if found is None:
        return replace(entry, reason=too_few(others, FPRS[metric]))
    head = entry.view, entry.attack, entry.family
    return Leak(*head, metric, found, "record", chance(metric, others))


def _same(one: Estimate, other: Estimate) -> bool:
    pairs = ((one.value, other.value), (one.low, other.low), (one.high, other.high))
    return one.n == other.n and all(abs(a - b) <= TOLERANCE for a, b in pairs)
