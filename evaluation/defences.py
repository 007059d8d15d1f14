"""From a defence as a grid names it to the mechanisms that act."""

from evaluation.catalogue import MECHANISMS, build, resolve
from evaluation.grid import DefenceSpec
from fedbert.config import InputError
from privacy.defence import Defence
from privacy.mechanism import Identity, Mechanism


def make_defence(spec: DefenceSpec, delta: float, releases: int, rounds: int) -> Defence:
    """Return a defence, calibrated for so many releases of a record and so many rounds.

    Raises:
        InputError: for a mechanism or parameter that does not exist or is out of range.
    """
    facts = {"delta": delta, "releases": max(releases, 1), "rounds": max(rounds, 1)}
    smashed: Mechanism = Identity(unit="token")
    update: Mechanism = Identity(unit="client")
    if spec.smashed is not None:
        where = f"defence {spec.name!r}: smashed"
        kind = resolve(spec.smashed.name, MECHANISMS, where)
        smashed = build(kind, dict(spec.smashed.params), facts, where)
    if spec.update is not None:
        where = f"defence {spec.name!r}: update"
        kind = resolve(spec.update.name, MECHANISMS, where)
        update = build(kind, dict(spec.update.params), facts | {"unit": "client"}, where)
    try:
        return Defence(spec.name, smashed, update)
    except ValueError as error:
        raise InputError(f"defence {spec.name!r}: {error}") from None
