"""Canary clients beside a federation's own: each adds a random direction to the sum, or nothing.

A canary is one client more: its update is clipped and summed as every client's, before the noise
that the sum gets in any case, and the divisor stays the number of the real ones. So a training
whose canaries' coins all say "not there" is, digit for digit, the training without canaries.

Directions are at right angles to each other, and, as random ones of many values, all but so to
what real clients send, so that one training holds many canaries. The first ones keep their coins,
for the claim about the whole training; further ones flip a new coin in each round, for the round's.

Reference: Andrew, Kairouz, Oh, Oprea, McMahan, Suriyakumar (2024), "One-shot empirical privacy
estimation for federated learning".
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from evaluation.auditing.canaries.directions import Directions
from evaluation.auditing.canaries.fresh_coins import COARSE, FreshCoins
from evaluation.metrics.canary_readings import Readings
from fedbert.averaging import Noised
from fedbert.config import Config
from fedbert.errors import InputError
from fedbert.messages import Array
from fedbert.round import SERVER
from fedbert.schedule import participations
from fedbert.server import Server
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


def noise_in_clips(now: Mechanism, first: Mechanism, claimed: float) -> float:
    """Return the claim's standard deviation on a round's sum, in clips of that round.

    now, first: the mechanism of the round, and that which the training began with. Of an adaptive
    clip a part of the claim pays for the count.
    """
    if not isinstance(now, AdaptiveDPFedAvg):
        return claimed
    bit = first.bit_std if isinstance(first, AdaptiveDPFedAvg) else now.bit_std
    return float((claimed**-2 - (2.0 * bit) ** -2) ** -0.5)


class PlantedClients:
    """Canary clients of one training: watches its server, adds them to sums, reads the averages.

    coins [canary] bool: which are there, of those that keep their coin. scores [canary]: the sum
    over rounds of what an adversary who sees every round's values reads of each, in clips;
    `energy`: what a canary that is there has of it in the mean. Noise that is correlated over
    rounds is made independent first. fresh: further canaries, and who hears of all readings.
    """

    def __init__(
        self, coins: np.ndarray, seed: int, turns: Turns, fresh: FreshCoins | None = None
    ) -> None:
        """Hold the canaries; seed: of their directions."""
        self.coins, self.seed, self.turns, self.fresh = coins, seed, turns, fresh
        self.scores, self.energy, self.rounds = np.zeros(len(coins)), 0.0, 0
        self._server: Server | None = None
        self._first: Mechanism | None = None
        self._round: _Round | None = None
        self._number = 0
        self._past: deque[_Rows] = deque()

    def met(self, name: str, party: Any) -> None:
        """Know the server."""
        if name == SERVER:
            self._server, self._first = party, party.mechanism

    def before(self, name: str, method: str, arguments: tuple[Any, ...]) -> None:
        """Add the canaries before a round is averaged."""
        if name != SERVER or self._server is None:
            return
        if method == "open_round":
            self._number = int(arguments[0])
        if method == "close_round":
            self._round = self._plant(self._server)

    def after(self, name: str, method: str, arguments: tuple[Any, ...]) -> None:
        """Read the new averages."""
        if (name, method) == (SERVER, "close_round") and self._server is not None:
            if self._round is not None:
                self._read(self._round, self._server.values())
            self._round = None

    def _plant(self, server: Server) -> "_Round":
        average = server.average
        if not isinstance(average, Noised):
            raise InputError("expected a noised average of updates, got none")
        base, there = dict(average.base), self.coins & self.turns.there(self._number)
        more = 0 if self.fresh is None else self.fresh.count
        if self.fresh is not None:
            there = np.concatenate([there, self.fresh.of(more, self._number)])
        sizes = {name: value.size for name, value in base.items()}
        directions = Directions(self.seed, len(self.coins) + more, sizes)
        mechanism, log = summed(average.mechanism), average.log
        length = LENGTH * mechanism.clip_norm
        for number in np.flatnonzero(there):
            sent = {
                n: (v + length * directions.part(int(number), n).reshape(v.shape)).astype(v.dtype)
                for n, v in base.items()
            }
            average.add(1, sent)
        average.log = log  # what is logged is of real clients
        return _Round(base, directions, there, mechanism, average.divisor)

    def _read(self, own: "_Round", values: Mapping[str, Array]) -> None:
        clip = own.mechanism.clip_norm / own.divisor  # of one update in the average
        first = own.mechanism if self._first is None else self._first
        claimed = summed(first).noise_multiplier if self.fresh is None else self.fresh.claimed
        std = noise_in_clips(own.mechanism, first, claimed)
        seen, fine, counts = (np.zeros(len(own.there)) for _ in range(3))
        for name, old in own.base.items():
            moved = own.directions.sums(name, values[name].astype(np.float64) - old) / clip
            seen += moved
            rounding = float(np.finfo(old.dtype).eps) * float(np.abs(old).max(initial=0.0))
            if rounding <= COARSE * std * clip:
                fine += moved
                counts += own.directions.sizes[name]
        share = np.sqrt(counts / own.directions.total)  # of a direction's length
        fine = np.divide(fine, share, out=np.full(len(fine), np.nan), where=share > 0)
        self._take(own, seen, fine / std, own.there * share / std)

    def _take(self, own: "_Round", clips: np.ndarray, seen: np.ndarray, known: np.ndarray) -> None:
        """Take in a round's readings [canary], in clips; seen, known in the claim's deviations."""
        weights: tuple[float, ...] = (1.0,)
        norm = 1.0
        correlated = over_rounds(own.mechanism)
        if correlated is not None:
            weights = correlated.coefficients
            norm = float(column_norms(weights, correlated.rounds)[self._number])
        lasting = len(self.coins)
        turn = float(self.turns.there(self._number)) / norm
        self._past.appendleft(_Rows(seen / norm, known / norm, clips[:lasting] / norm, turn))
        while len(self._past) > len(weights):
            self._past.pop()
        pairs = list(zip(weights, self._past, strict=False))
        white = np.sum([weight * past.lasting for weight, past in pairs], axis=0)
        mean = sum(weight * past.turn for weight, past in pairs)
        self.scores += white * mean
        self.energy += mean**2
        self.rounds += 1
        if self.fresh is not None:
            white = np.sum([weight * past.seen for weight, past in pairs], axis=0)
            earlier = np.sum([weight * past.known for weight, past in pairs[1:]], axis=0)
            fresh = np.arange(len(own.there)) >= lasting
            known = weights[0] * known / norm
            self.fresh.tell(Readings(SERVER, white - earlier, white, known, own.there, fresh))


@dataclass(frozen=True)
class _Round:
    """One round with its canaries in the sum; there [canary] bool: which of them all."""

    base: Mapping[str, Array]
    directions: Directions
    there: np.ndarray
    mechanism: Summing
    divisor: int


@dataclass(frozen=True)
class _Rows:
    """A round over its column's length: seen, known [canary] in deviations of the claim's noise.

    lasting [canary]: readings of those that keep their coin, in clips; turn: what one there adds.
    """

    seen: np.ndarray
    known: np.ndarray
    lasting: np.ndarray
    turn: float
