"""Cost of several trainings on the same records, composed view by view and unit by unit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evaluation.auditing.spent import Spent
from evaluation.auditing.trainings import Training
from fedbert.errors import InputError
from privacy.allowed import TradeOff
from privacy.composed import composed
from privacy.composition import tail_floor
from privacy.events import Event, PoissonGaussianEvent
from privacy.mechanism import VIEWS


@dataclass(frozen=True)
class Together:
    """What holds of one view and one unit over all trainings; `why` where nothing does.

    trainings: how many of them the view sees anything of.
    """

    view: str
    unit: str
    relation: str
    trainings: int
    epsilon: float
    delta: float
    accountant: str
    local: bool
    allowed: TradeOff


@dataclass(frozen=True)
class Nothing:
    """No guarantee of a view (and of one unit, where others have one), and why: a clause.

    silent: nothing is sent that the view could see.
    """

    view: str
    unit: str
    why: str
    silent: bool = False


def together(trainings: Sequence[Training], delta: float | None) -> Iterator[Together | Nothing]:
    """Yield what several trainings on the same records allow each view, for each unit.

    delta: of every composed claim; None: the largest of the claims that it is composed of.

    Raises:
        InputError: for units or relations that do not match, or a claim without its cost.
    """
    for view in VIEWS:
        yield from _view(view, trainings, delta)


def _view(
    view: str, trainings: Sequence[Training], delta: float | None
) -> Iterator[Together | Nothing]:
    seen = [each for each in trainings if _kind(each, view) != "nothing sent"]
    if not seen:
        yield Nothing(view, "", "nothing is sent in any of the trainings", silent=True)
        return
    claims = {each.name: _claims(each, view) for each in seen}
    bare = [each for each in seen if not claims[each.name]]
    if bare:
        metric = _kind(bare[0], view) == "metric guarantee"
        why = "has metric privacy alone, which is no (epsilon, delta)" if metric else "has none"
        yield Nothing(view, "", f"{bare[0].name} {why}")
        return
    units = list(dict.fromkeys(unit for each in seen for unit in claims[each.name]))
    shared = [unit for unit in units if all(unit in claims[each.name] for each in seen)]
    if not shared:
        told = " and ".join(f"{', '.join(claims[each.name])} in {each.name}" for each in seen)
        raise InputError(f"expected one unit of all claims about the {view} view, got {told}")
    for unit in units:
        lacking = [each.name for each in seen if unit not in claims[each.name]]
        if lacking:
            yield Nothing(view, unit, f"{lacking[0]} has none for a {unit}")
        else:
            pairs = [(each, claims[each.name][unit]) for each in seen]
            yield _composed(view, unit, pairs, delta)


def _kind(training: Training, view: str) -> str:
    entries = training.entries.get(view, ())
    return entries[0]["kind"] if entries else "no guarantee"


def _claims(training: Training, view: str) -> dict[str, dict[str, Any]]:
    """The claims about a view, by their unit."""
    found = training.entries.get(view, ())
    return {each["unit"]: each for each in found if each["kind"] == "guarantee"}


def _composed(
    view: str, unit: str, pairs: list[tuple[Training, dict[str, Any]]], delta: float | None
) -> Together | Nothing:
    relations = {claim["relation"]: training.name for training, claim in pairs}
    if len(relations) > 1:
        told = " and ".join(f"{relation} in {name}" for relation, name in relations.items())
        raise InputError(f"expected one relation of all claims about a {unit}, got {told}")
    spent = [training.spent(claim) for training, claim in pairs]
    users = {each.records for each in spent}
    if len(users) > 1:
        own = zip(spent, pairs, strict=True)
        told = " and ".join(f"{each.records} in {training.name}" for each, (training, _) in own)
        raise InputError(f"expected one records_per_user of all trainings, got {told}")
    asked = max(claim["delta"] for _, claim in pairs) if delta is None else delta
    floor = sum(map(_floor, spent))
    if asked and asked <= floor:
        return Nothing(view, unit, f"the cut tails of the noise add {floor:.3g} to delta")
    try:
        found = composed(tuple(each.part for each in spent))
        bound = found.bound(asked - floor) if asked else None
    except (ArithmeticError, MemoryError, ValueError) as error:
        return Nothing(view, unit, f"the costs cannot be composed: {error}")
    summed = sum(claim["epsilon"] for _, claim in pairs) if not asked else None
    if bound is None and summed is None:
        return Nothing(view, unit, f"no epsilon is known at delta {asked:g}")
    allowed = found.allowed()
    return Together(
        view,
        unit,
        next(iter(relations)),
        len(pairs),
        bound.epsilon if bound is not None else float(summed or 0.0),
        asked,
        "pure, summed" if bound is None else bound.accountant,
        any(claim["scope"] == "local" for _, claim in pairs),
        allowed.raised(floor) if floor else allowed,
    )


def _floor(spent: Spent) -> float:
    """What the cut tails of drawn noise add to delta."""
    event: Event = spent.event
    if isinstance(event, PoissonGaussianEvent):
        event = replace(event, noise_multiplier=event.noise_multiplier / spent.records)
        return tail_floor(event, spent.releases)
    return tail_floor(event, spent.releases * spent.records)
