"""Canary clients beside a federation's own: each adds a random direction to the sum, or nothing.

A canary is one client more: its update is clipped and summed as every client's, before the noise
that the sum gets in any case, and the divisor stays the number of the real ones. So a training
whose canaries' coins all say "not there" is, digit for digit, the training without canaries.

Random directions of many values are all but orthogonal, to each other and to what real clients
send, so that one training holds many canaries.

Reference: Andrew, Kairouz, Oh, Oprea, McMahan, Suriyakumar (2024), "One-shot empirical privacy
estimation for federated learning".
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fedbert.averaging import Noised
from fedbert.config import Config
from fedbert.errors import InputError
from fedbert.messages import Array
from fedbert.schedule import participations
from fedbert.seeding import generator
from fedbert.server import Server
from fedbert.strategies import SERVER
from privacy.adaptive_clip import AdaptiveDPFedAvg
from privacy.banded_factorisation import column_norms
from privacy.defence import over_rounds
from privacy.dp_fedavg import DPFedAvg
from privacy.dp_ftrl import DPFTRL
from privacy.mechanism import Mechanism

LENGTH = 10.0  # of a canary's update, in clips
Summing = DPFedAvg | AdaptiveDPFedAvg | DPFTRL
SUMS = (DPFedAvg, AdaptiveDPFedAvg, DPFTRL)
"""Mechanisms that noise the sum of clipped updates, in which a canary can lie."""


def summed(mechanism: Mechanism) -> Summing:
    """Return a mechanism whose noise lies on the sum of the clients' clipped updates.

    Raises:
        InputError: naming another one.
    """
    if isinstance(mechanism, SUMS):
        return mechanism
    raise InputError(
        "expected DP-FedAvg, adaptive DP-FedAvg or DP-FTRL on the updates, whose sums canary "
        f"clients lie in, got {type(mechanism).__name__}"
    )


@dataclass(frozen=True)
class Turns:
    """The rounds in which canaries take part: as often as the claim counts of one client.

    Under DP-FedAvg the claim counts every round, whoever takes part. DP-FTRL counts a client's own
    rounds, at least so many `apart`, at `most`.
    """

    apart: int = 1
    most: int | None = None

    @classmethod
    def of(cls, mechanism: Mechanism, config: Config) -> "Turns":
        """Return the turns that a training's claim allows."""
        if over_rounds(mechanism) is None:
            return cls()
        most, apart = participations(config)
        return cls(config.training.rounds if apart is None else apart, most)

    def there(self, round_: int) -> bool:
        """Return whether canaries take part in a round."""
        place, rest = divmod(round_, self.apart)
        return rest == 0 and (self.most is None or place < self.most)


class PlantedClients:
    """Canary clients of one training: watches its server, adds them to sums, reads the averages.

    coins [canary] bool: which are there. scores [canary]: the sum over rounds of what an adversary
    who sees every round's values reads of each, in clips; `energy`: what a canary that is there has
    of it in the mean. Noise that is correlated over rounds is made independent first.
    """

    def __init__(self, coins: np.ndarray, seed: int, turns: Turns) -> None:
        """Hold the canaries; seed: of their directions."""
        self.coins, self.seed, self.turns = coins, seed, turns
        self.scores, self.energy, self.rounds = np.zeros(len(coins)), 0.0, 0
        self._server: Server | None = None
        self._before: dict[str, Array] = {}
        self._mechanism: Summing | None = None  # with the clip of the round
        self._divisor, self._round = 1, 0
        self._past: deque[tuple[np.ndarray, float]] = deque()

    def met(self, name: str, party: Any) -> None:
        """Know the server."""
        if name == SERVER:
            self._server = party

    def before(self, name: str, method: str, arguments: tuple[Any, ...]) -> None:
        """Add the canaries before a round is averaged."""
        if name != SERVER or self._server is None:
            return
        if method == "open_round":
            self._round = int(arguments[0])
        if method == "close_round":
            self._plant(self._server)

    def after(self, name: str, method: str, arguments: tuple[Any, ...]) -> None:
        """Read the new averages."""
        if (name, method) == (SERVER, "close_round") and self._server is not None:
            self._read(self._server.values())

    def _plant(self, server: Server) -> None:
        average = server.average
        if not isinstance(average, Noised):
            raise InputError("expected a noised average of updates, got none")
        self._mechanism, self._divisor = summed(average.mechanism), average.divisor
        self._before = dict(average.base)
        length, log = LENGTH * self._mechanism.clip_norm, average.log
        if self.turns.there(self._round):
            for number in np.flatnonzero(self.coins):
                own = self._direction(int(number), self._before)
                kinds = {n: v.dtype for n, v in self._before.items()}
                sent = {n: (v + length * own[n]).astype(kinds[n]) for n, v in self._before.items()}
                average.add(1, sent)
        average.log = log  # what is logged is of real clients

    def _read(self, values: Mapping[str, Array]) -> None:
        if self._mechanism is None:
            return
        moved = {n: values[n].astype(np.float64) - old for n, old in self._before.items()}
        seen = np.zeros(len(self.coins))
        for number in range(len(seen)):
            own = self._direction(number, moved)
            seen[number] = sum(float((moved[n] * own[n]).sum()) for n in own)
        seen *= self._divisor / self._mechanism.clip_norm
        self._take(seen, float(self.turns.there(self._round)))
        self._before = {}

    def _take(self, seen: np.ndarray, there: float) -> None:
        """Add a round's readings [canary], in clips; there: 1 where canaries took part."""
        weights: tuple[float, ...] = (1.0,)
        correlated = over_rounds(self._mechanism) if self._mechanism is not None else None
        if correlated is not None:
            weights = correlated.coefficients
            norm = float(column_norms(weights, correlated.rounds)[self._round])
            seen, there = seen / norm, there / norm
        self._past.appendleft((seen, there))
        while len(self._past) > len(weights):
            self._past.pop()
        pairs = list(zip(weights, self._past, strict=False))
        white = np.sum([weight * own for weight, (own, _) in pairs], axis=0)
        mean = sum(weight * turn for weight, (_, turn) in pairs)
        self.scores += white * mean
        self.energy += mean**2
        self.rounds += 1

    def _direction(self, number: int, values: Mapping[str, Array]) -> dict[str, Array]:
        """Return the unit direction, the same every time, made anew: many do not fit in memory."""
        drawn = generator(self.seed, "canary client", number)
        parts = {n: torch.randn(v.shape, generator=drawn).numpy() for n, v in values.items()}
        length = math.sqrt(sum(float(np.square(part).sum()) for part in parts.values()))
        return {name: part / length for name, part in parts.items()}
