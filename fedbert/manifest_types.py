"""Types of a manifest's entries, and its JSON, read strictly."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedbert.errors import InputError
from fedbert.setting_types import STEPS

Check = Callable[[Any], bool]
Entries = dict[str, tuple[str, Check]]
MOST = 2**53
"""No count reaches it."""


def _table(value: Any) -> bool:
    return isinstance(value, dict)


def _whole(value: Any) -> bool:
    return type(value) is int and 0 <= value < MOST


def _finite(value: Any) -> bool:
    return _whole(value) or (isinstance(value, float) and math.isfinite(value))


def _hash(value: Any) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


def _all(value: Any, kind: type[list[Any]] | type[dict[str, Any]], check: Check) -> bool:
    """Return whether a value is a list or a table, and each of its entries as it should be."""
    if not isinstance(value, kind):
        return False
    return all(check(each) for each in (value.values() if isinstance(value, dict) else value))


def _positions(value: Any) -> bool:
    return _all(value, list, _whole)


def _launches(value: Any) -> bool:
    return _all(value, list, lambda each: _all(each, list, _whole) and len(each) == 3)


def _defence(value: Any) -> bool:
    delta = value.get("delta", 0.5) if isinstance(value, dict) else None
    return isinstance(delta, float) and 0 < delta < 1


SHOWN: Entries = {
    "config": ("a table of settings", _table),
    "round": (f"a whole number up to {STEPS:,}", lambda value: _whole(value) and value <= STEPS),
    "sha256": ("a sha256 by name", lambda value: _all(value, dict, _hash)),
    "defence": ("a table, its delta between 0 and 1", _defence),
    "costs": ("a list of tables", lambda value: _all(value, list, _table)),
}
"""What a manifest needs, an exported one as well."""
KEPT: Entries = {
    "plain": ("a table", _table),
    "bytes": ("whole numbers by name", lambda value: _all(value, dict, _whole)),
    "losses": ("a list of finite numbers", lambda value: _all(value, list, _finite)),
    "members": ("a list of positions", _positions),
}
"""What a checkpoint's own needs besides."""
MAYBE: Entries = {
    "guarantees": ("a list of tables", lambda value: _all(value, list, _table)),
    "launches": ("a list of three whole numbers each", _launches),
    "pool": ("a whole number", _whole),
    "coin": ("text or row", lambda value: value == "text" or value == "row"),
    "provenance": ("a table", _table),
    "fault": ("a line", lambda value: isinstance(value, str)),
    "audit": ("a table", _table),
    "data_hmac": ("a hash under a key", _hash),
    "data_sha256": ("a sha256", _hash),
}
"""What one version or another leaves out."""


def read_json(path: Path) -> Any:
    """Return what a JSON file holds, in which no key stands twice and every number is finite.

    Raises:
        InputError: for anything else, whatever is wrong with it.
    """
    try:
        text = path.read_bytes().decode("utf-8")
        return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    except RecursionError:
        raise InputError(f"expected JSON, got one nested too deep in {path}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"expected JSON, got {error} in {path}") from None


def check_types(manifest: dict[str, Any], path: Path, exported: bool = False) -> None:
    """Refuse a manifest with an entry missing or of another type than the one that is written.

    exported: it is that of an export, which needs less.

    Raises:
        InputError: naming the first entry.
    """
    needed = SHOWN if exported else SHOWN | KEPT
    for key, (expected, check) in (needed | MAYBE).items():
        if key not in manifest:
            if key in needed:
                raise InputError(f"expected key {key!r} in the manifest, got none in {path}")
        elif not check(manifest[key]):
            got = repr(manifest[key])[:60]
            raise InputError(f"expected {expected}, got {key}={got} in {path}")
    if not exported and not {"data_hmac", "data_sha256"} & manifest.keys():
        raise InputError(f"expected key 'data_hmac' in the manifest, got none in {path}")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"a key twice of {', '.join(found)[:60]}")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
