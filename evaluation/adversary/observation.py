"""Observation: a finished cell as the judges see it; messages, their truth, public text."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from evaluation.adversary.one_message import SentMessages
from evaluation.adversary.transcript import Transcript, TranscriptEntry, same_values
from evaluation.grid.spec import Cell
from fedbert.data.batches import Batch, mask_tokens
from fedbert.micro_batches import OwnWidth
from fedbert.prepare import Prepared
from fedbert.seeding import generator
from fedbert.trainer import Trained
from privacy.defence import Defence


@dataclass(frozen=True)
class Observation:
    """A finished cell as the judges see it: the transcript, and the truth behind it."""

    cell: Cell
    prepared: Prepared
    defence: Defence
    trained: Trained
    transcript: Transcript
    sent: SentMessages | None = None  # of a training by one message

    @property
    def special(self) -> list[int]:
        """The special tokens' ids."""
        return list(self.prepared.vocabulary.special)

    def batch(self, each: TranscriptEntry) -> Batch:
        """Return the batch behind a message, as wide as that."""
        batch = self.prepared.clients[each.message.client].batch(each.message.step)
        width = each.message.attention_mask.shape[1]
        if width == batch.attention_mask.shape[1]:
            return batch
        return OwnWidth(self.prepared.vocabulary.pad, width).whole(batch)

    def words(self) -> np.ndarray:
        """Return how often each token occurs in the pool, specials never [vocab]."""
        tokens = self.prepared.pool.tokens
        return np.bincount(tokens[~np.isin(tokens, self.special)])


def auxiliary_texts(
    prepared: Prepared, seed: int
) -> tuple[tuple[np.ndarray, ...] | None, tuple[np.ndarray, ...] | None]:
    """Return text of the same kind that nobody trained on, and its token types.

    That is what the coin left out of the pool; for masked-LM masked once, as E is shown its text.
    """
    if prepared.members is None:
        return None, None
    pool = prepared.pool.take(np.flatnonzero(~prepared.members))
    if len(pool) == 0:
        return None, None
    tokens, v = pool.tokens, prepared.vocabulary
    if prepared.task.kind == "mlm":
        rest = torch.from_numpy(tokens)[None]
        none = torch.zeros(1, dtype=torch.int64)
        batch = Batch(rest, torch.ones_like(rest), torch.zeros_like(rest), rest, none)
        draws = generator(seed, "auxiliary")
        masked = mask_tokens(batch, v.mask, v.size, v.special, draws)
        tokens = masked.input_ids[0].numpy()
    ends = pool.offsets[1:-1]
    return tuple(np.split(tokens, ends)), tuple(np.split(pool.token_types, ends))


def same_parts(entries: Sequence[TranscriptEntry]) -> Iterator[list[TranscriptEntry]]:
    """Yield neighbouring messages whose senders started from the very same values."""
    group: list[TranscriptEntry] = []
    for each in entries:
        if group and not same_values(group[0].parts, each.parts):
            yield group
            group = []
        group.append(each)
    if group:
        yield group
