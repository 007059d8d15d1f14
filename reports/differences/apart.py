"""Contrast of two groups of cells besides what is compared: data, code, seeds, settings."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from reports.checks import VIEWS
from reports.frontier.leakage import judged_on
from reports.records import CellResult

MOST = 6
"""Of more differing settings than these the rest is counted."""
EXPECTED = ("seed", "defence", "level")
"""Parts of a cell's spec that are told elsewhere: what is compared, and over which seeds."""


def apart(a: Sequence[CellResult], b: Sequence[CellResult], names: tuple[str, str]) -> list[str]:
    """Each thing in which two groups of cells differ besides their defence, a phrase each."""
    return [*_provenance(a, b), *_settings(a, b), *_seeds(a, b, names)]


def lacking(a: Sequence[CellResult], b: Sequence[CellResult], names: tuple[str, str]) -> list[str]:
    """Each attack that has numbers on one side alone, and seeds of which one side lacks them.

    An attack that could not be run is no attack that failed.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for own, others, name, lacks in ((a, b, *names), (b, a, *names[::-1])):
        ran, also = _tried(own), _tried(others)
        seeds = {cell.labels["seed"] for cell in others}
        for (attack, view), there in ran.items():
            missing = [seed for seed in there if seed in seeds - also.get((attack, view), set())]
            if (attack, view) not in also:
                told = f"has no number on {lacks}, where it may leak as much as on {name} or more"
            elif missing:
                s = "s" if len(missing) > 1 else ""
                told = f"has no number of seed{s} {', '.join(missing)} on {lacks}, left out"
            else:
                continue
            found.setdefault((told, view), []).append(attack)
    return [f"{', '.join(attacks)} ({view}) {told}" for (told, view), attacks in found.items()]


def _tried(cells: Sequence[CellResult]) -> dict[tuple[str, str], set[str]]:
    """By attack and view the seeds of which it has numbers that count."""
    found: dict[tuple[str, str], set[str]] = {}
    for cell in cells:
        for leak in judged_on(cell, VIEWS):
            found.setdefault((leak.attack, leak.view), set()).add(cell.labels["seed"])
    return found


def same_data(a: Sequence[CellResult], b: Sequence[CellResult]) -> bool:
    """Whether all cells are known to be of the same data, by its hash."""
    hashes = {record.provenance.get("data_sha256") for record in (*a, *b)}
    return len(hashes) == 1 and None not in hashes


def _provenance(a: Sequence[CellResult], b: Sequence[CellResult]) -> Iterator[str]:
    """What differs in the cells' provenance."""
    told = (("data_sha256", "data"), ("commit", "code"), ("model", "model"),
            ("precision", "precision"))  # fmt: skip
    for key, word in told:
        one, other = _values(a, key), _values(b, key)
        if one != other:
            verb = "differ" if word == "data" else "differs"
            yield f"{word} {verb} ({_short(one)} and {_short(other)})"
    if _values(a, "dirty") | _values(b, "dirty") != {"false"}:
        yield "code with changes that no commit holds, or none told, was run"
    one, other = _values(a, "versions"), _values(b, "versions")
    if one != other:
        yield f"versions of libraries differ ({_changed(one, other)})"


def _settings(a: Sequence[CellResult], b: Sequence[CellResult]) -> Iterator[str]:
    """What differs in the cells' settings, their defence and seed left out."""
    one, other = dict(_flat(a[0].spec)), dict(_flat(b[0].spec))
    keys = [key for key in dict.fromkeys([*one, *other]) if one.get(key) != other.get(key)]
    for key in keys[:MOST]:
        yield f"{key} is {one.get(key, 'not set')} and {other.get(key, 'not set')}"
    if len(keys) > MOST:
        yield f"{len(keys) - MOST} more settings differ"


def _seeds(
    a: Sequence[CellResult], b: Sequence[CellResult], names: tuple[str, str]
) -> Iterator[str]:
    one = list(dict.fromkeys(record.labels["seed"] for record in a))
    other = list(dict.fromkeys(record.labels["seed"] for record in b))
    for own, others, name in ((one, other, names[0]), (other, one, names[1])):
        alone = [seed for seed in own if seed not in others]
        if alone and len(alone) < len(own):
            s = "s" if len(alone) > 1 else ""
            yield f"seed{s} {', '.join(alone)} of {name} alone, left out"
    if not set(one) & set(other):
        yield f"seeds differ ({', '.join(one)} and {', '.join(other)})"


def _values(records: Sequence[CellResult], key: str) -> set[str]:
    """The values of one part of the provenance, as JSON."""
    return {json.dumps(record.provenance.get(key), sort_keys=True) for record in records}


def _short(values: set[str]) -> str:
    texts = sorted("not told" if each == "null" else each.strip('"')[:10] for each in values)
    return " or ".join(texts) or "not told"


def _changed(one: set[str], other: set[str]) -> str:
    """The libraries of which the versions differ."""
    found = [[json.loads(text) or {} for text in sorted(each)] for each in (one, other)]
    names = dict.fromkeys(name for each in found for own in each for name in own)
    changed = [
        name for name in names if len({str(own.get(name)) for each in found for own in each}) > 1
    ]
    return ", ".join(changed) or "some not told"


def _flat(value: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, item in value.items():
        if not before and key in EXPECTED:
            continue
        if isinstance(item, Mapping):
            yield from _flat(item, f"{before}{key}.")
        else:
            yield f"{before}{key}", json.dumps(item)
