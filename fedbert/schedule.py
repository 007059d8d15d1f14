"""Schedule of a training: who takes part in which round, with how many steps, sending how often."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from fedbert.config import Config
from fedbert.prepare import Prepared
from fedbert.setting_types import ONE_MESSAGE
from privacy.randomness.source import public


def planned_steps(config: Config, rounds: int | None = None) -> Counter[int]:
    """Return how many steps each client takes in so many rounds (None: in all)."""
    total = config.training.rounds if rounds is None else rounds
    turns = Counter(client for r in range(total) for client in participants(config, r))
    return Counter({client: count * local_steps(config) for client, count in turns.items()})


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
    count = config.training.clients_per_round or config.data.clients
    if count == config.data.clients:
        return tuple(range(count))
    if config.training.participation == "cyclic":
        order = public("cyclic participants", config.seed).permutation(config.data.clients)
        places = (round_ * count + np.arange(count)) % len(order)
        return tuple(sorted(order[places].tolist()))
    drawn = public("participants", config.seed, round_).choice(config.data.clients, count)
    return tuple(sorted(drawn.tolist()))


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
    count = config.training.clients_per_round or config.data.clients
    if count == config.data.clients or config.training.strategy == "centralised":
        return sum(map(len, done)), (1 if rounds > 1 else None)
    who = [participants(config, round_) for round_ in range(rounds)]
    turns = Counter(client for span in done for round_ in span for client in who[round_])
    last: dict[int, int] = {}
    apart = rounds
    for round_, clients in enumerate(who):
        apart = min([apart, *(round_ - last[client] for client in clients if client in last)])
        last |= dict.fromkeys(clients, round_)
    again = max(Counter(client for clients in who for client in clients).values()) > 1
    return max(turns.values(), default=0), (apart if again else None)


def local_steps(config: Config) -> int:
    """Return the local steps of one client's round; one pooled party takes those of all."""
    steps = config.training.local_steps
    if config.training.strategy != "centralised":
        return steps
    return steps * (config.training.clients_per_round or config.data.clients)
