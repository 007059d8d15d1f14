"""Defences of a grid: the mechanisms that act, and the facts of the training that they need."""

from dataclasses import replace
from typing import Any

from evaluation.grid.build import TARGETS, build, resolve
from evaluation.grid.catalogue import MECHANISMS
from evaluation.grid.foreign import check_members
from evaluation.grid.launches import Launches
from evaluation.grid.spec import PLACES, DefenceSpec
from fedbert.config import Config
from fedbert.errors import InputError
from fedbert.known_facts import facts_before
from fedbert.one_message.facts import layout_of, message_facts
from fedbert.prepare import Prepared, most_rows, poisson_sampled
from fedbert.schedule import (
    local_steps,
    participations,
    planned_releases,
    planned_steps,
    repeated_releases,
)
from privacy.accounting import sampled_cost
from privacy.defence import ONE_MESSAGE, Defence, over_rounds
from privacy.distance_correlation import DistanceCorrelation
from privacy.dp_sgd.mechanism import DPSGD
from privacy.events import Event
from privacy.facts import MessageFacts, TrainingFacts
from privacy.noise import NoiseModel
from privacy.randomised_response import RandomisedResponse
from privacy.signal import LOST, faint_words, noise_over_signal

NO_LAUNCHES = Launches()
VALUES = ("unit", "clip_norm", "noise_std")
VERBS = ("clip", "add_noise", "noise_model", "cost")
KINDS = {"labels": RandomisedResponse, "training": DPSGD, "penalty": DistanceCorrelation}
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


def facts_of(
    config: Config,
    prepared: Prepared,
    spec: DefenceSpec,
    delta: float,
    rounds: int | None = None,
    launches: Launches = NO_LAUNCHES,
    message: MessageFacts | None = None,
) -> TrainingFacts:
    """Return the facts of a training under a defence after so many rounds (None: all).

    launches: of a training that was resumed under fresh noise, what was done again being counted.
    message: what is known of one by one message; None: found out, by its public text.
    """
    if spec.training is not None:
        prepared = poisson_sampled(prepared)
    if config.training.strategy == ONE_MESSAGE:
        known = message or message_facts(config, prepared)
        return message_facts_of(config, prepared, delta, launches, known)
    planned = config.training.rounds
    again, done = launches.redone(planned), planned if rounds is None else rounds
    return replace(
        facts_before(config),
        delta=delta,
        releases=planned_releases(config, prepared, rounds)
        + repeated_releases(config, prepared, again, launches.restarts),
        rounds=done + again,
        steps=max(planned_steps(config, rounds).values(), default=0) + again * local_steps(config),
        sample_rate=max(data.sample_rate for data in prepared.clients),
        width=prepared.split.whole.config.hidden_size,
        length=config.data.max_length,
        labels=len(prepared.task.label_names),
        records=min(len(data.encoded) for data in prepared.clients),
        restarts=launches.restarts,
        person_rows=most_rows(prepared),
        participations=participations(config, launches.spans(planned, done))[0],
    )


def message_facts_of(
    config: Config, prepared: Prepared, delta: float, launches: Launches, message: MessageFacts
) -> TrainingFacts:
    """Return the facts of a training by one message: each launch sent every record once."""
    task = prepared.task
    return replace(
        facts_before(config),
        delta=delta,
        releases=1,
        width=layout_of(config).width,
        length=1,
        labels=len(task.label_names),
        records=min(len(data.encoded) for data in prepared.clients),
        sample_rate=max(data.sample_rate for data in prepared.clients),
        restarts=launches.restarts,
        person_rows=most_rows(prepared),
        message=message,
    )


def make_defence(spec: DefenceSpec, facts: TrainingFacts) -> Defence:
    """Return a defence, calibrated for the training that the facts describe.

    Raises:
        InputError: for a mechanism or parameter that does not exist or is out of range, or a view
            that a mechanism at this place cannot speak for.
    """
    made: dict[str, Any] = {}
    one = facts.strategy == ONE_MESSAGE
    for place in sorted(PLACES, key="labels".__ne__):  # first: others may have to share with it
        named = getattr(spec, place)
        if named is None:
            continue
        where = f"defence {spec.name!r}: {place}"
        params: dict[str, Any] = dict(named.params)
        target = next((each for each in TARGETS if each in params), None)
        if spec.chosen is not None and target is not None:
            told = "noise_multiplier with chosen_among (`budget tuning` says how much)"
            raise InputError(f"{where}: expected {told}, got {target}")
        if place == "smashed" and "one_shot" in params:
            made["one_shot"] = _flag(params.pop("one_shot"), where)
        _check_view(params.pop("view", None), place, where)
        known = {name: getattr(facts, name) for name in CALIBRATED_FOR}
        for count in ("releases", "rounds", "steps"):
            known[count] = max(known[count], 1)
        if place == "update":
            known |= {"unit": "client", "releases": known["rounds"]}
            known["participations"] = facts.participations or 1
        if made.get("one_shot") and place == "smashed":
            known["releases"] = 1
        if one and place == "smashed":  # into the unit ball, as a whole, its label beside it
            label = made.get("labels")
            known |= {"unit": "sequence", "clip_norm": 1.0, "beside": label.epsilon if label else 0}
        if one and place == "smashed" and named.name in ("gaussian", "matrix_gaussian"):
            clip = params.get("clip_norm", 1.0)
            if isinstance(clip, int | float) and clip > 1:
                told = "a message lies in the unit ball, and more would add noise alone"
                raise InputError(f"{where}: expected clip_norm <= 1 ({told}), got clip_norm={clip}")
        kind = resolve(named, MECHANISMS, where)
        _check_kind(kind, place, named.name, where)
        also = ("view", "one_shot") if place == "smashed" else ("view",)
        made[place] = build(kind, params, known, where, also)
        if place not in KINDS and not isinstance(made[place].noise_model(), NoiseModel):
            told = f"got none of {named.name!r}"
            raise InputError(f"{where}: expected a NoiseModel of noise_model(), {told}")
    if spec.chosen is not None and not made:
        told = "a mechanism beside chosen_among, which counts what it costs"
        raise InputError(f"defence {spec.name!r}: expected {told}, got none")
    try:
        return Defence(spec.name, **made, chosen=spec.chosen)
    except ValueError as error:
        raise InputError(f"defence {spec.name!r}: {error}") from None


def faint_places(defence: Defence) -> list[str]:
    """Return where the noise of a defence drowns what it is added to, a warning each."""
    warnings = []
    for place in PLACES:
        event = _event(defence, place)
        if event is not None and faint_words(event):
            warnings.append(f"{place}: {faint_words(event)}")
    return warnings


def refuse_drowned(defence: Defence) -> None:
    """Refuse a defence after which nothing can be learned, before hours are spent on it.

    Raises:
        InputError: for noise of more than `privacy.signal.LOST` times what one unit changes.
    """
    for place in PLACES:
        event = _event(defence, place)
        ratio = None if event is None else noise_over_signal(event)
        if ratio is not None and ratio > LOST:
            raise InputError(
                f"defence {defence.name!r}: {place}: expected noise of at most {LOST:,.0f} times "
                f"what one unit changes, which leaves nothing to train on, got {ratio:,.0f} times: "
                "raise the target or lower the noise"
            )


def _event(defence: Defence, place: str) -> Event | None:
    """Return what one release of a place's mechanism costs; None where nothing is claimed."""
    mechanism = getattr(defence, place)
    cost = None if mechanism is None or place == "penalty" else mechanism.cost()
    return None if cost is None else cost.event


def costs(defence: Defence, facts: TrainingFacts) -> list[dict[str, Any]]:
    """Return what a training spent: each mechanism's cost, its place and its releases."""
    once = 1 + facts.restarts
    counts = {
        "update": facts.rounds if over_rounds(defence.update) is None else facts.participations,
        "training": facts.steps,
        "labels": once,
        "smashed": once if defence.one_shot or facts.strategy == ONE_MESSAGE else facts.releases,
    }
    found = []
    for place in PLACES:
        mechanism = getattr(defence, place)
        cost = None if mechanism is None or place == "penalty" else mechanism.cost()
        if place == "training":  # at the rate at which records were drawn, whatever was written
            cost = sampled_cost(defence, facts)
        if cost is not None:
            count = counts.get(place, facts.releases)
            found.append({"place": place, "releases": count, **cost.to_json()})
    return found


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


def _check_kind(kind: type[Any], place: str, name: str, where: str) -> None:
    """Refuse a mechanism that cannot act at this place, by its class: nothing of it is called."""
    if place in KINDS:
        if not issubclass(kind, KINDS[place]):
            raise InputError(f"{where}: expected a {KINDS[place].__name__}, got {name!r}")
        return
    elsewhere = next((own for own, other in KINDS.items() if issubclass(kind, other)), None)
    if elsewhere is not None:
        raise InputError(f"{where}: expected {name!r} at {elsewhere}, where it acts, got {place}")
    check_members(kind, VALUES, VERBS, where, name)
