"""Settings of a run for machines: utility, claims by view and unit, the worst that was recovered.

Every number has its interval and its n; epsilon, delta, unit, relation and view stand apart.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.leak import Leak
from reports.records import CellResult
from reports.rows import Row, by_setting, setting_rows

if TYPE_CHECKING:
    from reports.render import RenderedReport

SCHEMA = 1
"""Version of the form of `to_json`."""
CLAIM = ("view", "kind", "unit", "relation", "epsilon", "delta", "eta", "scope", "reason")


def to_json(
    run: Path, records: Sequence[CellResult], shown: "RenderedReport", checked: int
) -> dict[str, Any]:
    """A report for machines: its settings in their order, and the files that were written.

    checked: how many numbers were made again from the scores on disk, and were the same.
    """
    rows, groups = setting_rows(records), by_setting(records)
    return {
        "run": run.resolve().name,
        "answer": list(shown.answer),
        "numbers_made_again": checked,
        "settings": [_setting(row, group) for row, group in zip(rows, groups, strict=True)],
        "files": [str(path) for path in shown.paths],
    }


def _setting(row: Row, group: Sequence[CellResult]) -> dict[str, Any]:
    return {
        "task": row.task,
        "model": row.model,
        "strategy": row.strategy,
        "defence": row.defence,
        "level": row.level,
        "sweep": dict(row.further),
        "status": row.status,
        "note": row.note,
        "comparison": row.comparison.value,
        "cells": [record.cell for record in group],
        "seeds": list(row.seeds),
        "noise": sorted({record.spec.get("noise", "repeatable") for record in group}),
        "utility": {name: estimate.to_json() for name, estimate in row.utilities},
        "headline": row.metric,
        "majority_baseline": row.majority_baseline,
        "claims": _claims(group),
        "leaks": [_leak(each, row) for each in row.leaks],
        "not_measured": list(row.unmeasured),
        "bytes": row.bytes,
        "seconds": row.seconds,
    }


def _claims(group: Sequence[CellResult]) -> list[dict[str, Any]]:
    """What is claimed by the seeds' records, each claim with the seeds that it holds for."""
    found: list[dict[str, Any]] = []
    for record in group:
        for entry in record.guarantees:
            claim = {key: entry[key] for key in CLAIM if key in entry}
            same = next((each for each in found if each["claim"] == claim), None)
            if same is None:
                found.append({"claim": claim, "seeds": [record.labels["seed"]]})
            else:
                same["seeds"].append(record.labels["seed"])
    return [each["claim"] | {"seeds": each["seeds"]} for each in found]


def _leak(leak: Leak, row: Row) -> dict[str, Any]:
    return leak.to_json() | {"seeds_short": row.fewer_seeds(leak) or None}
