"""Roster: clients are there while their turn lasts, and nothing depends on that."""

from typing import Any

import pytest

from fedbert.client import Client
from fedbert.fleet import InProcess
from fedbert.roster import Roster, untouched
from fedbert.round import client_name
from fedbert.schedule import participants
from fedbert.trainer import train
from privacy.defence import Defence
from privacy.dp_fedavg import DPFedAvg
from privacy.gaussian import Gaussian
from tests.fedbert import tiny


class Counted(InProcess):
    """The default fleet, which notes who is there, and the most at once."""

    def __init__(self) -> None:
        super().__init__()
        self.most, self.spawned = 0, list[str]()

    def spawn(self, name: str, factory: Any) -> None:
        """Make the party."""
        super().spawn(name, factory)
        self.spawned.append(name)
        self.most = max(self.most, len(self._parties))


FEW = {"clients": 5, "clients_per_round": 2, "rounds": 6}


@pytest.mark.parametrize(
    ("settings", "defence"),
    [
        ({"strategy": "parallel"}, tiny.NO_DEFENCE),
        ({"strategy": "sequential", "freeze": True}, Defence("a", smashed=Gaussian(1.0, 0.1))),
        ({"strategy": "fedavg"}, Defence("u", update=DPFedAvg(1.0, 0.1))),
        ({"strategy": "sequential", "optimizer_state": "hand_on"}, tiny.NO_DEFENCE),
    ],
)
def test_who_leaves_and_comes_back_trains_as_who_stays(
    settings: dict[str, Any], defence: Defence, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = tiny.config_of("two", **(FEW | settings))
    prepared, states = tiny.prepared_for(config), []
    left = train(config, prepared, defence, on_round=states.append)
    monkeypatch.setattr(Roster, "leave", stayed)
    stay = train(config, prepared, defence, on_round=lambda _: None)
    assert tiny.as_bytes(left.state) == tiny.as_bytes(stay.state)
    assert left.protection == stay.protection


def stayed(roster: Roster, name: str) -> None:
    """Nobody leaves."""
    roster._losses[name] = roster.fleet.call(name, "mean_loss")


@pytest.mark.parametrize("state", ["keep", "reset"])
def test_who_takes_no_part_is_never_made(state: str) -> None:
    config = tiny.config_of("two", **FEW, strategy="fedavg", optimizer_state=state)
    fleet = Counted()
    train(config, tiny.prepared_for(config), tiny.NO_DEFENCE, fleet=fleet)
    asked = [client_name(c) for r in range(6) for c in participants(config, r)]
    assert fleet.spawned[1:] == asked
    assert fleet.most == 2  # the server and one client


def test_who_always_takes_part_is_made_once() -> None:
    config, fleet = tiny.config_of("two", clients=3), Counted()
    train(config, tiny.prepared_for(config), tiny.NO_DEFENCE, fleet=fleet)
    assert sorted(fleet.spawned) == ["client-0", "client-1", "client-2", "server"]


def test_who_was_never_asked_carries_what_a_new_client_does() -> None:
    config = tiny.config_of("two")
    prepared = tiny.prepared_for(config)
    (data,) = prepared.clients
    client = Client(data, prepared.split, config, tiny.NO_DEFENCE, False, tiny.NOISE)
    assert untouched() == client.snapshot()
