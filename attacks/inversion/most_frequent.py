"""Most frequent token everywhere: what every inversion attack is to be better than."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from attacks.attack import Knowledge, Lacks, served
from fedbert.messages import SmashedData


@dataclass(frozen=True)
class MostFrequent:
    """Answers the most frequent token of the auxiliary text everywhere, whatever was sent.

    A baseline: what it recovers, text of this kind gives away by itself. Left out of the count are
    the tokens that most often begin and end a text, which are special ones; of equally frequent
    tokens the lowest id is taken.

    Threat model: anyone who has text like the private one; no message is read but for its mask.
    """

    name: str = "most frequent"
    view: str = "forward"

    def missing(self, knowledge: Knowledge) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        if any(len(text) for text in knowledge.auxiliary or ()):
            return None
        return Lacks(("auxiliary",), "needs `auxiliary`: text like the private one")

    def reconstruct(
        self, messages: Sequence[SmashedData], knowledge: Knowledge, generator: torch.Generator
    ) -> list[np.ndarray]:
        """Return that token's id [batch, seq] of each message, 0 where it is padded.

        Raises:
            InputError: if `missing` says that something is lacking.
        """
        given = served(knowledge.auxiliary, self.missing(knowledge), self.name)
        texts = [text for text in given if len(text)]
        counts = np.bincount(np.concatenate(texts))
        for edge in (0, -1):
            counts[np.bincount([text[edge] for text in texts]).argmax()] = 0
        token = int(counts.argmax())
        return [np.where(message.attention_mask != 0, token, 0) for message in messages]
