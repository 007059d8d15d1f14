"""Training losses as a client sees them: their mean of a turn, and a trace of each record's."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from fedbert.messages import Array
from fedbert.micro_batches import MicroBatch

EXAMPLES, LOSSES = "trace/examples", "trace/losses"
"""Names of the trace among what a client carries: pool positions, and losses [visit]."""


@dataclass
class Losses:
    """Losses of a client's steps (nats, or squared errors), before the step and with dropout.

    in_pool [example]: each example's position in the pool. traced: whether every example's loss is
    kept, visit by visit. A trace tells of single records what no noise covers: it is part of what
    the client carries, never of a message or an export.
    """

    in_pool: np.ndarray
    traced: bool = False
    total: float = 0.0
    count: int = 0
    visits: list[tuple[Array, Array]] = field(default_factory=list)

    def add(self, own: MicroBatch, mean: Tensor, each: Tensor) -> None:
        """Take in a step's examples: their mean loss, and each one's [batch]."""
        if not len(own.batch):
            return
        self.total += float(mean.detach()) * own.share
        self.count += own.begins
        if self.traced:
            who = self.in_pool[own.batch.index.cpu().numpy()]
            losses = each.detach().cpu().numpy().astype(np.float32)
            fine = np.isfinite(losses)  # of a client that diverges there is none to keep
            self.visits.append((who[fine].astype(np.int64), losses[fine]))

    def diverged(self) -> None:
        """Note that what was trained since the last mean came to no numbers: the mean is NaN."""
        self.total = math.nan

    def mean(self) -> float:
        """Return the mean since the last call."""
        found = self.total / max(self.count, 1)
        self.total, self.count = 0.0, 0
        return found

    def snapshot(self) -> dict[str, Array]:
        """Return the trace as arrays; nothing where none is kept."""
        if not self.visits:
            return {}
        who, losses = (np.concatenate(parts) for parts in zip(*self.visits, strict=True))
        self.visits = [(who, losses)]
        return {EXAMPLES: who, LOSSES: losses}

    def restore(self, arrays: Mapping[str, Array]) -> None:
        """Set what `snapshot` returned."""
        if EXAMPLES in arrays:
            self.visits = [(arrays[EXAMPLES], arrays[LOSSES])]


def traces_of(arrays: Mapping[str, Array]) -> tuple[Array, Array] | None:
    """Return the pool positions and losses [visit] that all clients of a state kept, or None.

    A record's visits stand in the order of their steps.
    """
    kept = [name.removesuffix(EXAMPLES) for name in sorted(arrays) if name.endswith(EXAMPLES)]
    if not kept:
        return None
    both = [np.concatenate([arrays[name + what] for name in kept]) for what in (EXAMPLES, LOSSES)]
    return both[0], both[1]
