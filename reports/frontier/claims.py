"""Claims of a search on private data: what its records say without any of them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from reports import live
from reports.leak import Leak, LeakageEntry
from reports.records import CellResult

CLAIMS = ("guarantee", "metric guarantee")
SPENT = "the search trained on private records and printed their figures, which is in no ledger"


def unclaimed(records: Sequence[CellResult]) -> list[CellResult]:
    """The records of a search on private data, without a claim in any of them.

    Nor what follows from one: epsilons of a live audit, and bounds on what is recovered. What
    canaries showed and alarms of attacks stay, which claim nothing.
    """
    return [
        replace(
            each,
            guarantees=[without_claim(x) for x in each.guarantees],
            audit=live.unclaimed(each.audit) if each.audit else {},
            traceback=live.without_epsilon(each.traceback),
            leakage=tuple(map(_without_bound, each.leakage)),
        )
        for each in records
    ]


def _without_bound(entry: LeakageEntry) -> LeakageEntry:
    """A leak without the most that a guarantee allows."""
    if not isinstance(entry, Leak) or entry.reconstruction_bound is None:
        return entry
    return replace(entry, reconstruction_bound=None, bound_basis=f"no guarantee: {SPENT}")


def without_claim(entry: Mapping[str, Any]) -> dict[str, Any]:
    """A view's entry of a search on private data: what it claims is none."""
    if entry["kind"] not in CLAIMS:
        return dict(entry)
    told = f"Against the {entry['view']} view there is no guarantee: {SPENT}."
    return {"view": entry["view"], "kind": "no guarantee", "reason": SPENT, "sentence": told}
