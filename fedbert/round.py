"""Round of a training: how parties are reached in it, and what becomes of those that fail."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fedbert.arrivals import where
from fedbert.config import Config
from fedbert.errors import InputError
from fedbert.faults.draws import NONE, Fault
from fedbert.faults.spoilt import UNHEARD, Delivery, updates
from fedbert.messages import (
    Channel,
    ClientParts,
    ClientUpdate,
    M,
)
from fedbert.optim import learning_rate
from fedbert.receiving import FAILED, FOREIGN, LATE, STALE, WEIGHT, Receiver, RefusedError
from fedbert.roster import Roster

SERVER = "server"


def client_name(client: int) -> str:
    """Return the name under which the fleet knows a client."""
    return f"client-{client}"


@dataclass(frozen=True)
class Round:
    """One round: who takes part, what each weighs in the average, and how the parties are reached.

    weights: the examples that each holds; 1 where clients noise their updates themselves, and may
    tell nothing else. faults: simulated ones, by client. private: steps end by DP-SGD. gone: who
    has left, or sent what was refused, in the middle of its turn.
    """

    number: int
    participants: tuple[int, ...]
    weights: tuple[int, ...]
    steps: int
    config: Config
    fleet: Roster
    channel: Channel
    receiver: Receiver
    faults: Mapping[int, Fault] = field(default_factory=dict)
    private: bool = False
    gone: set[int] = field(default_factory=set)
    parts: dict[int, ClientParts] = field(default_factory=dict)

    @property
    def here(self) -> tuple[int, ...]:
        """The clients that are there when their turn begins."""
        return tuple(c for c in self.participants if self.fault(c).kind != "absent")

    def fault(self, client: int) -> Fault:
        """Return what is wrong with a client."""
        return self.faults.get(client, NONE)

    def rates(self) -> list[float]:
        """Return the learning rate of every local step of this round."""
        training = self.config.training
        total = training.rounds * self.steps
        start = self.number * self.steps
        return [learning_rate(training, start + i, total) for i in range(self.steps)]

    def open(self, with_body: bool) -> None:
        """Begin the round: what it will divide by is settled here, whoever comes."""
        self.receiver.open(self.number, self.participants)
        counts = sum(self.weights), len(self.participants)
        self.fleet.call(SERVER, "open_round", self.number, *counts, with_body)

    def close(self) -> None:
        """End the round: its average becomes the new values, or it is skipped.

        Raises:
            InputError: too few updates came, and the training is to stop then.
        """
        self.fleet.call(SERVER, "close_round" if self.receiver.close() else "skip_round")

    def begin(self, client: int, with_body: bool) -> None:
        """Send a client what it starts from."""
        parts: ClientParts = self.fleet.call(SERVER, "parts", client, self.number, with_body)
        self.channel.send(parts)
        if self.fault(client).kind == "poisoned":
            self.parts[client] = parts
        self.fleet.call(client_name(client), "start", parts)

    def turn(self, group: Sequence[int]) -> Iterator[float]:
        """Yield the learning rate of every step of a group, until nobody is left to take one.

        Where copies of T run as one, steps go on: all copies are to have taken as many.
        """
        alone = self.private or self.config.training.strategy == "sequential"
        for index, rate in enumerate(self.rates()):
            for client in group:
                fault = self.fault(client)
                if fault.kind == "leaves" and fault.steps == index:
                    self.gone.add(client)
            if alone and self.gone.issuperset(group):
                return
            yield rate

    def train(self, client: int) -> None:
        """Let a client take its local steps on the whole model, as many as it is there for."""
        fault, rates = self.fault(client), self.rates()
        if fault.kind == "leaves":
            rates = rates[: fault.steps]
            self.gone.add(client)
        try:
            self.ask(client, "train", rates)
        except RefusedError as error:
            self._lose(client, error)

    def ask(self, client: int, method: str, *arguments: Any) -> Any:
        """Return what a client's method answers; what it cannot do is told with client and round.

        Raises:
            RefusedError: for values that a mechanism refuses, such as NaN.
        """
        try:
            return self.fleet.call(client_name(client), method, *arguments)
        except InputError:
            raise
        except ValueError as error:
            told = f"round {self.number + 1}, client {client}, at {method!r}"
            raise RefusedError(FAILED, f"{told}: {error}") from error

    def up(self, client: int, method: str, *arguments: Any) -> Any:
        """Return what arrives of a client's answer within a step; None of one that is gone."""
        if client in self.gone:
            return None
        try:
            return self.sent(client, self.ask(client, method, *arguments))
        except RefusedError as error:
            self._lose(client, error)
            return None

    def down(self, client: int, message: M) -> M | None:
        """Return what a client gets of the server's message within a step; None if it is gone."""
        if client in self.gone:
            return None
        try:
            return self.channel.send(message)
        except RefusedError as error:  # made of what it sent: finite, and too large to go on with
            self._lose(client, error)
            return None

    def do(self, client: int, method: str, *arguments: Any) -> None:
        """Let a client do what has no answer, unless it is gone."""
        if client in self.gone:
            return
        try:
            self.ask(client, method, *arguments)
        except RefusedError as error:
            self._lose(client, error)

    def _lose(self, client: int, error: RefusedError) -> None:
        """End a client's turn, whose message in a step was refused.

        Raises:
            RefusedError: under DP-SGD, whose claim is about a record: by what one holds, all others
                of the turn would go with it.
        """
        if self.private:
            raise error
        self.gone.add(client)
        self.receiver.refuse(client, error, self._in_time(client))

    def _in_time(self, client: int) -> bool:
        """Return whether an answer of a client comes, and in time, whatever is in it."""
        fault, deadline = self.fault(client), self.config.faults.deadline
        return fault.kind not in UNHEARD and (deadline is None or fault.delay <= deadline)

    def sent(self, client: int, message: M) -> M:
        """Return what arrives of a client's message.

        Raises:
            RefusedError: for one of another client or round, or not as it should be.
        """
        if (message.client, message.round) != (client, self.number):
            told = f"expected one of client {client} in round {self.number + 1}"
            why = STALE if message.client == client else FOREIGN
            raise RefusedError(why, f"{where(message)}: {told}")
        return self.channel.send(message)

    def update(self, client: int) -> ClientUpdate | None:
        """Fetch a client's update, with which its turn ends; None if there is none to take."""
        name, fault = client_name(client), self.fault(client)
        made = None
        if client not in self.gone:
            try:
                made = self.ask(client, "update", self.number)
            except RefusedError as error:
                self._lose(client, error)
        if made is None:
            self.fleet.call(name, "abandon", self.steps)
        self.fleet.leave(name)
        if made is None:
            return None
        start = self.parts[client].tensors if client in self.parts else {}
        came = [self._arrived(client, each) for each in updates(fault, made, start)]
        return next((each for each in came if each is not None), None)

    def _arrived(self, client: int, delivery: Delivery[ClientUpdate]) -> ClientUpdate | None:
        """Return an update that comes, if it is one to take."""
        own = self.weights[self.participants.index(client)]
        deadline = self.config.faults.deadline
        try:
            # time first: who came too late is late whatever is in the message
            self.receiver.check(client, delivery.delay, deadline, where(delivery.message))
            update = self.sent(client, delivery.message)
            if update.weight != own:
                told = "expected the weight that it has, got another"
                raise RefusedError(WEIGHT, f"{where(update)}: {told}")
        except RefusedError as error:
            if self.config.training.secure_aggregation and error.why != LATE:
                told = "under secure_aggregation one broken update spoils the sum"
                raise InputError(f"{error}; {told}") from error
            self.receiver.refuse(client, error)
            return None
        self.receiver.took(client)
        return update
