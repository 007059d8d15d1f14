"""Canary records beside a training's own in DP-SGD: each adds a chosen gradient, or nothing.

A canary is one record more of a client. Those that keep their coin are drawn into every batch by
another one at the client's sampling rate, for the claim about the whole training. Further ones flip
a new fair coin in each step, and are in it or not: given such coins, what a step claims of one of
them is the trade-off curve of the Gaussian mechanism without sampling.

A canary's gradient is far too long, lies along one coordinate of what the client holds, and is
clipped by the factor that the mechanism makes of its length. Whose coin says "not there" has no
gradient. The sums, the noise and the divisor of the real records stay as they are, so that a
training whose canaries are all absent is, digit for digit, the training without canaries.

The adversary sees what the clients do in every step (all noised gradients).
"""

from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import Tensor

from evaluation.auditing.canaries.fresh_coins import COARSE, FreshCoins
from evaluation.metrics.canary_readings import Readings
from fedbert.errors import InputError, expect
from fedbert.prepare import Prepared
from fedbert.private_step import PrivateStep
from fedbert.round import SERVER
from fedbert.seeding import numpy_rng
from privacy.dp_sgd.mechanism import DPSGD

LENGTH = 10.0  # of a canary's gradient, in clips
MOST = 700.0  # of an exponent


class PlantedRecords:
    """Canary records of one training, dealt to its clients in turn; watches its parties.

    coins [canary] bool: which are there, of those that keep their coin. scores [canary]: the sum
    over steps of each one's log-likelihood ratio, sampling included. fresh: further canaries, and
    who hears of all readings.
    """

    def __init__(
        self,
        coins: np.ndarray,
        seed: int,
        prepared: Prepared,
        mechanism: DPSGD,
        fresh: FreshCoins | None = None,
    ) -> None:
        """Hold the canaries; seed: of their coordinates, and of when they are drawn."""
        self.coins, self.seed, self.mechanism, self.fresh = coins, seed, mechanism, fresh
        self.scores = np.zeros(len(coins))
        self.clients = {data.client: data for data in prepared.clients}
        numbers = np.arange(len(coins) + (0 if fresh is None else fresh.count))
        clients = list(self.clients)
        self.own = {c: numbers[i :: len(clients)] for i, c in enumerate(clients)}
        self._coordinates: dict[int, np.ndarray] = {}
        length = LENGTH * mechanism.clip_norm
        squared = torch.tensor([length**2], dtype=torch.float64)
        self.clipped = float(mechanism.factors(squared)) * length / mechanism.clip_norm

    def met(self, name: str, party: Any) -> None:
        """Put a client's canaries into its steps."""
        if name != SERVER and len(self.own[party.data.client]):
            if party.private is None:
                raise InputError("expected clients under DP-SGD for canary records, got others")
            party.private = StepWithCanaries(party.private, self, party.data.client)

    def before(self, name: str, method: str, arguments: tuple[Any, ...]) -> None:
        """Do nothing."""

    def after(self, name: str, method: str, arguments: tuple[Any, ...]) -> None:
        """Do nothing."""

    def coordinates(self, client: int, values: int) -> np.ndarray:
        """Return where a client's canaries lie among its values [canary], no two at one place.

        Raises:
            InputError: it trains fewer values than it has canaries.
        """
        if client not in self._coordinates:
            count = len(self.own[client])
            told = f"at most {values} canaries a client, as many as values that it trains"
            expect(count <= values, told, "canaries", count)
            drawn = numpy_rng(self.seed, "canary coordinates", client)
            self._coordinates[client] = drawn.choice(values, count, replace=False)
        return self._coordinates[client]

    def step(self, client: int, number: int, gradients: list[Tensor], expected: float) -> None:
        """Add what of a client's canaries was drawn into one step, and read the step.

        gradients: what is released, noised, over `expected`, the batch size that it is divided by.
        """
        own, rate = self.own[client], self.clients[client].sample_rate
        lasting = int((own < len(self.coins)).sum())  # the first of a client's
        where = torch.from_numpy(self.coordinates(client, sum(g.numel() for g in gradients)))
        draws = numpy_rng(self.seed, "canary draws", client, number).random(lasting)
        there = (draws < rate) & self.coins[own[:lasting]]
        if self.fresh is not None:
            new = self.fresh.of(len(own) - lasting, "step", client, number)
            there = np.concatenate([there, new])
        added = np.where(there, self.clipped, 0.0)
        scale, start = self.mechanism.clip_norm / expected, 0
        seen, fine = np.zeros(len(own)), np.zeros(len(own), dtype=bool)
        for gradient in gradients:
            flat = gradient.view(-1)
            mine = (where >= start) & (where < start + len(flat))
            at, numbers = where[mine] - start, mine.numpy()
            flat[at] += torch.from_numpy(added[numbers] * scale).to(flat)
            seen[numbers] = flat[at].double().cpu().numpy() / scale
            rounding = torch.finfo(flat.dtype).eps * expected  # of a sum of so many clips
            fine[numbers] = rounding <= COARSE * self.mechanism.noise_multiplier
            start += len(flat)
        self.scores[own[:lasting]] += self._log_ratio(seen[:lasting], rate)
        if self.fresh is not None:
            std = self.fresh.claimed
            values = np.where(fine, seen, np.nan) / std
            new = np.arange(len(own)) >= lasting
            self.fresh.tell(Readings(str(client), values, values, added / std, there, new))

    def _log_ratio(self, seen: np.ndarray, rate: float) -> np.ndarray:
        """Return the log-likelihood ratio of a step's values, in clips, of a canary being there."""
        exponent = self.clipped * (seen - self.clipped / 2) / self.mechanism.noise_multiplier**2
        return np.log1p(rate * np.expm1(np.clip(exponent, -MOST, MOST)))


class StepWithCanaries:
    """A client's share in DP-SGD with canaries in its sums; else the client's own `PrivateStep`."""

    def __init__(self, inner: PrivateStep, canaries: PlantedRecords, client: int) -> None:
        """Stand in for a client's step."""
        self.inner, self.canaries, self.client = inner, canaries, client
        self.mechanism, self.parameters = inner.mechanism, inner.parameters

    def record(self, owner: Tensor | None = None) -> AbstractContextManager[object]:
        """As the client's own."""
        return self.inner.record(owner)

    def squared_norms(self, batch: int) -> Tensor:
        """As the client's own."""
        return self.inner.squared_norms(batch)

    def keep(self, factors: Tensor) -> None:
        """As the client's own."""
        self.inner.keep(factors)

    def gradients(self, factors: Tensor, *where: int) -> float:
        """As the client's own, and the canaries' clipped gradients beside them."""
        noise = self.inner.gradients(factors, *where)
        found = [p.grad for p in self.parameters.values() if p.grad is not None]
        with torch.no_grad():
            self.canaries.step(self.client, where[-1], found, self.inner.share.expected)
        return noise
