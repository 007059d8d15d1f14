"""Host of parties on Ray: an actor that makes them from a specification, and calls them by name."""

import json
from collections.abc import Callable, Mapping
from typing import Any

from fedbert.errors import InputError
from fedbert.receiving import RefusedError

Told = tuple[str, Any]
"""What became of a call: "made" and the answer, or the kind of an error and its line."""


class PartyHost:
    """Some of the parties of one training, in one process; the class is made an actor.

    Model, data and noise are made here, from the specification: secret noise on A, on updates and
    in steps is drawn by the party that adds it, from a key of this process'; neither leaves it.
    What the channel acts on (noise on G_Z, say) crosses to the driver before it is noised.
    """

    def begin(self, asked: bytes) -> str:
        """Make ready what parties are made of; return the hash of the data that is found."""
        import torch

        torch.set_num_threads(1)
        self.parties: dict[str, Any] = {}
        self.makers, found = makers_of(json.loads(asked))
        return found

    def spawn(self, name: str) -> Told:
        """Bring a party into being."""

        def make() -> None:
            self.parties[name] = self.makers[name]()

        return _told(make)

    def call(self, name: str, method: str, *arguments: Any) -> Told:
        """Return what a party's method answers."""
        return _told(lambda: getattr(self.parties[name], method)(*arguments))

    def retire(self, name: str) -> Told:
        """Let a party go."""
        return _told(lambda: self.parties.pop(name) and None)


def _told(work: Callable[[], Any]) -> Told:
    try:
        return "made", work()
    except RefusedError as error:
        return "refused", (error.why, str(error))
    except InputError as error:
        return "input", str(error)
    except ValueError as error:
        return "value", str(error)


def makers_of(told: Mapping[str, Any]) -> tuple[dict[str, Callable[[], Any]], str]:
    """Return how each party of a training is made, by name, and the hash of its data.

    told: "config" and "asked" (the defence with its delta), as they stand in a checkpoint.
    """
    from evaluation.grid.defence import facts_of, make_defence
    from evaluation.grid.defence_file import DefenceSettings
    from fedbert.config import Config
    from fedbert.fleet import InProcess
    from fedbert.noise import noise_of
    from fedbert.precision import settled
    from fedbert.prepare import prepare, under, with_model
    from fedbert.roster import Roster
    from fedbert.settings import from_mapping
    from fedbert.split import duplicate
    from fedbert.trainer import spawn_parties

    config = from_mapping(Config, told["config"], "training")
    asked = {key: value for key, value in told["asked"].items() if key != "delta"}
    spec = from_mapping(DefenceSettings, asked, "defence").spec()
    prepared = prepare(config, coin=False)
    defence = make_defence(spec, facts_of(config, prepared, spec, told["asked"]["delta"]))
    noise = noise_of(config, prepared, defence, told["asked"])
    config, _ = settled(config, prepared.split.whole.config, told["plain"])
    split = duplicate(prepared.split, shared=prepared.split.client_names.values())
    inputs = under(with_model(prepared, split), defence, noise)
    roster = Roster(InProcess(), True)
    spawn_parties(roster, config, inputs, defence, noise)
    return roster.makers, prepared.data_sha256
