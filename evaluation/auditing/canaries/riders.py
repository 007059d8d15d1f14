"""Canaries of one client: the records that they ride on, and what was seen of them."""

from dataclasses import dataclass, field

import numpy as np

from fedbert.config import Config
from fedbert.data.client_data import ClientData
from fedbert.micro_batches import MicroBatch, OwnWidth, micro_batches, own_width
from fedbert.prepare import Prepared
from fedbert.seeding import numpy_rng
from privacy.dp_sgd.mechanism import DPSGD

LENGTH = 10.0  # of a canary's gradient, in clips


@dataclass
class Canaries:
    """The canaries of one client: where they ride, what they are, and what was seen of them.

    records [canary]: positions in the client's data, ascending. coins [canary] bool: whether it is
    there. most: of the training's examples in a part of a step's batch; None: all. widths: of its
    parts; None where a batch is whole.
    coordinates: by party, each canary's among the party's values [canary], or -1.
    seen: per canary the sum over steps of its log-likelihood ratio. there, empty: what lay at the
    canaries' coordinates in the steps that drew them, by coin; drawn: how many draws there were.
    """

    records: np.ndarray
    coins: np.ndarray
    mechanism: DPSGD
    data: ClientData
    rate: float
    length: float
    most: int | None = None
    widths: OwnWidth | None = None
    coordinates: dict[str, np.ndarray] = field(default_factory=dict)
    seen: np.ndarray = field(default_factory=lambda: np.zeros(0))
    there: list[np.ndarray] = field(default_factory=list)
    empty: list[np.ndarray] = field(default_factory=list)
    drawn: int = 0

    def take_apart(self, config: Config, prepared: Prepared) -> None:
        """Take a step's batch apart as a training of these settings does; a sent one is whole."""
        self.most = config.training.micro_batch
        if config.training.strategy not in ("parallel", "sequential"):
            pad = self.data.vocabulary.pad
            self.widths = own_width(config, prepared.split.whole.config, pad)

    def chosen(self, step: int) -> list[np.ndarray]:
        """Return the positions of a step's examples, those of each part by themselves [example]."""
        batch = self.data.batch(step)
        whole = self.widths is None and len(batch) > 0
        parts = [MicroBatch(batch)] if whole else micro_batches(batch, self.most, self.widths)
        return [own.batch.index.numpy() for own in parts] or [np.zeros(0, dtype=np.int64)]

    def take_coordinates(self, party: str, values: int, own: np.ndarray, seed: int) -> None:
        """Give the canaries `own` [canary] bool a coordinate each among a party's values."""
        drawn = numpy_rng(seed, "canary", party).choice(values, int(own.sum()), replace=False)
        self.coordinates[party] = np.full(len(own), -1)
        self.coordinates[party][own] = drawn

    def hear(self, party: str, drawn: np.ndarray, sums: np.ndarray) -> None:
        """Take in a party's noised sum [value] of one step, in clips; drawn: canaries in it."""
        riding = drawn[self.coordinates[party][drawn] >= 0]
        values = sums[self.coordinates[party][riding]]
        self.there.append(values[self.coins[riding]])
        self.empty.append(values[~self.coins[riding]])
        self.drawn += len(riding)
        own = np.flatnonzero(self.coordinates[party] >= 0)
        x = sums[self.coordinates[party][own]]
        std = self.mechanism.noise_multiplier
        odds = np.exp(np.minimum((x - 0.5) / std**2, 700.0))
        self.seen[own] += np.log1p(self.rate * (odds - 1))
