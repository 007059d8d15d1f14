"""Vectors of records: what the public encoder makes of each, pooled; each text is asked once."""

from dataclasses import dataclass, field

import numpy as np
import torch

from fedbert.config import Config
from fedbert.data.batches import Encoded, collate
from fedbert.data.pairs import PairFrame
from fedbert.one_message.comparison import compared
from fedbert.pooling import pooled
from fedbert.precision import autocast
from fedbert.setting_types import Pooling
from fedbert.split import SplitBert, answering

BATCH = 64
KEPT = 400_000
"""The most vectors that are kept: beyond, texts are asked again."""


@dataclass
class Vectors:
    """The pooled vectors of a public encoder E, which is neither trained nor given dropout.

    Shadow models, seeds and defences ask for the same texts: what was asked once is kept.

    frame: how pairs are taken apart, so that the vector of one compares those of its two texts, of
    which each is asked by itself; None: what E makes of each example as it is.
    """

    split: SplitBert
    config: Config
    pad: int
    pooling: Pooling
    frame: PairFrame | None = None
    _known: dict[bytes, np.ndarray] = field(default_factory=dict)

    def of(self, encoded: Encoded) -> np.ndarray:
        """Return the vectors [example, value] float32 of examples: hidden values, or twice as many
        that compare a pair's texts.
        """
        if self.frame is None:
            return self._each(encoded)
        halves = self.frame.halves(encoded)
        found: np.ndarray = compared(*(torch.from_numpy(self._each(h)) for h in halves)).numpy()
        return found

    def _each(self, encoded: Encoded) -> np.ndarray:
        """Return the vectors [example, hidden] float32 that E makes of examples as they are."""
        width = self.split.whole.config.hidden_size
        found = np.empty((len(encoded), width), dtype=np.float32)
        keys = keys_of(encoded)
        new = [i for i, key in enumerate(keys) if key not in self._known]
        if len(self._known) + len(new) > KEPT:
            self._known.clear()
            new = list(range(len(encoded)))
        order = sorted(new, key=lambda i: int(encoded.lengths[i]))
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            for i, vector in zip(some, self._asked(encoded, some), strict=True):
                found[i] = vector
                if len(self._known) < KEPT:
                    self._known[keys[i]] = found[i].copy()
        asked = set(new)
        for i, key in enumerate(keys):
            if i not in asked:
                found[i] = self._known[key]
        return found

    def _asked(self, encoded: Encoded, some: list[int]) -> np.ndarray:
        """Return the vectors [example, hidden] of a few examples of about one length.

        In bf16 too no example's digits depend on the others: each message is of its record alone.
        """
        device = self.config.training.device
        batch = collate(encoded, some, self.pad).to(device)
        with answering(self.split), autocast(self.config, private=True):
            hidden = self.split.bottom.to(device)(batch)
        vectors = pooled(hidden.float(), batch.attention_mask, self.pooling)
        found: np.ndarray = vectors.cpu().numpy()
        return found


def keys_of(encoded: Encoded) -> list[bytes]:
    """Return what tells two examples' inputs apart."""
    ends = encoded.offsets[1:-1]
    ids, types = np.split(encoded.tokens, ends), np.split(encoded.token_types, ends)
    return [a.tobytes() + b.tobytes() for a, b in zip(ids, types, strict=True)]
