"""Records of older schemas: what they called things, in today's words."""

from collections.abc import Mapping
from typing import Any

from reports.leak import WHY

READABLE = (1, 2)
"""Schema 1 had a flag `headline` on leakage entries, which nobody read."""

RECORD = {"baseline": "majority_baseline"}
ENTRY = {
    "floor": "reference_attack",
    "floor_basis": "reference_basis",
    "ceiling": "reconstruction_bound",
    "ceiling_basis": "bound_basis",
}
FLAGS = {
    "above the ceiling": "above the reconstruction bound",
    "below the floor": "below the reference attack",
}

UNSOUND = ("tpr_at_1pct_fpr", "tpr_at_01pct_fpr")
"""Metrics whose intervals left out, up to schema 2, that their threshold was estimated, too."""

RUN_AGAIN = "interval of an earlier version did not hold: run again"
"""Why they are not measured; where the scores are kept, the numbers are made again instead."""


def renamed(values: Mapping[str, Any], schema: int) -> dict[str, Any]:
    """A stored record as `schema`, today's, has it.

    Raises: ValueError for any schema but today's and those of `READABLE`.
    """
    found = values.get("schema")
    if found == schema and not isinstance(found, bool):
        return dict(values)
    if found not in READABLE or isinstance(found, bool):
        known = ", ".join(map(str, (*READABLE, schema)))
        raise ValueError(f"expected schema of {known}, got schema={found!r}")
    record = {RECORD.get(key, key): item for key, item in values.items()}
    if isinstance(record.get("leakage"), list):
        record["leakage"] = [_entry(each) for each in record["leakage"]]
    return {**record, "schema": schema}


def _entry(entry: Any) -> Any:
    """One leakage entry; what is none is left for the reader to refuse."""
    if not isinstance(entry, Mapping):
        return entry
    if entry.get("metric") in UNSOUND and WHY not in entry:
        kept = ("view", "attack", "family", "metric")
        return {key: entry[key] for key in kept if key in entry} | {WHY: RUN_AGAIN}
    found = {ENTRY.get(key, key): item for key, item in entry.items() if key != "headline"}
    if isinstance(found.get("flags"), list):
        found["flags"] = [FLAGS.get(str(flag), flag) for flag in found["flags"]]
    return found
