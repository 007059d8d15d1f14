"""Foreign classes, "module:Class" in a grid: imported by leave alone, checked before any call.

Leave is given by whoever runs a grid (`--allow-code`), for the grid that is read then, and travels
with each `Spec`. No name that stands in a manifest, a record or a journal ever has it.
"""

import importlib
import inspect
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from evaluation.grid.catalogue import FAMILIES
from evaluation.grid.spec import PLACES, AttackSettings, Cell, DefenceSpec, Spec
from fedbert.errors import InputError

NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


def with_leave(cells: Iterable[Cell], allow_code: bool, where: str) -> tuple[Cell, ...]:
    """Return cells whose foreign classes may be imported.

    Raises:
        InputError: for a foreign class without leave, or a name that is none.
    """
    attacks: dict[AttackSettings, AttackSettings] = {}
    defences: dict[DefenceSpec, DefenceSpec] = {}
    found = []
    for cell in cells:
        if cell.attacks not in attacks:
            attacks[cell.attacks] = _attacks(cell.attacks, allow_code, where)
        if cell.defence not in defences:
            defences[cell.defence] = defence_with_leave(cell.defence, allow_code, where)
        own = attacks[cell.attacks], defences[cell.defence]
        same = own[0] is cell.attacks and own[1] is cell.defence
        found.append(cell if same else replace(cell, attacks=own[0], defence=own[1]))
    return tuple(found)


def defence_with_leave(defence: DefenceSpec, allow_code: bool, where: str) -> DefenceSpec:
    """Return a defence whose foreign mechanisms may be imported; raises as `with_leave`."""
    changed: dict[str, Any] = {}
    for place in PLACES:
        spec = getattr(defence, place)
        if spec is not None and is_foreign(spec):
            here = f"{where}: defence {defence.name!r}: {place}"
            changed[place] = _allowed(spec, allow_code, here)
    return replace(defence, **changed) if changed else defence


def is_foreign(spec: Spec) -> bool:
    """Return whether a name is of the form of a class of somebody else's.

    >>> is_foreign(Spec("gaussian")), is_foreign(Spec("subprocess:Popen"))
    (False, True)
    """
    return ":" in spec.name


def foreign_class(spec: Spec, where: str) -> type[Any]:
    """Return the class of a "module:Class", imported; nothing of it is called.

    Raises:
        InputError: without leave; for a module or class that is not there, or what is no class.
    """
    module, _, attribute = _allowed(spec, spec.code, where).name.partition(":")
    try:
        found = inspect.getattr_static(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # a stranger's module may raise whatever it likes
        told = f"{type(error).__name__}: {error}"
        raise InputError(f"{where}: expected an importable {spec.name!r}, got {told}") from None
    if not isinstance(found, type):
        kind = type(found).__name__
        raise InputError(f"{where}: expected a class, got {spec.name!r}, which is a {kind}")
    return found


def check_members(
    kind: type[Any], values: Iterable[str], verbs: Iterable[str], where: str, name: str
) -> None:
    """Refuse a class that does not implement a protocol, by a look at the class alone.

    values: fields, properties or attributes of the class; verbs: its methods.

    Raises:
        InputError: naming the first that it lacks.
    """
    annotated = {each for base in kind.__mro__ for each in inspect.get_annotations(base)}
    nothing = object()
    values, verbs = tuple(values), tuple(verbs)
    for member in (*values, *verbs):
        found = inspect.getattr_static(kind, member, nothing)
        there = member in annotated or found is not nothing
        if member in verbs:
            there = callable(found) or isinstance(found, classmethod)
        if not there:
            needed = ", ".join((*values, *verbs))
            raise InputError(
                f"{where}: expected a class with {needed}, got {name!r} without {member}"
            )


def _attacks(attacks: AttackSettings, allow_code: bool, where: str) -> AttackSettings:
    changed: dict[str, Any] = {}
    for family in FAMILIES:
        specs = getattr(attacks, family)
        if any(map(is_foreign, specs)):
            here = f"{where}: attacks: {family}"
            changed[family] = tuple(
                _allowed(spec, allow_code, here) if is_foreign(spec) else spec for spec in specs
            )
    return replace(attacks, **changed) if changed else attacks


def _allowed(spec: Spec, allow_code: bool, where: str) -> Spec:
    """Return a foreign name with leave to import it."""
    if not NAME.fullmatch(spec.name):
        raise InputError(f"{where}: expected a name or module:Class, got {spec.name!r}")
    if not allow_code:
        raise InputError(
            f"{where}: expected --allow-code, since {spec.name!r} is code that would be imported "
            "and run as yours, got none"
        )
    return replace(spec, code=True)
