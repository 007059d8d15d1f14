"""Early check: what can be known to be wrong with a grid or a training before anything is loaded.

Names that no catalogue has, attacks' parameters that none has, and data that are not there. The
words are those of the later check, which finds the same and more.
"""

from collections.abc import Iterable

from evaluation.grid.catalogue import FAMILIES, MECHANISMS
from evaluation.grid.foreign import is_foreign
from evaluation.grid.listed import listed
from evaluation.grid.names import refuse_unknown
from evaluation.grid.spec import PLACES, AttackSettings, Cell, DefenceSpec
from fedbert.data.places import refuse_missing
from fedbert.errors import InputError, unknown_key, within
from fedbert.tasks import OWN


def check_cells(cells: Iterable[Cell], where: str) -> None:
    """Refuse cells that could not run.

    Raises:
        InputError: for the first thing that is wrong, with the grid's file.
    """
    seen: set[object] = set()
    parameters = _parameters()
    for cell in cells:
        at = ": ".join([where, *(f"at {key} = {value}" for key, value in cell.swept)])
        with within(where):
            if cell.attacks not in seen:
                _check_attacks(cell.attacks, parameters)
        with within(at):
            if cell.defence not in seen:
                check_defence(cell.defence)
            source = cell.config.data.task, cell.config.data.source
            if source not in seen:
                check_source(*source)
        seen |= {cell.attacks, cell.defence, source}


def check_defence(defence: DefenceSpec) -> None:
    """Refuse a mechanism that no catalogue has."""
    for place in PLACES:
        spec = getattr(defence, place)
        if spec is not None:
            refuse_unknown(spec, MECHANISMS, f"defence {defence.name!r}: {place}")


def check_source(task: str, source: str) -> None:
    """Refuse data that can be seen not to be there."""
    with within("data"):
        refuse_missing(source, own=task == OWN)


def _check_attacks(attacks: AttackSettings, parameters: dict[tuple[str, str], list[str]]) -> None:
    for family, catalogue in FAMILIES.items():
        for spec in getattr(attacks, family):
            refuse_unknown(spec, catalogue, "attacks")
            accepted = parameters.get((family, spec.name))
            if is_foreign(spec) or accepted is None:
                continue
            for key, _ in spec.params:
                if key not in accepted:
                    raise InputError(f"attacks: {spec.name}: {unknown_key(key, accepted)}")


def _parameters() -> dict[tuple[str, str], list[str]]:
    """Return what each attack of the catalogue can be given, by the generated table."""
    return {
        (each["family"], each["name"]): [one["name"] for one in each["parameters"]]
        for each in listed()["attacks"]
    }
