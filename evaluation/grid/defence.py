"""Defences of a grid: the mechanisms that act, and the facts of the training that they need."""

from dataclasses import replace
from typing import Any

from evaluation.grid.asked import CALIBRATED_FOR, asked_at, check_alone
from evaluation.grid.build import build, resolve, signature_of
from evaluation.grid.catalogue import MECHANISMS
from evaluation.grid.foreign import check_members
from evaluation.grid.launches import Launches
from evaluation.grid.signature import check_mechanism
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
        asked = asked_at(spec, place, named, one, where)
        if asked.one_shot is not None:
            made["one_shot"] = asked.one_shot
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
        kind = resolve(named, MECHANISMS, where)
        _check_kind(kind, place, named.name, where)
        made[place] = build(kind, asked.params, known, where, asked.also)
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


def check_values(spec: DefenceSpec, one: bool) -> None:
    """Refuse values out of range, of mechanisms that need to know nothing of the training.

    one: in a training by one message. Of the others parameters and types are looked at.

    Raises:
        InputError: as `make_defence`.
    """
    for place in sorted(PLACES, key="labels".__ne__):
        named = getattr(spec, place)
        if named is None:
            continue
        where = f"defence {spec.name!r}: {place}"
        asked = asked_at(spec, place, named, one, where)
        kind = resolve(named, MECHANISMS, where)
        _check_kind(kind, place, named.name, where)
        signature = signature_of(kind)
        target = check_mechanism(signature, asked.params, asked.facts, where, asked.also)
        told = set(asked.facts) & {*signature.plain} - {*asked.params}
        if not target and not told:
            build(kind, asked.params, {}, where, asked.also)


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


def _check_kind(kind: type[Any], place: str, name: str, where: str) -> None:
    """Refuse a mechanism that cannot act at this place, by its class: nothing of it is called."""
    check_alone(acts_at(kind), place, name, where)
    if place not in KINDS:
        check_members(kind, VALUES, VERBS, where, name)


def acts_at(kind: type[Any]) -> str:
    """Return the only place at which mechanisms of a class act; "" for any."""
    return next((place for place, own in KINDS.items() if issubclass(kind, own)), "")
