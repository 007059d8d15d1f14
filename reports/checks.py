"""Checks of a record: plain JSON, finite numbers, and the keys that the readers rely on."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

STATUSES = ("done", "skipped", "failed")
VIEWS = ("forward", "backward", "aggregator", "peer", "release")
KINDS = ("guarantee", "metric guarantee", "no guarantee", "nothing sent")
FAMILIES = ("inversion", "membership")
UNITS = ("token", "span", "sequence", "record", "client", "label", "user")
RELATIONS = ("replace-one", "add-or-remove-one")
SCOPES = ("local", "data set")
LABELS = ("task", "model", "strategy", "defence", "level", "seed")


def plain(value: Any, where: str) -> Any:
    """A copy of `value` made of JSON's own types alone (tuples become lists).

    Raises: ValueError for anything that JSON cannot carry, NaN and infinity included.
    """
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"expected a finite number, got {where}={value}")
        return float(value)
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise ValueError(f"expected string keys, got {where} key={key!r}")
        return {key: plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise ValueError(f"expected plain JSON, got {where} of type {type(value).__name__}")


def one_of(value: Any, allowed: Iterable[str], where: str) -> None:
    """None, once `value` is known to be one of `allowed`; ValueError otherwise."""
    if not isinstance(value, str) or value not in tuple(allowed):
        raise ValueError(f"expected one of {', '.join(allowed)}, got {where}={value!r}")


def text(value: Any, where: str, empty: bool = False) -> None:
    """None, once `value` is known to be a string, and no empty one unless it may be."""
    if not isinstance(value, str) or not (value or empty):
        raise ValueError(f"expected a text, got {where}={value!r}")


def has_keys(entry: Mapping[str, Any], keys: Iterable[str], where: str) -> None:
    """None, once `entry` is known to hold `keys`; ValueError naming those it lacks otherwise."""
    lacking = [key for key in keys if key not in entry]
    if lacking:
        raise ValueError(f"expected {where} with {', '.join(lacking)}, got keys={sorted(entry)}")


def number(value: Any, where: str) -> float:
    """`value` as a finite float; ValueError where it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"expected a finite number, got {where}={value!r}")
    try:
        found = float(value)
    except OverflowError:
        found = math.inf
    if not math.isfinite(found):
        raise ValueError(f"expected a finite number, got {where}={shown(value)}")
    return found


def count(value: Any, where: str, least: int = 0) -> None:
    """None, once `value` is known to be an integer of at least `least`; ValueError otherwise."""
    if number(value, where) < least or not isinstance(value, int):
        raise ValueError(f"expected an integer {where} >= {least}, got {where}={value!r}")


def shown(value: Any) -> str:
    """A value in a few characters, also where Python has no digits for it.

    >>> shown(10**9999)
    'a number of over 4000 digits'
    """
    if isinstance(value, int) and abs(value) >= 10**4000:
        return "a number of over 4000 digits"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def amounts(values: Mapping[str, Any], where: str, whole: bool = False) -> None:
    """None, once all `values` are known to be numbers >= 0 (integers if `whole`)."""
    for key, value in values.items():
        if number(value, f"{where}.{key}") < 0 or (whole and not isinstance(value, int)):
            wanted = "an integer" if whole else "a number"
            raise ValueError(f"expected {wanted} >= 0, got {where}.{key}={value!r}")


def labels(values: Mapping[str, Any]) -> None:
    """None, once the labels that every table needs are known to be there, as strings."""
    has_keys(values, LABELS, "labels")
    for key, value in values.items():
        if not isinstance(value, str):
            raise ValueError(f"expected a string, got labels.{key}={value!r}")


def guarantees(entries: list[dict[str, Any]]) -> None:
    """None, once the entries are known to speak of each of the five views, each once.

    Further claims about a view (of labels, say) may follow the five. A number without its sentence
    is refused: unit, relation, scope and sentence go with epsilon, and with eta all but relation.
    """
    for i, entry in enumerate(entries):
        _guarantee(entry, f"guarantees[{i}]")
    views = [entry["view"] for entry in entries[: len(VIEWS)]]
    if sorted(map(str, views)) != sorted(VIEWS):
        raise ValueError(
            f"expected one guarantee per view of {', '.join(VIEWS)}, got views={views}"
        )
    for i, entry in enumerate(entries[len(VIEWS) :], len(VIEWS)):
        one_of(entry["view"], VIEWS, f"guarantees[{i}].view")
        one_of(entry["kind"], ("guarantee",), f"guarantees[{i}].kind")


def _guarantee(entry: Mapping[str, Any], where: str) -> None:
    """None, once an entry is known to hold what its kind needs."""
    if not isinstance(entry, Mapping):
        raise ValueError(f"expected a guarantee, got {where}={entry!r}")
    has_keys(entry, ("view", "kind", "sentence"), where)
    one_of(entry["kind"], KINDS, f"{where}.kind")
    text(entry["sentence"], f"{where}.sentence")
    numbers = {"guarantee": ("epsilon", "delta"), "metric guarantee": ("eta",)}
    if entry["kind"] not in numbers:
        has_keys(entry, ("reason",), where)
        text(entry["reason"], f"{where}.reason", empty=True)
        return
    has_keys(entry, ("unit", "releases", "scope", *numbers[entry["kind"]]), where)
    one_of(entry["unit"], UNITS, f"{where}.unit")
    one_of(entry["scope"], SCOPES, f"{where}.scope")
    count(entry["releases"], f"{where}.releases")
    for key in numbers[entry["kind"]]:
        if number(entry[key], f"{where}.{key}") < 0:
            raise ValueError(f"expected {key} >= 0, got {where}.{key}={entry[key]!r}")
    if entry["kind"] == "guarantee":
        has_keys(entry, ("relation",), where)
        one_of(entry["relation"], RELATIONS, f"{where}.relation")
