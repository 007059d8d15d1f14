"""Client data: the examples a client trains on, and the batch of every step as a pure function."""

from dataclasses import dataclass

import numpy as np

from fedbert.data.batches import Batch, Encoded, collate, epoch_order, mask_tokens
from fedbert.seeding import coins, generator
from privacy.randomness.source import NoiseSource


@dataclass(frozen=True)
class Vocabulary:
    """What masking and padding need to know of a tokenizer."""

    size: int
    pad: int
    mask: int
    special: tuple[int, ...]


@dataclass(frozen=True)
class ClientData:
    """One client's examples, and the batch that each of its steps sees: a pure function.

    pool_positions [example]: each example's position in the pool that the clients were dealt from;
    None: the pool is this client's own.
    poisson: each step draws every example by itself with `sample_rate`, as DP-SGD's accounting
    presumes; a batch may then be empty. coins: where from; None where nobody can tell.
    """

    client: int
    encoded: Encoded
    vocabulary: Vocabulary
    batch_size: int
    seed: int
    pool_positions: np.ndarray | None = None
    poisson: bool = False
    coins: NoiseSource | None = None

    @property
    def in_pool(self) -> np.ndarray:
        """Return each example's position in the pool [example]."""
        own = self.pool_positions
        return np.arange(len(self.encoded)) if own is None else own

    @property
    def sample_rate(self) -> float:
        """Return the chance of each example to be in a step's batch (of batch_size, expected)."""
        return min(1.0, self.batch_size / len(self.encoded))

    @property
    def steps_per_epoch(self) -> int:
        """Return how many steps see every example once."""
        return -(-len(self.encoded) // self.batch_size)

    def releases(self, steps: int) -> int:
        """Return the most times that one example is sent in so many steps."""
        return steps if self.poisson else -(-steps // self.steps_per_epoch)

    def seen(self, steps: int) -> np.ndarray:
        """Return which examples any of so many steps saw [example]; all where coins are unknown."""
        if self.poisson and self.coins is None:
            return np.full(len(self.encoded), steps > 0)
        found = np.zeros(len(self.encoded), dtype=bool)
        for step in range(steps if self.poisson else min(steps, self.steps_per_epoch)):
            found[self.chosen(step)] = True
        return found

    def chosen(self, step: int) -> np.ndarray:
        """Return which examples the client's running step sees [batch].

        Raises:
            ValueError: of a training whose coins are not known here.
        """
        if self.poisson:
            if self.coins is None:
                raise ValueError(f"expected the coins of client {self.client}, got none")
            draws = self.coins.decided("poisson", self.client, step)
            return np.flatnonzero(draws.bernoulli(self.sample_rate, (len(self.encoded),)))
        epoch, place = divmod(step, self.steps_per_epoch)
        order = epoch_order(len(self.encoded), generator(self.seed, "data", self.client, epoch))
        return order[place * self.batch_size : (place + 1) * self.batch_size]

    def batch(self, step: int) -> Batch:
        """Return the batch of the client's running step; masked-LM: freshly masked each time."""
        batch = collate(self.encoded, self.chosen(step), self.vocabulary.pad)
        if self.encoded.task.kind != "mlm" or len(batch) == 0:
            return batch
        v = self.vocabulary
        seed = coins(self.seed, self.coins if self.poisson else None)
        draws = generator(seed, "mask", self.client, step)
        return mask_tokens(batch, v.mask, v.size, v.special, draws)
