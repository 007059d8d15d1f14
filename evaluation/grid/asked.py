"""Parameters that a defence asks for at each place, checked before any class is imported."""

from typing import Any, NamedTuple

from evaluation.grid.signature import TARGETS
from evaluation.grid.spec import DefenceSpec, Spec
from fedbert.errors import InputError

SPEAKS_FOR = {
    "smashed": ("forward",),
    "hidden_gradient": ("backward",),
    "update": ("peer", "release"),
    "training": ("release",),
    "labels": ("backward", "aggregator", "peer", "release"),
}
"""The views for which a mechanism at a place can make a claim."""
CALIBRATED_FOR = (
    "delta", "releases", "rounds", "steps", "sample_rate", "width", "length", "labels", "records",
    "participations",
)  # fmt: skip
"""The facts that a mechanism's maker is told where it asks for them and the grid is silent."""
ALONE = {"labels": "RandomisedResponse", "training": "DPSGD", "penalty": "DistanceCorrelation"}
"""The places that take mechanisms of one class, which act nowhere else."""


class Asked(NamedTuple):
    """A place's parameters; one_shot: None where nothing is said; also: further keys it may have.

    facts: the names of what the mechanism is told besides, where the grid is silent.
    """

    params: dict[str, Any]
    one_shot: bool | None
    also: tuple[str, ...]
    facts: tuple[str, ...]


def asked_at(defence: DefenceSpec, place: str, named: Spec, one: bool, where: str) -> Asked:
    """Return what is asked of a mechanism at a place; one: in a training by one message.

    Raises:
        InputError: for a target beside chosen_among, a view that nothing here speaks for, or a clip
            that a message cannot reach.
    """
    params: dict[str, Any] = dict(named.params)
    target = next((each for each in TARGETS if each in params), None)
    if defence.chosen is not None and target is not None:
        told = "noise_multiplier with chosen_among (`budget tuning` says how much)"
        raise InputError(f"{where}: expected {told}, got {target}")
    one_shot = None
    if place == "smashed" and "one_shot" in params:
        one_shot = _flag(params.pop("one_shot"), where)
    _check_view(params.pop("view", None), place, where)
    if one and place == "smashed" and named.name in ("gaussian", "matrix_gaussian"):
        clip = params.get("clip_norm", 1.0)
        if isinstance(clip, int | float) and clip > 1:
            told = "a message lies in the unit ball, and more would add noise alone"
            raise InputError(f"{where}: expected clip_norm <= 1 ({told}), got clip_norm={clip}")
    own: tuple[str, ...] = ("unit",) if place == "update" else ()
    if one and place == "smashed":
        own = ("unit", "clip_norm", "beside")
    also = ("view", "one_shot") if place == "smashed" else ("view",)
    return Asked(params, one_shot, also, (*CALIBRATED_FOR, *own))


def check_alone(acts: str, place: str, name: str, where: str) -> None:
    """Refuse a mechanism that cannot act at a place; acts: the only one at which it does, or ""."""
    if place in ALONE and acts != place:
        raise InputError(f"{where}: expected a {ALONE[place]}, got {name!r}")
    if acts and acts != place:
        raise InputError(f"{where}: expected {name!r} at {acts}, where it acts, got {place}")


def _flag(value: Any, where: str) -> bool:
    if not isinstance(value, bool):
        raise InputError(f"{where}: expected true or false, got one_shot={value!r}")
    return value


def _check_view(view: Any, place: str, where: str) -> None:
    """Refuse a view that a mechanism at this place makes no claim about."""
    allowed = SPEAKS_FOR.get(place, ())
    if view is not None and view not in allowed:
        named = " or ".join(allowed) or "none: a mechanism here makes no claim"
        raise InputError(f"{where}: expected view {named}, got view={view!r}")
