"""Effects of simulated faults: whose updates end in a model, as settings and seed say it."""

from collections import Counter
from collections.abc import Iterator
from functools import lru_cache

from fedbert.config import Config
from fedbert.fault_settings import GOES, NO_FAULTS, TAKEN
from fedbert.faults.draws import NONE, Fault, faults_of
from fedbert.receiving import Receipts, needed_of
from fedbert.schedule import local_steps, participants, planned_steps
from fedbert.setting_types import ONE_MESSAGE


def answers(fault: Fault, config: Config) -> bool:
    """Return whether anything comes of a client in time, whatever it is."""
    deadline = config.faults.deadline
    in_time = deadline is None or fault.delay <= deadline
    return in_time and fault.kind not in (*GOES, "lost", "late")


def is_taken(fault: Fault, config: Config) -> bool:
    """Return whether a client's update is in the average: it is whole, and comes in time."""
    return answers(fault, config) and fault.kind in (None, *TAKEN)


def contributed_steps(config: Config, receipts: Receipts | None = None) -> Counter[int]:
    """Return by client how many steps it had taken when its last update was averaged.

    receipts: what became of the training's updates; without it, what settings and seed say, as if
    every round stood.

    Examples that a client trained on and whose update was lost are in no model; those before its
    last update count as seen. Under strategy one_message: one step of each client that is heard.
    """
    if receipts is not None and receipts != Receipts() and config.training.strategy != ONE_MESSAGE:
        return Counter(dict(_received(config, receipts)))
    if config.faults == NO_FAULTS and config.training.strategy != ONE_MESSAGE:
        return planned_steps(config)
    return Counter(dict(_contributed(config)))


def _received(config: Config, receipts: Receipts) -> Iterator[tuple[int, int]]:
    """Yield clients with their steps at each update that was averaged, the last one last."""
    turns = Counter[int]()
    for round_ in range(config.training.rounds):
        wrong, who = faults_of(config, round_), participants(config, round_)
        turns.update(c for c in who if wrong.get(c, NONE).kind not in GOES[:1])
        for client in receipts.learnt(round_, who):
            yield client, turns[client] * local_steps(config)


@lru_cache(maxsize=8)
def _contributed(config: Config) -> tuple[tuple[int, int], ...]:
    one = config.training.strategy == ONE_MESSAGE
    turns, found = Counter[int](), dict[int, int]()
    for round_ in range(1 if one else config.training.rounds):
        wrong, who = faults_of(config, round_), participants(config, round_)
        taken = [c for c in who if is_taken(wrong.get(c, NONE), config)]
        turns.update(c for c in who if wrong.get(c, NONE).kind not in GOES[:1])
        if one and len(taken) < needed_of(config.training.quorum, len(who)):
            continue
        found |= {c: turns[c] for c in taken}
    each = 1 if one else local_steps(config)
    return tuple((client, count * each) for client, count in found.items())
