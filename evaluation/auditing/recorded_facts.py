"""Facts of a training by its manifest alone, where the data cannot be had, and its contradictions.

Clients' sizes are not recorded. Dealt evenly they follow from the number of members; else they
leave a range: the smallest client has at most an even share, so that its rate is at least that
share's, and what is recorded counts if it lies within.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from evaluation.auditing.message_facts import recorded_message
from evaluation.auditing.subject import Subject
from evaluation.grid.defence import NO_LAUNCHES
from evaluation.grid.launches import Launches
from evaluation.grid.signature import TARGETS
from fedbert.checkpoint import Checkpoint
from fedbert.config import Config
from fedbert.known_facts import facts_before
from fedbert.manifest import exported
from fedbert.one_message.facts import layout_of
from fedbert.schedule import local_steps, participations, planned_steps
from fedbert.setting_types import ONE_MESSAGE
from privacy.facts import TrainingFacts

SENT = ("smashed", "hidden", "hidden_gradient", "smashed_gradient")


def contradictions(checkpoint: Checkpoint, launches: Launches) -> Iterator[str]:
    """Yield what in the counts of a manifest cannot be, a line each."""
    manifest, config = checkpoint.manifest, checkpoint.config
    round_, rounds = manifest["round"], config.training.rounds
    if not 0 <= round_ <= rounds:
        yield f"round: recorded {round_}, recomputed {rounds} at most, by the configuration"
    if exported(manifest):
        yield from _too_few(checkpoint, launches)
        return
    members = manifest["members"]
    one = config.training.strategy == ONE_MESSAGE
    losses, words = (0, "a message has none") if one else (round_, "one a round")
    if len(manifest["losses"]) != losses:
        yield f"losses: recorded {len(manifest['losses'])}, recomputed {losses}, {words}"
    pool = manifest.get("pool", max(members, default=0) + 1)
    if len(set(members)) != len(members) or not all(0 <= each < pool for each in members):
        yield f"members: recorded {len(members)}, recomputed different ones of {pool} alone"
    if config.data.hold_out == 0 and len(members) != pool:
        yield f"members: recorded {len(members)}, recomputed {pool}: hold_out is 0"


@dataclass(frozen=True)
class Sizes:
    """The least rate and releases that the recorded numbers of members and clients allow.

    exact: they are the rate and the releases.
    """

    config: Config
    members: int
    private: bool

    @property
    def exact(self) -> bool:
        """Whether all clients' sizes follow."""
        data, training = self.config.data, self.config.training
        if training.strategy == "centralised" or data.clients == 1:
            return True
        everyone = training.clients_per_round in (None, data.clients)
        return everyone and data.partition == "iid" and data.task != "mlm" and data.group is None

    @property
    def smallest(self) -> int:
        """The most examples that the smallest client can hold."""
        one = self.config.training.strategy == "centralised"
        return max(1, self.members // (1 if one else self.config.data.clients))

    @property
    def rate(self) -> float:
        """The least that the largest sample rate can be."""
        return min(1.0, self.config.training.batch_size / self.smallest)

    def releases(self, rounds: int) -> tuple[int, int]:
        """Return the fewest and the most times that one example's A can have been sent."""
        if self.config.training.strategy in ("centralised", "fedavg"):
            return 0, 0
        steps = planned_steps(self.config, rounds)
        most = max(steps.values(), default=0)
        if self.private:
            return most, most
        each = min((steps[c] for c in range(self.config.data.clients)), default=0)
        least = -(-each // -(-self.smallest // self.config.training.batch_size))
        return (least, least) if self.exact else (least, most)


def recorded_facts(
    subject: Subject, rounds: int | None = None, launches: Launches = NO_LAUNCHES
) -> TrainingFacts | None:
    """Return the facts of a training after so many rounds (None: all), by its manifest alone.

    launches: what was done again is counted. None where a mechanism would have to be calibrated for
    a count that the manifest leaves open.
    """
    checkpoint = subject.checkpoint
    if checkpoint is None:
        return None
    manifest, config, defence = (
        checkpoint.manifest,
        checkpoint.config,
        checkpoint.manifest["defence"],
    )
    if config.training.strategy == ONE_MESSAGE:
        return _message_facts(subject, checkpoint, launches)
    if exported(manifest):
        return _exported_facts(subject, checkpoint, rounds, launches)
    sizes = Sizes(config, len(manifest["members"]), "training" in defence)
    done = config.training.rounds if rounds is None else rounds
    again = launches.redone(config.training.rounds)
    least, most = sizes.releases(done)
    most += again * local_steps(config) if most else 0
    releases = least
    if rounds is not None:
        told = [
            cost["releases"]
            for cost in manifest["costs"]
            if cost["place"] in SENT and not (cost["place"] == "smashed" and _one_shot(defence))
        ]
        releases = min(max([least, *told]), most)
    elif least != most and _calibrated(defence, SENT):
        return None
    return replace(
        facts_before(config),
        delta=subject.delta,
        releases=releases,
        rounds=done + again,
        steps=max(planned_steps(config, done).values(), default=0) + again * local_steps(config),
        sample_rate=_rate(manifest["costs"], sizes),
        width=subject.split.whole.config.hidden_size,
        length=config.data.max_length,
        labels=len(subject.task.label_names),
        restarts=launches.restarts,
        participations=participations(config, launches.spans(config.training.rounds, done))[0],
    )


def _message_facts(subject: Subject, checkpoint: Checkpoint, launches: Launches) -> TrainingFacts:
    """Return the facts of a training by one message: every launch sent each record once."""
    config = checkpoint.config
    return replace(
        facts_before(config),
        delta=subject.delta,
        releases=1,
        width=layout_of(config).width,
        length=1,
        labels=len(subject.task.label_names),
        restarts=launches.restarts,
        message=recorded_message(checkpoint),
    )


def _exported_facts(
    subject: Subject, checkpoint: Checkpoint, rounds: int | None, launches: Launches
) -> TrainingFacts | None:
    """Return the facts of an export, which does not say how many were trained on.

    Releases and rates are those that its costs name. None before its end, where they do not say
    what a mechanism was calibrated for.
    """
    manifest, config = checkpoint.manifest, checkpoint.config
    planned, defence = config.training.rounds, manifest["defence"]
    places = ("update", *SENT, "training") if _drawn(config) else (*SENT, "training")
    if _calibrated(defence, places) and (manifest["round"] < planned or launches.restarts):
        return None
    done = planned if rounds is None else rounds
    again = launches.redone(planned)
    steps = max(planned_steps(config, done).values(), default=0) + again * local_steps(config)
    before = facts_before(config)
    silent = config.training.strategy in ("centralised", "fedavg")
    sent = [cost["releases"] for cost in manifest["costs"] if cost["place"] in SENT]
    turns = participations(config, launches.spans(planned, done))[0]
    if _drawn(config):  # by a seed that an export does not have
        told = {cost["place"]: cost["releases"] for cost in manifest["costs"]}
        turns, steps = told.get("update", turns), told.get("training", steps)
        before = replace(before, separation=most_apart(config))
    return replace(
        before,
        delta=subject.delta,
        releases=0 if silent else max(sent, default=steps),
        rounds=done + again,
        steps=steps,
        sample_rate=max([0.0, *_rates(manifest["costs"])]) or 1.0,
        width=subject.split.whole.config.hidden_size,
        length=config.data.max_length,
        labels=len(subject.task.label_names),
        restarts=launches.restarts,
        participations=turns,
    )


def unchecked(checkpoint: Checkpoint) -> Iterator[str]:
    """Yield what an export claims by a seed that it does not have, a line each."""
    manifest, config = checkpoint.manifest, checkpoint.config
    if not exported(manifest) or not _drawn(config):
        return
    why = "drawn by a seed that an export does not have, so that this cannot be recomputed"
    told = {cost["place"]: cost["releases"] for cost in manifest["costs"]}
    update = manifest["defence"].get("update", {})
    if update.get("mechanism") == "dp_ftrl" and "update" in told:
        bands = update.get("bands", 1)
        apart = f" and not again within {bands} rounds" if bands > 1 else ""
        yield f"rounds of clients: as recorded, at most {told['update']} for each{apart}: {why}"
    if "training" in told:
        yield f"steps of clients: as recorded, at most {told['training']} for each: {why}"


def _too_few(checkpoint: Checkpoint, launches: Launches) -> Iterator[str]:
    """Yield counts of an export that no draw of clients allows: one has at least an even share."""
    manifest, config = checkpoint.manifest, checkpoint.config
    if not _drawn(config):
        return
    planned, done = config.training.rounds, manifest["round"]
    turns = even_share(config, sum(map(len, launches.spans(planned, done))))
    steps = (even_share(config, done) + launches.redone(planned)) * local_steps(config)
    least = {"update": turns, "training": steps}
    for cost in manifest["costs"]:
        place, told = cost["place"], cost["releases"]
        if told < least.get(place, 0):
            yield (
                f"costs {place} releases: recorded {told}, recomputed {least[place]} at least, "
                "whoever was drawn"
            )


def _drawn(config: Config) -> bool:
    """Whether clients are drawn afresh for each round."""
    training = config.training
    some = training.clients_per_round not in (None, config.data.clients)
    chosen = training.strategy not in ("centralised", ONE_MESSAGE)
    return some and chosen and training.participation == "random"


def even_share(config: Config, rounds: int) -> int:
    """Return the fewest of so many rounds that whoever takes part most often can have."""
    return -(-rounds * (config.training.clients_per_round or 0) // config.data.clients)


def most_apart(config: Config) -> int | None:
    """Return the most rounds that can lie from one of a client's to its next, for every client.

    In one round more than that somebody comes twice. None where nobody has to.
    """
    apart = config.data.clients // (config.training.clients_per_round or config.data.clients)
    return apart if config.training.rounds > apart else None


def _calibrated(defence: dict[str, Any], places: Iterable[str]) -> bool:
    """Return whether noise at one of the places was chosen to meet a target."""
    return any(target in defence.get(place, {}) for place in places for target in TARGETS)


def _one_shot(defence: dict[str, Any]) -> bool:
    return bool(defence.get("smashed", {}).get("one_shot"))


def _rate(costs: list[dict[str, Any]], sizes: Sizes) -> float:
    """Return the recorded sample rate, where the members allow it; else the least that they do."""
    return max([sizes.rate, *([] if sizes.exact else _rates(costs))])


def _rates(costs: list[dict[str, Any]]) -> list[float]:
    return [float(c["event"]["sample_rate"]) for c in costs if "sample_rate" in c["event"]]
