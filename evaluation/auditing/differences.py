"""Differences between what a manifest records and what is recomputed, a line each."""

import math
from collections.abc import Iterator
from typing import Any

from reports.tradeoff import FURTHER, KEYS

CLOSE = 1e-6  # relative: of two computations of one number
LATER = (*KEYS, *FURTHER)
READ = 1e-4  # of a mu, which rests on what was read of a loss


def differences(where: str, recorded: Any, now: Any) -> Iterator[str]:
    """Yield the places at which two plain values differ.

    What a claim allows an attacker may be absent: earlier manifests have no curve.
    """
    if isinstance(recorded, dict) and isinstance(now, dict):
        name = now.get("place") or now.get("view")
        for key in sorted(set(recorded) | set(now)):
            if key not in ("sentence", "exclusions") and (key in recorded or key not in LATER):
                place = f"{where} {name} {key}" if name else f"{where} {key}"
                yield from differences(place, recorded.get(key), now.get(key))
    elif isinstance(recorded, list) and isinstance(now, list):
        if len(recorded) != len(now):
            yield f"{where}: recorded {_names(recorded)}, recomputed {_names(now)}"
            return
        for one, other in zip(recorded, now, strict=True):
            yield from differences(where, one, other)
    elif isinstance(recorded, float) and isinstance(now, int | float):
        close = READ if where.endswith(" mu") else CLOSE
        if not math.isclose(recorded, now, rel_tol=close):
            yield f"{where}: recorded {recorded:.6g}, recomputed {now:.6g}"
    elif recorded != now:
        yield f"{where}: recorded {recorded!r}, recomputed {now!r}"[:200]


def _names(entries: list[Any]) -> str:
    """Return what entries are about: places or views."""
    known = [e.get("place") or e.get("view") for e in entries if isinstance(e, dict)]
    return ", ".join(map(str, known)) or f"{len(entries)} entries"
