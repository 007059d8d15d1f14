"""Strict reader of records: every field of a line by its type and range, by hand."""

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from tests.fuzz.trial import WrongError

VIEWS = {"forward", "backward", "aggregator", "peer", "release"}
UNITS = {"token", "span", "sequence", "record", "client", "label", "user"}
FLAGS = {"above the reconstruction bound", "below the reference attack"}
Check = Callable[[Any], bool]


def text(value: Any) -> bool:
    return isinstance(value, str)


def filled(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def number(value: Any) -> bool:
    if type(value) is int:
        return abs(value) < 2**1024 - 2**970
    return type(value) is float and math.isfinite(value)


def amount(value: Any) -> bool:
    return number(value) and value >= 0


def whole(value: Any) -> bool:
    return type(value) is int and amount(value)


def table(value: Any) -> bool:
    return isinstance(value, dict)


def one_of(*names: str) -> Check:
    return lambda value: isinstance(value, str) and value in names


def maybe(check: Check) -> Check:
    return lambda value: value is None or check(value)


def every(check: Check) -> Check:
    return lambda value: isinstance(value, dict) and all(map(check, value.values()))


def some(check: Check) -> Check:
    return lambda value: isinstance(value, list) and all(map(check, value))


def shape(needed: dict[str, Check], allowed: dict[str, Check], closed: bool = True) -> Check:
    """Return the check of an object's keys; closed: it has no others."""

    def check(value: Any) -> bool:
        if not isinstance(value, dict) or not set(needed) <= set(value):
            return False
        known = needed | allowed
        if closed and not set(value) <= set(known):
            return False
        return all(known[key](each) for key, each in value.items() if key in known)

    return check


def estimate(value: Any) -> bool:
    kept = shape({"value": number, "low": number, "high": number, "n": whole},
                 {"confidence": number, "method": text})  # fmt: skip
    if not kept(value) or value["n"] < 1:
        return False
    inside = float(value["low"]) <= float(value["value"]) <= float(value["high"])
    return inside and 0 < value.get("confidence", 0.95) < 1


HEAD: dict[str, Check] = {
    "view": one_of(*VIEWS), "attack": filled, "family": one_of("inversion", "membership"),
}  # fmt: skip
LEAK = shape(
    {**HEAD, "metric": filled, "estimate": estimate, "unit": one_of(*UNITS),
     "chance": maybe(number)},
    {"reference_attack": maybe(estimate), "reference_basis": text,
     "reconstruction_bound": maybe(number), "bound_basis": text, "prior": maybe(number),
     "flags": some(one_of(*FLAGS)), "baseline": lambda value: isinstance(value, bool),
     "informed": maybe(estimate), "informed_basis": text},
)  # fmt: skip
MISSING = shape({**HEAD, "not_measured": filled}, {"metric": maybe(filled)})
CLAIM: dict[str, Check] = {
    "unit": one_of(*UNITS), "releases": whole, "scope": one_of("local", "data set"),
}  # fmt: skip
ABOUT: dict[str, Check] = {"view": one_of(*VIEWS), "sentence": filled}
KINDS: dict[str, Check] = {
    "guarantee": shape(
        {**ABOUT, **CLAIM, "epsilon": amount, "delta": amount,
         "relation": one_of("replace-one", "add-or-remove-one")}, {}, closed=False),
    "metric guarantee": shape({**ABOUT, **CLAIM, "eta": amount}, {}, closed=False),
    "no guarantee": shape({**ABOUT, "reason": text}, {}, closed=False),
    "nothing sent": shape({**ABOUT, "reason": text}, {}, closed=False),
}  # fmt: skip


def leak(value: Any) -> bool:
    return MISSING(value) if table(value) and "not_measured" in value else LEAK(value)


def guarantee(value: Any) -> bool:
    kind = value.get("kind") if table(value) else None
    known = isinstance(kind, str) and kind in KINDS and KINDS[kind](value)
    curve = ("tradeoff", "advantage", "tradeoff_basis")
    return known and (not any(key in value for key in curve) or _curve(value))


def _curve(value: dict[str, Any]) -> bool:
    rate: Check = lambda each: number(each) and 0 <= each <= 1  # noqa: E731
    pair: Check = lambda each: isinstance(each, list) and len(each) == 2 and all(map(rate, each))  # noqa: E731
    points = value.get("tradeoff")
    if not filled(value.get("tradeoff_basis")) or not rate(value.get("advantage")):
        return False
    if not isinstance(points, list) or not points or not all(map(pair, points)):
        return False
    further = [value[key] for key in ("mu", "mu_delta") if key in value]
    if len(further) == 1 or not all(map(amount, further)):
        return False
    steps = list(pairwise(points))
    return all(a[0] < b[0] and a[1] <= b[1] for a, b in steps)


def guarantees(value: Any) -> bool:
    """Return whether each view is spoken of once, and claims alone follow."""
    if not some(guarantee)(value):
        return False
    first, rest = value[:5], value[5:]
    return {x["view"] for x in first} == VIEWS and all(x["kind"] == "guarantee" for x in rest)


def _identity(value: Any) -> bool:
    return filled(value) and set(value) <= set("0123456789abcdef")


MECHANISM = shape({"name": filled}, {}, closed=False)
REFUSAL = shape({"client": whole, "round": whole, "why": filled}, {}, closed=False)
RECEIVED = shape(
    {"expected": whole, "missing": whole, "reasons": every(whole), "refused": some(REFUSAL),
     "skipped": some(whole)}, {}, closed=False,
)  # fmt: skip
LABELS = ("task", "model", "strategy", "defence", "level", "seed")
FIELDS: dict[str, Check] = {
    "reason": text, "traceback": text, "utility": every(estimate), "gains": every(estimate),
    "majority_baseline": every(maybe(number)), "leakage": some(leak),
    "mechanisms": every(MECHANISM),
    "guarantees": lambda value: value == [] or guarantees(value), "bytes": every(whole),
    "seconds": every(amount), "provenance": table, "doubts": some(filled), "audit": table,
    "subgroups": every(every(estimate)),
    "received": lambda value: value == {} or RECEIVED(value),
}  # fmt: skip
RECORD = shape(
    {"cell": _identity, "status": one_of("done", "failed", "skipped"), "spec": table,
     "labels": every(text), "schema": lambda value: value == 3 and not isinstance(value, bool)},
    FIELDS,
)  # fmt: skip


def cells(path: Path) -> list[tuple[str, str, Any]]:
    """Return cell, status and values of the last record of each cell, in order."""
    *lines, torn = path.read_bytes().split(b"\n")
    if torn and isinstance(_parsed(torn), dict):
        lines.append(torn)
    found: dict[str, Any] = {}
    for line in lines:
        value = _parsed(line)
        if not RECORD(value) or not _finite(value):
            raise WrongError(f"a line is no record: {line[:80]!r}")
        _agrees(value)
        found[value["cell"]] = essence(value)
    if not found:
        raise WrongError("there is no record")
    return list(found.values())


def _agrees(value: dict[str, Any]) -> None:
    """Raise WrongError for fields that do not go together."""
    if not set(LABELS) <= set(value["labels"]):
        raise WrongError("a label is missing")
    status = value["status"]
    needs = {"skipped": "reason", "failed": "traceback", "done": "guarantees"}[status]
    if not value.get(needs):
        raise WrongError(f"{status} without {needs}")


def essence(value: dict[str, Any]) -> tuple[str, str, Any]:
    """Return of a record what is compared: its cell, its status, its numbers."""
    utility = {key: float(each["value"]) for key, each in value.get("utility", {}).items()}
    leaks = [(each["attack"], each.get("metric")) for each in value.get("leakage", [])]
    return value["cell"], value["status"], (value["labels"], utility, leaks)


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(map(_finite, inside))


def _parsed(line: bytes) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len({key for key, _ in pairs}) < len(pairs):
            raise ValueError("a key is there twice")
        return dict(pairs)

    try:
        return json.loads(line.decode("utf-8"), object_pairs_hook=once)
    except (ValueError, RecursionError):
        return None
