"""Cell as it is sent to another machine, plain JSON, and back: the same cell, or an error."""

from collections.abc import Mapping
from typing import Any

from evaluation.grid.audit import NO_AUDIT, AuditSettings
from evaluation.grid.catalogue import FAMILIES
from evaluation.grid.defence_file import DefenceSettings
from evaluation.grid.foreign import with_leave
from evaluation.grid.spec import PLACES, AttackSettings, Cell
from fedbert.config import Config
from fedbert.errors import InputError
from fedbert.settings import from_mapping

OWN = ("defence", "level", "attacks", "delta", "sweep", "audit")
"""Keys of a specification beside its configuration's."""


def to_json(cell: Cell) -> dict[str, Any]:
    """Return all that a cell is: specification, id, columns, and the leave to import its code."""
    specs = [each for family in FAMILIES for each in getattr(cell.attacks, family)]
    specs += [each for place in PLACES if (each := getattr(cell.defence, place)) is not None]
    return {
        "id": cell.id,
        "spec": cell.spec(),
        "swept": [list(pair) for pair in cell.swept],
        "allow_code": any(spec.code for spec in specs),
    }


def from_json(values: Mapping[str, Any]) -> Cell:
    """Return the cell that `to_json` wrote.

    Raises:
        InputError: for what is no cell, or is another one by the code that is here.
    """
    spec, where = values["spec"], f"cell {values['id']}"
    config = {key: value for key, value in spec.items() if key not in OWN}
    cell = Cell(
        from_mapping(Config, config, where),
        from_mapping(DefenceSettings, spec["defence"], where).spec(),
        spec["level"],
        from_mapping(AttackSettings, spec["attacks"], where),
        spec["delta"],
        tuple((key, value) for key, value in values["swept"]),
        from_mapping(AuditSettings, spec["audit"], where) if "audit" in spec else NO_AUDIT,
    )
    if cell.id != values["id"]:
        told = f"expected the same code on every machine: here the cell has id {cell.id}"
        raise InputError(f"{where}: {told}")
    return with_leave([cell], values["allow_code"], where)[0]
