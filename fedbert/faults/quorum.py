"""Quorum under simulated faults: which trainings would stop is known before anything is loaded."""

import math
from collections.abc import Iterable
from typing import NamedTuple

from fedbert.config import Config
from fedbert.errors import InputError
from fedbert.fault_settings import NO_FAULTS
from fedbert.faults.draws import NONE, faults_of
from fedbert.faults.effects import answers, is_taken
from fedbert.receiving import needed_of
from fedbert.schedule import participants
from fedbert.setting_types import ONE_MESSAGE

LOOKED = 20_000
"""So many turns of clients are looked at in each training; a later round stops it when it comes."""


class Planned(NamedTuple):
    """A training to come.

    name: whose it is, for a message. by_answers: a mechanism acts on the sum of updates, under
    which the quorum counts who answers.
    """

    name: str
    config: Config
    by_answers: bool


class Short(NamedTuple):
    """A round below its quorum (from 1 on): how many of its clients are there."""

    training: Planned
    round: int
    there: int
    of: int


def refuse_below_quorum(trainings: Iterable[Planned]) -> None:
    """Refuse trainings of which some would stop for the faults that their seed draws.

    Raises:
        InputError: with the quorum at which none of them would.
    """
    planned = list(dict.fromkeys(trainings))
    found = [short for each in planned if (short := _short(each)) is not None]
    if not found:
        return
    worst = min(found, key=lambda each: each.there / each.of)
    quorum, one = worst.training.config.training.quorum, _one_message(worst.training)
    share = math.floor(1000 * worst.there / worst.of) / 1000
    ways = [f"training.quorum = {share:g}, at which none stops"] if share else []
    ways += [] if one else ['training.below_quorum = "skip", which leaves such rounds out']
    raise InputError(
        f"faults: expected updates of {needed_of(quorum, worst.of)} of {worst.of} clients in every "
        f"round (quorum = {quorum:g}), got {worst.there} in round {worst.round} of "
        f"{worst.training.name}: {len(found)} of {len(planned)} trainings would stop; "
        f"{'set ' if ways else ''}{', or '.join(ways) or 'ask for fewer faults'}"
    )


def _one_message(training: Planned) -> bool:
    return training.config.training.strategy == ONE_MESSAGE


def _short(planned: Planned) -> Short | None:
    """Return the worst round of a training that would stop; None of one that would not."""
    config, training, one = planned.config, planned.config.training, _one_message(planned)
    if config.faults == NO_FAULTS or (training.below_quorum == "skip" and not one):
        return None
    worst, looked = None, 0
    for round_ in range(1 if one else training.rounds):
        who, wrong = participants(config, round_), faults_of(config, round_)
        counts = answers if planned.by_answers else is_taken
        there = sum(counts(wrong.get(client, NONE), config) for client in who)
        below = there < needed_of(training.quorum, len(who))
        if below and (worst is None or there / len(who) < worst.there / worst.of):
            worst = Short(planned, round_ + 1, there, len(who))
        looked += len(who)
        if looked >= LOOKED:
            break
    return worst
