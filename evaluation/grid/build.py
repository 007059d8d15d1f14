"""Construction of an attack or a mechanism from its catalogue name and parameters."""

import importlib
import inspect
from typing import Any

from evaluation.grid.catalogue import Entry
from fedbert.config import InputError


def resolve(name: str, catalogue: dict[str, Entry], where: str) -> Any:
    """Return the class of a catalogue name or of "module:Class".

    Raises:
        InputError: for an unknown name, or a module or class that is not there.
    """
    target = catalogue[name].target if name in catalogue else name
    module, colon, attribute = target.partition(":")
    if not colon:
        known = ", ".join(catalogue)
        raise InputError(f"{where}: expected one of {known} or module:Class, got {name!r}")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{where}: expected an importable {target!r}, got {error}") from None


def make_attack(name: str, catalogue: dict[str, Entry], verb: str) -> Any:
    """Return the attack of a catalogue name or of "module:Class"; verb: what it must be able to do.

    Raises:
        InputError: if there is no such class, or it is no attack of this family.
    """
    kind = resolve(name, catalogue, "attacks")
    try:
        attack = kind()
    except TypeError as error:
        raise InputError(f"attacks: {name}: {error}") from None
    for member in ("name", "view", "missing", verb):
        if not hasattr(attack, member):
            raise InputError(f"attacks: expected an attack with {member}, got {name!r}")
    return attack


def build(kind: Any, params: dict[str, Any], facts: dict[str, Any], where: str) -> Any:
    """Return an instance of a catalogue class.

    With a `target_epsilon` among the parameters the class's `calibrated` makes it. `facts` of the
    run (delta, releases, rounds) are passed where the maker asks for them and the grid is silent.

    Raises:
        InputError: for parameters that are unknown, missing or out of range.
    """
    maker = kind
    if "target_epsilon" in params:
        maker = getattr(kind, "calibrated", None)
        if maker is None:
            raise InputError(
                f"{where}: expected a mechanism with a guarantee for target_epsilon, "
                f"got {kind.__name__}"
            )
    accepted = inspect.signature(maker).parameters
    unknown = [name for name in params if name not in accepted]
    if unknown:
        raise InputError(f"{where}: unknown key {unknown[0]!r}; allowed: {', '.join(accepted)}")
    known = {name: value for name, value in facts.items() if name in accepted}
    try:
        return maker(**(known | params))
    except TypeError as error:
        raise InputError(f"{where}: {error}") from None
    except ValueError as error:
        raise InputError(f"{where}: {error}") from None
