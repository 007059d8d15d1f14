"""Strategies: what happens in one round. All parties are reached through the fleet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fedbert.arrivals import where
from fedbert.config import Config
from fedbert.errors import InputError
from fedbert.messages import (
    Channel,
    ClientParts,
    ClientUpdate,
    ClipFactors,
    ExampleNorms,
    HiddenGradient,
    M,
    SmashedGradient,
)
from fedbert.optim import learning_rate
from fedbert.roster import Roster

SERVER = "server"


def client_name(client: int) -> str:
    """Return the name under which the fleet knows a client."""
    return f"client-{client}"


@dataclass(frozen=True)
class Round:
    """One round: who takes part, what each weighs in the average, and how the parties are reached.

    weights: the examples that each holds; 1 where clients noise their updates themselves, and may
    tell nothing else. private: steps end by DP-SGD.
    """

    number: int
    participants: tuple[int, ...]
    weights: tuple[int, ...]
    steps: int
    config: Config
    fleet: Roster
    channel: Channel
    private: bool = False

    def rates(self) -> list[float]:
        """Return the learning rate of every local step of this round."""
        training = self.config.training
        total = training.rounds * self.steps
        start = self.number * self.steps
        return [learning_rate(training, start + i, total) for i in range(self.steps)]

    def begin(self, client: int, with_body: bool) -> None:
        """Send a client what it starts from."""
        parts: ClientParts = self.fleet.call(SERVER, "parts", client, self.number, with_body)
        self.channel.send(parts)
        self.fleet.call(client_name(client), "start", parts)

    def ask(self, client: int, method: str, *arguments: Any) -> Any:
        """Return what a client's method answers; what it cannot do is told with client and round.

        Raises:
            InputError: for values that a mechanism refuses, such as NaN.
        """
        try:
            return self.fleet.call(client_name(client), method, *arguments)
        except InputError:
            raise
        except ValueError as error:
            told = f"round {self.number + 1}, client {client}, at {method!r}"
            raise InputError(f"{told}: {error}") from error

    def sent(self, client: int, message: M) -> M:
        """Return what arrives of a client's message.

        Raises:
            InputError: for one of another client or round.
        """
        if (message.client, message.round) != (client, self.number):
            told = f"expected one of client {client} in round {self.number + 1}"
            raise InputError(f"{where(message)}: {told}")
        return self.channel.send(message)

    def update(self, client: int) -> ClientUpdate:
        """Fetch a client's update, with which its turn ends.

        Raises:
            InputError: for one of another weight than the client has.
        """
        update: ClientUpdate = self.sent(client, self.ask(client, "update", self.number))
        own = self.weights[self.participants.index(client)]
        if update.weight != own:
            told = f"expected weight={own}, got weight={update.weight}"
            raise InputError(f"{where(update)}: {told}")
        self.fleet.leave(client_name(client))
        return update


def centralised(round_: Round) -> None:
    """One party holds all data and the whole model. Nothing is sent to anybody."""
    silent = replace(round_, channel=Channel())
    fedavg(silent)


def fedavg(round_: Round) -> None:
    """Every client trains a full copy; everything is averaged (McMahan et al. 2017)."""
    fleet, who = round_.fleet, round_.participants
    fleet.call(SERVER, "open_round", round_.number, sum(round_.weights), len(who), True)
    for client in who:
        round_.begin(client, with_body=True)
        round_.ask(client, "train", round_.rates())
        fleet.call(SERVER, "collect", round_.update(client))
    fleet.call(SERVER, "close_round")


def parallel(round_: Round) -> None:
    """One copy of T per client at the server; E, H and the copies are averaged each round."""
    fleet, who = round_.fleet, round_.participants
    fleet.call(SERVER, "open_round", round_.number, sum(round_.weights), len(who), False)
    size = fleet.call(SERVER, "capacity")
    for group in _groups(round_, size):
        for client in group:
            round_.begin(client, with_body=False)
        fleet.call(SERVER, "open_group", group)
        for rate in round_.rates():
            split_step(round_, group, rate)
        for client in group:  # one at a time: an update may be as large as the model
            fleet.call(SERVER, "take", round_.update(client))
        fleet.call(SERVER, "close_group")
    fleet.call(SERVER, "close_round")


def sequential(round_: Round) -> None:
    """One T at the server, updated by the clients in turn; E and H are handed on or averaged."""
    fleet, who = round_.fleet, round_.participants
    hand_on = round_.config.training.client_parts == "hand_on"
    fleet.call(SERVER, "open_round", round_.number, sum(round_.weights), len(who), False)
    for client in who:
        round_.begin(client, with_body=False)
        fleet.call(SERVER, "open_turn", client)
        for rate in round_.rates():
            split_step(round_, (client,), rate)
        fleet.call(SERVER, "close_turn", round_.update(client), hand_on)
    fleet.call(SERVER, "close_round")


STRATEGIES: dict[str, Callable[[Round], None]] = {
    "centralised": centralised,
    "fedavg": fedavg,
    "parallel": parallel,
    "sequential": sequential,
}


def split_step(round_: Round, group: Sequence[int], rate: float) -> None:
    """Run one training step of a group: A up, Z down, G_Z up, G_A down."""
    fleet, send, ask = round_.fleet, round_.channel.send, round_.ask
    smashed = [round_.sent(c, ask(c, "forward", round_.number)) for c in group]
    hidden = [send(z) for z in fleet.call(SERVER, "forward", smashed)]
    heads = [ask(c, "head", z) for c, z in zip(group, hidden, strict=True)]
    gradients = [round_.sent(c, message) for c, message in zip(group, heads, strict=True)]
    answers = [send(a) for a in fleet.call(SERVER, "backward", gradients, rate)]
    for index, client in enumerate(group):
        answer = answers[index] if answers else None
        if round_.private:
            clipped_step(round_, client, answer, gradients[index], rate)
        else:
            ask(client, "finish", answer, rate)


def clipped_step(
    round_: Round,
    client: int,
    answer: SmashedGradient | None,
    gradient: HiddenGradient,
    rate: float,
) -> None:
    """End a step under DP-SGD: norms of T's gradients down, clip factors up, both sides update."""
    fleet, send, ask = round_.fleet, round_.channel.send, round_.ask
    norms: ExampleNorms = send(fleet.call(SERVER, "norms", gradient))
    factors: ClipFactors = round_.sent(client, ask(client, "factors", answer, norms))
    fleet.call(SERVER, "apply", factors, rate)
    ask(client, "apply", rate)


def _groups(round_: Round, size: int) -> list[tuple[int, ...]]:
    """Return the participants in groups whose copies of T run stacked.

    Copies that took different numbers of steps do not share a group (their optimisers' bias
    corrections differ), which can only happen when clients are sampled and keep their moments.
    """
    training = round_.config.training
    alike: dict[int, list[int]] = {}
    for client in round_.participants:
        steps = 0
        if training.optimizer_state == "keep":
            steps = round_.fleet.steps(client_name(client))
        alike.setdefault(steps, []).append(client)
    return [
        tuple(clients[i : i + size])
        for clients in alike.values()
        for i in range(0, len(clients), size)
    ]
