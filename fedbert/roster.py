"""Roster of clients: each comes into being when it is asked, and leaves after its turn."""

from collections.abc import Callable, Mapping
from typing import Any

from fedbert.fleet import Fleet
from fedbert.messages import Array
from fedbert.protect import MechanismLog

PLACES = ("smashed", "training", "update")
"""Where mechanisms act at a client."""

Carried = tuple[dict[str, Array], dict[str, Any]]
"""What a client carries from round to round: arrays, and plain values."""


class Roster:
    """The parties as strategies reach them; of a client who is away, there is what it carries.

    stay: clients do not leave, since all of them take part in every round.
    """

    def __init__(self, fleet: Fleet, stay: bool) -> None:
        """Begin with nobody."""
        self.fleet, self.stay = fleet, stay
        self.makers: dict[str, Callable[[], Any]] = {}
        self._here: set[str] = set()
        self._carried: dict[str, Carried] = {}
        self._losses: dict[str, float] = {}

    def spawn(self, name: str, factory: Callable[[], Any]) -> None:
        """Note how a party is made, once it is asked."""
        self.makers[name] = factory

    def call(self, name: str, method: str, *arguments: Any) -> Any:
        """Return what the party's method answers."""
        if name not in self._here:
            self.fleet.spawn(name, self.makers[name])
            self._here.add(name)
            if name in self._carried:
                self.fleet.call(name, "restore", *self._carried.pop(name))
        return self.fleet.call(name, method, *arguments)

    def leave(self, name: str) -> None:
        """Let a party go after its turn, but for its loss and what it carries."""
        self._losses[name] = self.fleet.call(name, "mean_loss")
        if self.stay:
            return
        self._carried[name] = self.fleet.call(name, "snapshot")
        self.fleet.call(name, "leave")
        self.fleet.retire(name)
        self._here.discard(name)

    def loss(self, name: str) -> float:
        """Return a client's mean training loss of its last turn."""
        return self._losses[name]

    def every_loss(self) -> list[float]:
        """Return the mean training loss of the last turn of every client that had one."""
        return list(self._losses.values())

    def snapshot(self, name: str) -> Carried:
        """Return what a client carries, wherever it is."""
        if name in self._here:
            found: Carried = self.fleet.call(name, "snapshot")
            return found
        return self._carried.get(name, untouched())

    def steps(self, name: str) -> int:
        """Return how many steps a client has taken, wherever it is."""
        if name in self._here:
            return int(self.fleet.call(name, "steps_taken"))
        return int(self.snapshot(name)[1]["step"])

    def restore(self, name: str, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Set what `snapshot` returned, for when the client is asked."""
        self._carried[name] = dict(arrays), dict(values)

    def report(self, name: str) -> dict[str, MechanismLog]:
        """Return the logs of the mechanisms at work at a client, by place."""
        if name in self._here:
            found: dict[str, MechanismLog] = self.fleet.call(name, "report")
            return found
        logs = self.snapshot(name)[1]["logs"]
        return {place: MechanismLog.from_json(log) for place, log in logs.items()}


def untouched() -> Carried:
    """Return what a client carries who was never asked."""
    return {}, {"step": 0, "logs": {place: MechanismLog().to_json() for place in PLACES}}
