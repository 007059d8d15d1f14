"""Canary clients in DP-FedAvg: each sends a random direction, and the averages are searched for it.

Random directions of many values are all but orthogonal, to each other and to what real clients
send, so that one training holds many canaries. Half of them, by fair coins, send nothing: a
removed client is one whose contribution is zero. The adversary sees the values of every round, as
any client does.

Reference: Andrew, Kairouz, Oh, Oprea, McMahan, Suriyakumar (2024), "One-shot empirical privacy
estimation for federated learning", for the canaries; the bounds are those of `one_run`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from evaluation.auditing.gaussian_bounds import gaussian_epsilon_bound, one_run_gaussian_epsilon
from evaluation.auditing.verdict import Claim, Finding
from evaluation.metrics.one_run_gaussian import right_guesses
from fedbert.config import Config
from fedbert.errors import InputError, expect
from fedbert.fleet import InProcess
from fedbert.messages import Array, ClientParts, ClientUpdate
from fedbert.noise import simulated
from fedbert.prepare import Prepared
from fedbert.seeding import derive, generator, numpy_rng
from fedbert.strategies import client_name
from fedbert.trainer import train
from privacy.accountants import gaussian_epsilon
from privacy.defence import Defence
from privacy.dp_fedavg import DPFedAvg

LENGTH = 10.0  # of a canary's update, in clips
GUESSED = 0.2
SIGNIFICANCE = 0.05


class CanaryClient:
    """A client whose update is its own direction, far too long; or nothing."""

    def __init__(self, number: int, there: bool, length: float, seed: int, held: int = 1) -> None:
        """Make a client; `there`: how its coin fell. held: examples that it is said to hold."""
        self.number, self.there, self.length, self.seed = number, there, length, seed
        self.held = held
        self.along = 0.0  # how far the averages have moved along the direction so far
        self._values: dict[str, Array] = {}

    def start(self, parts: ClientParts) -> None:
        """Take the round's values, and look what the last round did."""
        self.look(parts.tensors)

    def look(self, values: Mapping[str, Array]) -> None:
        """Add up how far values have moved along the direction since the last look."""
        own = self._direction(values)
        if self._values:
            self.along += sum(float(((values[n] - self._values[n]) * own[n]).sum()) for n in own)
        self._values = dict(values)

    def train(self, rates: list[float]) -> None:
        """Do nothing."""

    def update(self, round_: int) -> ClientUpdate:
        """Return the values it was sent, moved along the direction if it is there."""
        tensors = self._values
        if self.there:
            own = self._direction(tensors)
            kinds = {name: value.dtype for name, value in tensors.items()}
            tensors = {n: (v + self.length * own[n]).astype(kinds[n]) for n, v in tensors.items()}
        return ClientUpdate(self.number, round_, self.held, dict(tensors), {})

    def mean_loss(self) -> float:
        """Return 0: it has no examples."""
        return 0.0

    def report(self) -> dict[str, Any]:
        """Return no logs."""
        return {}

    def snapshot(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return nothing that it carries: it stays as it is."""
        return {}, {"logs": {}}

    def restore(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Do nothing."""

    def leave(self) -> None:
        """Do nothing."""

    def _direction(self, values: Mapping[str, Array]) -> dict[str, Array]:
        """Return the unit direction, the same every time, made anew: many do not fit in memory."""
        drawn = generator(self.seed, "canary client", self.number)
        parts = {n: torch.randn(v.shape, generator=drawn).numpy() for n, v in values.items()}
        length = math.sqrt(sum(float(np.square(part).sum()) for part in parts.values()))
        return {name: part / length for name, part in parts.items()}


class CanaryClients:
    """The default fleet, some of whose clients are canaries."""

    def __init__(self, canaries: Mapping[str, CanaryClient]) -> None:
        """Hold the canaries by the name that the fleet knows them under."""
        self.inner, self.canaries = InProcess(), dict(canaries)

    def spawn(self, name: str, factory: Callable[[], Any]) -> None:
        """Make the party, or put the canary in its place."""
        canary = self.canaries.get(name)
        self.inner.spawn(name, factory if canary is None else lambda: canary)

    def call(self, name: str, method: str, *arguments: Any) -> Any:
        """Call the party's method."""
        return self.inner.call(name, method, *arguments)

    def retire(self, name: str) -> None:
        """Forget the party."""
        self.inner.retire(name)

    def close(self) -> None:
        """Forget all parties."""
        self.inner.close()


def audit_federation(
    config: Config,
    prepared: Prepared,
    defence: Defence,
    count: int,
    delta: float,
    seed: int,
    claimed_noise: float | None = None,
) -> list[Finding]:
    """Return what canary clients in a federated training show of its claim about clients.

    The claim is that of all rounds under `claimed_noise` (None: the noise multiplier of the
    defence). Two findings: with a threshold fixed beforehand, each canary a sample of its own,
    which presumes that the noise of every value is drawn by itself; and by the run, which does not.

    Raises:
        InputError: for another strategy than fedavg, frozen embeddings, sampled clients, or a
            defence without DP-FedAvg.
    """
    mechanism = defence.update
    if not isinstance(mechanism, DPFedAvg):
        raise InputError(f"expected DP-FedAvg on the updates, got {type(mechanism).__name__}")
    strategy = config.training.strategy
    expect(strategy == "fedavg", "strategy fedavg", "strategy", strategy)
    expect(not config.model.freeze_embeddings, "trained embeddings", "freeze_embeddings", True)
    few = config.training.clients_per_round
    expect(few is None, "all clients in every round", "clients_per_round", few)
    expect(count >= 10, "count >= 10", "count", count)
    real = len(prepared.clients)
    coins = numpy_rng(seed, "canary clients").random(count) < 0.5
    length = LENGTH * mechanism.clip_norm
    held = len(prepared.clients[0].encoded)
    made = [CanaryClient(real + i, bool(coins[i]), length, seed, held) for i in range(count)]
    stand_ins = tuple(replace(prepared.clients[0], client=canary.number) for canary in made)
    everybody = replace(prepared, clients=(*prepared.clients, *stand_ins))
    wider = replace(config, data=replace(config.data, clients=real + count))
    fleet = CanaryClients({client_name(canary.number): canary for canary in made})
    noise = simulated(derive(seed, "canary clients"), wider, everybody, defence)
    trained = train(wider, everybody, defence, fleet=fleet, noise=noise)
    for canary in made:
        canary.look(trained.state.values)
    scores = np.array([canary.along for canary in made]) * (real + count) / mechanism.clip_norm
    rounds = config.training.rounds
    claimed = claimed_noise or mechanism.noise_multiplier
    claim = Claim(gaussian_epsilon(claimed, rounds, delta), delta, gaussian=True)
    return [_fixed(scores, coins, rounds, claim), _by_run(scores, coins, claim)]


def _fixed(scores: np.ndarray, coins: np.ndarray, rounds: int, claim: Claim) -> Finding:
    """Return what a threshold half way shows: a canary moves the sums by `rounds` clips."""
    hits, alarms = (int((scores[side] >= rounds / 2).sum()) for side in (coins, ~coins))
    there, absent = int(coins.sum()), int((~coins).sum())
    shown, most = (
        gaussian_epsilon_bound(right, there, wrong, absent, claim.delta, SIGNIFICANCE)
        for right, wrong in ((hits, alarms), (there, 0))
    )
    how = f"{there} canary clients there, {absent} not; threshold half way"
    what = "DP-FedAvg, every round seen, by clients"
    return Finding(what, claim, shown, most, min(there, absent), SIGNIFICANCE, how)


def _by_run(scores: np.ndarray, coins: np.ndarray, claim: Claim) -> Finding:
    """Return what one training shows without a word about how noise is drawn."""
    count = len(coins)
    guesses = max(2, int(GUESSED * count))
    right = right_guesses(scores, coins, guesses)
    shown, most = (
        one_run_gaussian_epsilon(count, guesses, v, claim.delta, SIGNIFICANCE)
        for v in (right, guesses)
    )
    how = f"{guesses} of {count} canary clients guessed, {right} rightly"
    what = "DP-FedAvg, every round seen, by the run"
    return Finding(what, claim, shown, most, count, SIGNIFICANCE, how)
