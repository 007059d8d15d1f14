"""Embedding service: a released model as vectors of texts, by pooling."""

from dataclasses import dataclass, field

import numpy as np
import torch

from attacks.pooled.knowledge import Texts
from fedbert.config import Config
from fedbert.data.batches import Batch
from fedbert.setting_types import ONE_MESSAGE
from fedbert.split import SplitBert, answering

POOLINGS = ("mean", "cls")
BATCH = 64


def poolings_of(config: Config) -> tuple[str, ...]:
    """Return the poolings that give vectors of their own; of one message's one row all are alike.

    >>> poolings_of(Config())
    ('mean', 'cls')
    """
    return POOLINGS[:1] if config.training.strategy == ONE_MESSAGE else POOLINGS


@dataclass(frozen=True)
class EmbeddingService:
    """A released model as an embedding service. What it was asked once it remembers."""

    split: SplitBert
    pad: int
    separator: int | None
    _known: dict[bytes, np.ndarray] = field(default_factory=dict)

    def vectors(self, texts: Texts, pooling: str) -> np.ndarray:
        """Return the vectors [text, hidden] of texts (token ids [seq], specials included).

        "mean": the mean of the last hidden states of all tokens; "cls": that of the first token.
        """
        texts = [np.asarray(text, dtype=np.int64) for text in texts]
        new = {text.tobytes(): text for text in texts if text.tobytes() not in self._known}
        order = sorted(new.values(), key=len)
        for start in range(0, len(order), BATCH):
            some = order[start : start + BATCH]
            self._known.update(zip((t.tobytes() for t in some), self._asked(some), strict=True))
        column = POOLINGS.index(pooling)
        width = self.split.whole.config.hidden_size
        rows = [self._known[text.tobytes()][column] for text in texts]
        return np.stack(rows) if rows else np.zeros((0, width), dtype=np.float32)

    def _asked(self, texts: Texts) -> np.ndarray:
        """Return the vectors [text, pooling, hidden] of some texts."""
        longest = max(len(text) for text in texts)
        ids = np.full((len(texts), longest), self.pad)
        mask = np.zeros_like(ids)
        for row, text in enumerate(texts):
            ids[row, : len(text)], mask[row, : len(text)] = text, 1
        after = np.cumsum(ids == self.separator, axis=1) - (ids == self.separator) > 0
        two = self.split.whole.config.model_type == "bert"  # RoBERTa has one type
        types = (after & two & (mask == 1)).astype(np.int64)
        nothing = np.zeros(len(texts), dtype=np.int64)
        parts = (torch.from_numpy(part) for part in (ids, mask, types, nothing, nothing))
        batch = Batch(*parts).to(self.split.device)
        with answering(self.split):
            hidden = self.split.states(batch).float()
        weight = batch.attention_mask[:, :, None].float()
        mean = (hidden * weight).sum(1) / weight.sum(1)
        found: np.ndarray = torch.stack([mean, hidden[:, 0]], 1).cpu().numpy()
        return found
