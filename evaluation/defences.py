"""From a defence as a grid names it to the mechanisms that act."""

from evaluation.catalogue import MECHANISMS, build, resolve
from evaluation.grid import PLACES, DefenceSpec
from fedbert.config import Config, InputError
from privacy.accounting import Use
from privacy.defence import Defence
from privacy.mechanism import Mechanism

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
    made: dict[str, Mechanism] = {}
    for place in PLACES:
        named = getattr(spec, place)
        if named is None:
            continue
        where = f"defence {spec.name!r}: {place}"
        own = {"unit": "client", "releases": facts["rounds"]} if place == "update" else {}
        kind = resolve(named.name, MECHANISMS, where)
        made[place] = build(kind, dict(named.params), facts | own, where)
        lacking = [member for member in MEMBERS if not hasattr(made[place], member)]
        if lacking:
            raise InputError(
                f"{where}: expected a mechanism with {', '.join(MEMBERS)}, "
                f"got {named.name!r} without {lacking[0]}"
            )
    try:
        return Defence(spec.name, **made)
    except ValueError as error:
        raise InputError(f"defence {spec.name!r}: {error}") from None
