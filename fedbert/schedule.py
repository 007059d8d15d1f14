"""Schedule of a training: who takes part in which round, with how many steps, sending how often."""

from collections import Counter

from fedbert.config import ONE_MESSAGE, Config
from fedbert.prepare import Prepared
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

    Who is asked when is public, and no guarantee rests on it: what each sends is counted.
    """
    if config.training.strategy == "centralised":
        return (0,)
    count = config.training.clients_per_round or config.data.clients
    if count == config.data.clients:
        return tuple(range(count))
    drawn = public("participants", config.seed, round_).choice(config.data.clients, count)
    return tuple(sorted(drawn.tolist()))


def local_steps(config: Config) -> int:
    """Return the local steps of one client's round; one pooled party takes those of all."""
    steps = config.training.local_steps
    if config.training.strategy != "centralised":
        return steps
    return steps * (config.training.clients_per_round or config.data.clients)
