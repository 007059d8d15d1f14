"""Empty T, where clients keep all layers: what the server is sent goes back as it came."""

from collections.abc import Mapping, Sequence

import numpy as np

from fedbert.config import Config
from fedbert.messages import (
    Array,
    ClipFactors,
    ExampleNorms,
    HiddenGradient,
    HiddenStates,
    SmashedData,
    SmashedGradient,
)


class Passing:
    """A body without layers, for any number of clients."""

    def __init__(self, config: Config, count: int) -> None:
        """Serve so many clients."""
        self.frozen, self.count = config.model.freeze_embeddings, count

    def restart(self, values: Mapping[str, Array]) -> None:
        """Do nothing: there is no parameter."""

    def forward(self, messages: Sequence[SmashedData]) -> list[HiddenStates]:
        """Return every client's A as its Z."""
        return [HiddenStates(m.client, m.round, m.step, m.activations) for m in messages]

    def backward(self, messages: Sequence[HiddenGradient], rate: float) -> list[SmashedGradient]:
        """Return every G_Z as G_A; none where E is frozen."""
        if self.frozen:
            return []
        return [SmashedGradient(m.client, m.round, m.step, m.gradient) for m in messages]

    def norms(self, message: HiddenGradient) -> ExampleNorms:
        """Return that no example's gradient of T measures anything."""
        nothing = np.zeros(len(message.gradient))
        return ExampleNorms(message.client, message.round, message.step, nothing)

    def apply(self, message: ClipFactors, rate: float) -> float:
        """Return that no noise was added."""
        return 0.0

    def values(self) -> list[dict[str, Array]]:
        """Return no parameters of every client."""
        return [{} for _ in range(self.count)]

    def moments(self) -> list[dict[str, Array]]:
        """Return no moments of every client."""
        return [{} for _ in range(self.count)]
