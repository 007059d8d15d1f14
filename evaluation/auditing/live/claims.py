"""Claim of a training so far: the epsilon of what was done, for whoever sees all of it."""

from collections.abc import Mapping, Sequence
from typing import Any

from privacy.guarantee import Entry, Guarantee


def spent(entries: Sequence[Entry]) -> tuple[float, float] | None:
    """Return epsilon and delta of what is released; None without a claim about it."""
    for entry in entries:
        if entry.view == "release" and isinstance(entry, Guarantee) and entry.unit != "label":
            return entry.epsilon, entry.delta
    return None


def largest(entries: Sequence[Entry]) -> float | None:
    """Return the largest epsilon of all claims, of any view and unit; None without one."""
    found = [entry.epsilon for entry in entries if isinstance(entry, Guarantee)]
    return max(found, default=None)


def released(guarantees: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the epsilon of what is released, of claims in a manifest; None without one."""
    for entry in guarantees:
        claimed = entry.get("view") == "release" and entry.get("kind") == "guarantee"
        if claimed and entry.get("unit") != "label":
            return float(entry["epsilon"])
    return None
