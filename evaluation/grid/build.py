"""Construction of an attack or a mechanism from its catalogue name and parameters."""

import importlib
import inspect
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Unpack, get_args, get_origin, get_type_hints

from evaluation.grid.catalogue import Entry
from evaluation.grid.foreign import check_members, foreign_class
from evaluation.grid.names import refuse_unknown
from evaluation.grid.signature import (
    TARGETS,
    TYPES,
    Accepted,
    Signature,
    check_attack,
    check_mechanism,
)
from evaluation.grid.spec import Spec, as_written
from fedbert.errors import InputError
from privacy.risk import MEASURES, Risk

KEYWORD = inspect.Parameter.KEYWORD_ONLY
FIXED = ("name", "view", "uses_decoder")
"""What an attack says of itself: nothing that a grid could set."""


def resolve(asked: Spec | str, catalogue: dict[str, Entry], where: str) -> Any:
    """Return the class of a catalogue name, or of "module:Class" with leave to import it.

    Raises:
        InputError: for an unknown name, or as `foreign_class`.
    """
    spec = Spec(asked) if isinstance(asked, str) else asked
    if spec.name in catalogue:
        module, _, attribute = catalogue[spec.name].target.partition(":")
        return getattr(importlib.import_module(module), attribute)
    refuse_unknown(spec, catalogue, where)
    return foreign_class(spec, where)


def make_attack(asked: Spec | str, catalogue: dict[str, Entry], verb: str) -> Any:
    """Return an attack, by a catalogue name or "module:Class"; verb: what it must be able to do.

    One with parameters that differ from the defaults has them in its name.

    Raises:
        InputError: if there is no such class, it is no attack of this family, or a parameter is
            unknown, missing or of another type.
    """
    spec = Spec(asked) if isinstance(asked, str) else asked
    where = f"attacks: {spec.name}"
    kind, params = resolve(spec, catalogue, "attacks"), dict(spec.params)
    if spec.name not in catalogue:
        check_members(kind, FIXED[:2], ("missing", verb), "attacks", spec.name)
    accepted = {n: p for n, p in parameters_of(kind).items() if n not in FIXED}
    check_attack(attack_signature(kind), params, where)
    try:
        attack = kind(**params)
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {error}") from None
    changed = {n: value for n, value in params.items() if value != accepted[n].default}
    if not changed:
        return attack
    shown = ", ".join(f"{n}={as_written(value)}" for n, value in changed.items())
    return _Named(attack, f"{spec.name} ({shown})")


@dataclass(frozen=True)
class _Named:
    """An attack under a name that tells its parameters."""

    attack: Any
    name: str

    def __getattr__(self, member: str) -> Any:
        """Return what the attack has."""
        return getattr(self.attack, member)


def parameters_of(maker: Any) -> dict[str, inspect.Parameter]:
    """Return what a class or function is made from, annotations as types.

    Of `**fields: Unpack[Kind]` that is every field of the kind, a TypedDict.
    """
    try:
        written = inspect.signature(maker, eval_str=True).parameters
    except (NameError, TypeError, ValueError):
        return {}
    found: dict[str, inspect.Parameter] = {}
    for name, each in written.items():
        if get_origin(each.annotation) is Unpack:
            (kind,) = get_args(each.annotation)
            for field, hint in get_type_hints(kind).items():
                found[field] = inspect.Parameter(field, each.KEYWORD_ONLY, annotation=hint)
        else:
            found[name] = each
    return found


def _needed(maker: Any) -> list[str]:
    """Return what a class or function cannot be called without."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    own = inspect.signature(maker).parameters.values()
    return [each.name for each in own if each.default is each.empty and each.kind in named]


def signature_of(kind: Any, place: str = "") -> Signature:
    """Return what a mechanism's class can be given; place: the only one at which it acts."""
    by = calibrated_parameters(kind)
    plain = _accepted(parameters_of(kind), kind)
    return Signature(kind.__name__, plain, _accepted(by, kind.calibrated) if by else {}, place)


def attack_signature(kind: Any) -> Signature:
    """Return what an attack's class can be given."""
    found = {n: p for n, p in parameters_of(kind).items() if n not in FIXED}
    return Signature(kind.__name__, _accepted(found, kind))


def _accepted(found: dict[str, inspect.Parameter], maker: Any) -> dict[str, Accepted]:
    needed = _needed(maker) if found else []
    return {n: Accepted(_types(each.annotation), n in needed) for n, each in found.items()}


def _types(hint: Any) -> tuple[str, ...]:
    """Return the plain types that a parameter is annotated with; none where it may be others."""
    kinds = set(get_args(hint) if isinstance(hint, UnionType) else (hint,)) - {NoneType}
    names = {kind.__name__ for kind in kinds if isinstance(kind, type)}
    return tuple(each for each in TYPES if each in names) if names <= set(TYPES) else ()


def build(
    kind: Any,
    params: dict[str, Any],
    facts: dict[str, Any],
    where: str,
    also: tuple[str, ...] = (),
) -> Any:
    """Return an instance of a catalogue class.

    With one of `TARGETS` among the parameters the class's `calibrated` makes it. `facts` of the
    run (delta, releases, rounds) are passed where the maker asks for them and the grid is silent.
    also: keys that are allowed besides, and read elsewhere.

    Raises:
        InputError: for parameters that are unknown, missing or out of range.
    """
    target = check_mechanism(signature_of(kind), params, facts, where, also)
    allowed = calibrated_parameters(kind) if target else parameters_of(kind)
    maker = kind.calibrated if target else kind
    known = {name: value for name, value in facts.items() if name in allowed}
    try:
        return maker(**(known | _as_called(maker, params, target)))
    except (TypeError, ValueError) as error:
        raise InputError(f"{where}: {error}") from None


def calibrated_parameters(kind: Any) -> dict[str, inspect.Parameter]:
    """Return what a class is calibrated by; a `target` is any of `TARGETS`.

    Somebody else's class may know a `target_epsilon` alone. Empty for one without `calibrated`.
    """
    found = parameters_of(getattr(kind, "calibrated", None))
    if "target" not in found:
        return found
    targets = {n: inspect.Parameter(n, KEYWORD, annotation=float) for n in TARGETS}
    return targets | {name: each for name, each in found.items() if name != "target"}


def _as_called(maker: Any, params: dict[str, Any], target: str) -> dict[str, Any]:
    """Return parameters as a class is called with them: a target by its kind.

    Raises:
        ValueError: for a target out of range.
    """
    if not target or "target" not in parameters_of(maker):
        return params
    value = params[target]
    epsilon = target == TARGETS[0]
    others = {name: each for name, each in params.items() if name != target}
    measure = MEASURES[TARGETS.index(target) - 1]
    return others | {"target": value if epsilon else Risk(measure, float(value))}
