"""Empty T, where clients keep all layers: what the server is sent goes back as it came."""

from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from fedbert.config import Config
from fedbert.messages import (
    Array,
    ClipFactors,
    ExampleNorms,
    HiddenGradient,
    HiddenStates,
    SmashedData,
    SmashedGradient,
    to_array,
    to_tensor,
)
from fedbert.pooling import through_mean
from fedbert.split import Body


class Passing:
    """A body without layers, for any number of clients."""

    def __init__(self, config: Config, count: int, body: Body) -> None:
        """Serve so many clients; body: T, which may pool."""
        self.frozen, self.count, self.body = config.model.freeze_embeddings, count, body
        self._masks: dict[int, Tensor] = {}

    def restart(self, values: Mapping[str, Array]) -> None:
        """Do nothing: there is no parameter."""

    def forward(self, messages: Sequence[SmashedData]) -> list[HiddenStates]:
        """Return every client's A as its Z."""
        if not self.body.mean:
            return [HiddenStates(m.client, m.round, m.step, m.activations) for m in messages]
        self._masks = {m.client: to_tensor(m.attention_mask) for m in messages}
        each = [self.body.pool(to_tensor(m.activations), self._masks[m.client]) for m in messages]
        return [
            HiddenStates(m.client, m.round, m.step, to_array(z))
            for m, z in zip(messages, each, strict=True)
        ]

    def backward(self, messages: Sequence[HiddenGradient], rate: float) -> list[SmashedGradient]:
        """Return every G_Z as G_A; none where E is frozen."""
        if self.frozen:
            return []
        return [SmashedGradient(m.client, m.round, m.step, self._back(m)) for m in messages]

    def _back(self, message: HiddenGradient) -> Array:
        if not self.body.mean:
            return message.gradient
        return to_array(through_mean(to_tensor(message.gradient), self._masks[message.client]))

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
