"""Signatures of mechanisms and attacks: what each can be given, checked without importing a class.

A generated table holds those of the catalogue; a class of somebody else's has its own.
"""

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from fedbert.errors import InputError, shown, unknown_key

TARGETS = ("target_epsilon", "target_tpr_at_1pct", "target_advantage")
"""What noise may be chosen to meet, one of them: an epsilon at the run's delta, or a risk."""
SIGNATURES = Path(__file__).parent / "signatures.json"
"""Made by `python -m tests.keys`; a test holds it equal to the classes."""
TYPES = {"bool": "true or false", "int": "an integer", "float": "a number", "str": "a text"}
MOST = 1_000_000
"""The most that an integer of an attack may be: loops and tables grow with them."""


@dataclass(frozen=True)
class Accepted:
    """One parameter: its plain types (none: any), and whether it has to be given."""

    types: tuple[str, ...] = ()
    needed: bool = False


@dataclass(frozen=True)
class Signature:
    """What a class is made from: as it is, or calibrated to a target (empty: it cannot be).

    name: the class's. place: the only one at which a mechanism of this kind acts; "" for any.
    """

    name: str
    plain: Mapping[str, Accepted]
    calibrated: Mapping[str, Accepted] = field(default_factory=dict)
    place: str = ""

    def to_json(self) -> dict[str, Any]:
        """The signature as the generated table holds it."""
        ways = {"plain": self.plain, "calibrated": self.calibrated}
        told = {
            way: {name: [*each.types, *(["needed"] if each.needed else [])] for name, each in of}
            for way, of in ((way, ways[way].items()) for way in ways)
        }
        return {"name": self.name, **told, "place": self.place}


@cache
def signatures() -> dict[str, dict[str, Signature]]:
    """Return the catalogue's signatures by family ("mechanisms", and those of attacks) and name."""
    found = json.loads(SIGNATURES.read_text(encoding="utf-8"))
    return {
        family: {name: _signature(each) for name, each in entries.items()}
        for family, entries in found.items()
    }


def _signature(told: dict[str, Any]) -> Signature:
    plain, calibrated = (
        {
            name: Accepted(tuple(x for x in kinds if x != "needed"), "needed" in kinds)
            for name, kinds in told[way].items()
        }
        for way in ("plain", "calibrated")
    )
    return Signature(told["name"], plain, calibrated, told["place"])


def check_mechanism(
    signature: Signature,
    params: Mapping[str, Any],
    facts: Collection[str],
    where: str,
    also: Iterable[str] = (),
) -> str:
    """Return the one target among a mechanism's parameters; "" for none.

    facts: what it is told where the grid is silent. also: keys that are allowed besides.

    Raises:
        InputError: for parameters that are unknown, missing, of another type, or of the other way.
    """
    target = _target(signature, params, where)
    plain, calibrated = signature.plain, signature.calibrated
    allowed, others = (calibrated, plain) if target else (plain, calibrated)
    ways = {**allowed, **others}
    for key, value in params.items():
        if key not in ways:
            raise InputError(f"{where}: {unknown_key(key, [*ways, *also])}")
        if key not in allowed:
            when = f"without {target}" if target else f"with {_either(calibrated)}"
            raise InputError(
                f"{where}: expected {key} only {when}, got {key}={shown(value)}; "
                f"allowed here: {', '.join([*allowed, *also])}"
            )
        check_type(allowed[key].types, key, value, where)
    given = {*params, *(name for name in facts if name in allowed)}
    lacking = [name for name, each in allowed.items() if each.needed and name not in given]
    if lacking:
        other = f" or {_either(calibrated)}" if calibrated and not target else ""
        raise InputError(f"{where}: expected {lacking[0]}{other}, got none")
    return target


def check_attack(signature: Signature, params: Mapping[str, Any], where: str) -> None:
    """Refuse parameters of an attack that are unknown, of another type, or far too large."""
    for key, value in params.items():
        if key not in signature.plain:
            raise InputError(f"{where}: {unknown_key(key, signature.plain)}")
        check_type(signature.plain[key].types, key, value, where)
        if type(value) is int and value > MOST:
            raise InputError(f"{where}: expected {key} <= {MOST}, got {key}={value}")


def check_type(types: Collection[str], key: str, value: Any, where: str) -> None:
    """Refuse a value of another type than the plain ones of a parameter; of no type all are."""
    own = type(value).__name__
    if types and own not in types and not (own == "int" and "float" in types):
        expected = " or ".join(words for kind, words in TYPES.items() if kind in types)
        raise InputError(f"{where}: expected {expected}, got {key}={shown(value)}")


def _either(calibrated: Mapping[str, Accepted]) -> str:
    """Return the targets that a class knows, in words."""
    *others, last = [name for name in TARGETS if name in calibrated]
    return f"{', '.join(others)} or {last}" if others else last


def _target(signature: Signature, params: Mapping[str, Any], where: str) -> str:
    asked = [name for name in TARGETS if name in params]
    if len(asked) > 1:
        told = f"expected one of {', '.join(TARGETS)}, got {' and '.join(asked)}"
        raise InputError(f"{where}: {told}")
    if asked and not signature.calibrated:
        why = f"expected a mechanism with a guarantee for {asked[0]}, got {signature.name}"
        raise InputError(f"{where}: {why}")
    if asked and asked[0] not in signature.calibrated:
        why = f"expected a mechanism with a trade-off curve for {asked[0]}, got {signature.name}"
        raise InputError(f"{where}: {why}, which knows {_either(signature.calibrated)}")
    return asked[0] if asked else ""
