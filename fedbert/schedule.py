"""Schedule of a training: who takes part in which round, with how many steps, sending how often."""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fedbert.config import Config
from fedbert.prepare import Prepared
from fedbert.setting_types import ONE_MESSAGE
from privacy.randomness.source import public


def planned_steps(config: Config, rounds: int | None = None) -> Counter[int]:
    """Return how many steps each client takes in so many rounds (None: in all)."""
    total = config.training.rounds if rounds is None else rounds
    each = local_steps(config)
    if _everybody(config):
        return Counter(dict.fromkeys(participants(config, 0), total * each) if total else {})
    who = _cohorts(*_chosen_by(config), max(total, config.training.rounds))[:total]
    turns = np.bincount(who.ravel()).tolist()
    return Counter({client: count * each for client, count in enumerate(turns) if count})


def planned_updates(config: Config) -> int:
    """Return how many updates, or clients' one messages, a training is to receive."""
    if config.training.strategy == ONE_MESSAGE:
        return config.data.clients
    return config.training.rounds * len(participants(config, 0))


def planned_releases(config: Config, prepared: Prepared, rounds: int | None = None) -> int:
    """Return the most times that one example's A is sent in so many rounds (None: in all).

    Under Poisson sampling (see `poisson_sampled`) that may be every step.
    """
    if config.training.strategy in ("centralised", "fedavg"):
        return 0
    if config.training.strategy == ONE_MESSAGE:
        return 1
    steps = planned_steps(config, rounds)
    return max(data.releases(steps[data.client]) for data in prepared.clients)


def repeated_releases(config: Config, prepared: Prepared, rounds: int, restarts: int) -> int:
    """Return the most times that one example's A is sent in rounds that restarts did again.

    Whoever takes part: each restart may begin within a pass over the data and end within another.
    """
    if config.training.strategy in ("centralised", "fedavg"):
        return 0
    steps = rounds * local_steps(config)
    most = max(data.releases(steps) for data in prepared.clients)
    return min(steps, most + 2 * restarts)


def participants(config: Config, round_: int) -> tuple[int, ...]:
    """Return the clients of a round, in the order in which they are served.

    Who is asked when is public and fixed beforehand; no guarantee rests on its being drawn: what
    each client sends is counted.
    """
    if config.training.strategy == "centralised":
        return (0,)
    if _everybody(config):
        return tuple(range(config.data.clients))
    return tuple(_cohort(*_chosen_by(config), round_).tolist())


def participations(
    config: Config, spans: Sequence[range] | None = None
) -> tuple[int | None, int | None]:
    """Return the most rounds that one client takes part in, and the fewest from one to its next.

    spans: of rounds that were done, one for each launch; None: every round once. None for what no
    client does: taking part twice, or, under one message, in a round.
    """
    rounds = config.training.rounds
    if config.training.strategy == ONE_MESSAGE:
        return None, None
    done = [range(rounds)] if spans is None else list(spans)
    if _everybody(config):
        return sum(map(len, done)), (1 if rounds > 1 else None)
    who = _cohorts(*_chosen_by(config), rounds)
    turns = np.zeros(config.data.clients, dtype=np.int64)
    for span in done:
        turns += np.bincount(who[span.start : span.stop].ravel(), minlength=len(turns))
    return int(turns.max()), _separation(*_chosen_by(config), rounds)


def local_steps(config: Config) -> int:
    """Return the local steps of one client's round; one pooled party takes those of all."""
    steps = config.training.local_steps
    if config.training.strategy != "centralised":
        return steps
    return steps * (config.training.clients_per_round or config.data.clients)


def _everybody(config: Config) -> bool:
    """Whether all take part in every round."""
    everyone = config.training.clients_per_round in (None, config.data.clients)
    return everyone or config.training.strategy == "centralised"


def _chosen_by(config: Config) -> tuple[int, int, int, bool]:
    """Return what a schedule follows from: seed, clients, how many a round, whether in a cycle."""
    count = config.training.clients_per_round or config.data.clients
    return config.seed, config.data.clients, count, config.training.participation == "cyclic"


@lru_cache(maxsize=8)
def _order(seed: int, clients: int) -> NDArray[np.int64]:
    return public("cyclic participants", seed).permutation(clients)


def _cohort(seed: int, clients: int, count: int, cyclic: bool, round_: int) -> NDArray[np.int64]:
    """Return the clients of a round, sorted."""
    if cyclic:
        places = (round_ * count + np.arange(count)) % clients
        return np.sort(_order(seed, clients)[places])
    return np.sort(public("participants", seed, round_).choice(clients, count))


@lru_cache(maxsize=8)  # drawing takes seconds at 100,000 clients, and every save counts
def _cohorts(seed: int, clients: int, count: int, cyclic: bool, rounds: int) -> NDArray[np.int32]:
    """Return the clients `[round, place]` of so many rounds."""
    found = np.empty((rounds, count), dtype=np.int32)
    for round_ in range(rounds):
        found[round_] = _cohort(seed, clients, count, cyclic, round_)
    return found


@lru_cache(maxsize=64)
def _separation(seed: int, clients: int, count: int, cyclic: bool, rounds: int) -> int | None:
    """Return the fewest rounds from one of a client's to its next; None where there is no next."""
    who = _cohorts(seed, clients, count, cyclic, rounds).ravel()
    order = np.argsort(who, kind="stable")  # by client, then by round
    same = np.diff(who[order]) == 0
    gaps = np.diff(order // count)[same]
    return int(gaps.min()) if len(gaps) else None
