"""From a defence as a grid names it to the mechanisms that act."""

from evaluation.catalogue import MECHANISMS, build, resolve
from evaluation.grid import DefenceSpec
from fedbert.config import Config, InputError
from privacy.accounting import Use
from privacy.defence import Defence
from privacy.mechanism import Identity, Mechanism

MEMBERS = ("unit", "clip_norm", "noise_std", "clip", "add_noise", "cost")


def use_of(config: Config, delta: float, releases: int, rounds: int) -> Use:
    """Return the facts of a training that its guarantees follow from."""
    return Use(
        strategy=config.training.strategy,
        forward_releases=releases,
        rounds=rounds,
        embeddings_frozen=config.model.freeze_embeddings,
        optimizer_state_shared=config.training.optimizer_state == "hand_on",
        delta=delta,
        cut_layer=config.model.cut_layer,
    )


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
        update = build(
            kind,
            dict(spec.update.params),
            facts | {"unit": "client", "releases": facts["rounds"]},
            where,
        )
    for place, made in (("smashed", smashed), ("update", update)):
        lacking = [n for n in MEMBERS if not hasattr(made, n)]
        if lacking:
            raise InputError(
                f"defence {spec.name!r}: {place}: expected a mechanism with {', '.join(MEMBERS)}, "
                f"got {type(made).__name__} without {lacking[0]}"
            )
    try:
        return Defence(spec.name, smashed, update)
    except ValueError as error:
        raise InputError(f"defence {spec.name!r}: {error}") from None
