"""Pairs taken apart: of two texts that were encoded together, each as if it had been by itself."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from fedbert.data.batches import Batch, Encoded
from fedbert.errors import InputError

Ragged = tuple[np.ndarray, np.ndarray]
"""Tokens [token] and offsets [example + 1], as in `Encoded`."""


@dataclass(frozen=True)
class PairFrame:
    """How a tokenizer frames two texts: start, first, `between` times end, second, end.

    start, end: ids that frame a text by itself, too. between: 1 of BERT, 2 of RoBERTa. pad: the id
    of padding.
    """

    start: int
    end: int
    between: int
    pad: int

    @property
    def middle(self) -> tuple[int, ...]:
        """The ids between two texts."""
        return (self.end,) * self.between

    def halves(self, encoded: Encoded) -> tuple[Encoded, Encoded]:
        """Return first and second texts of pairs, each as its own example with all types 0.

        They are what the tokenizer makes of each text alone, cut off where the pair was cut.

        Raises:
            ValueError: for an example that is no pair.
        """
        found = self._apart(encoded.tokens, encoded.token_types, encoded.offsets)
        first, second = (
            replace(
                encoded,
                tokens=tokens,
                token_types=np.zeros_like(tokens),
                offsets=offsets,
                first_texts=None,
                cut=None,
            )
            for tokens, offsets in found
        )
        return first, second

    def halves_of(self, batch: Batch) -> tuple[Batch, Batch]:
        """Return the same of a batch of pairs, each half padded on the right.

        Raises:
            ValueError: as `halves`.
        """
        real = batch.attention_mask.bool()
        offsets = np.concatenate(([0], real.sum(1).cumsum(0).cpu().numpy()))
        tokens, types = (t[real].cpu().numpy() for t in (batch.input_ids, batch.token_type_ids))
        first, second = (self._padded(*half, batch) for half in self._apart(tokens, types, offsets))
        return first, second

    def _padded(self, tokens: np.ndarray, offsets: np.ndarray, batch: Batch) -> Batch:
        """Return one half of a batch's pairs as a batch on the same device."""
        lengths = torch.from_numpy(np.diff(offsets))
        longest = int(lengths.max()) if len(lengths) else 1
        mask = torch.arange(longest)[None, :] < lengths[:, None]
        ids = torch.full(mask.shape, self.pad, dtype=torch.int64)
        ids[mask] = torch.from_numpy(tokens)
        made = Batch(ids, mask.long(), torch.zeros_like(ids), batch.labels, batch.index)
        return made.to(batch.input_ids.device)

    def _apart(
        self, tokens: np.ndarray, types: np.ndarray, offsets: np.ndarray
    ) -> tuple[Ragged, Ragged]:
        """Return first and second texts of ragged pairs, as ragged tokens."""
        seconds = self._seconds(tokens, types, offsets)
        first = _cut(tokens, offsets[:-1], seconds - self.between + 1)  # with the end after it
        second = _cut(tokens, seconds - 1, offsets[1:])  # the end before it becomes its start
        second[0][second[1][:-1]] = self.start
        return first, second

    def _seconds(self, tokens: np.ndarray, types: np.ndarray, offsets: np.ndarray) -> np.ndarray:
        """Return where each second text begins [example]: by its type, else after the first middle.

        Of a model of one type, which tells the texts apart by ids alone, a text that itself spells
        out the middle is cut there.
        """
        place, nowhere = np.arange(len(tokens)), len(tokens)
        example = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        ends = np.append(tokens == self.end, np.zeros(self.between, dtype=bool))
        middle = np.logical_and.reduce([ends[i : i + len(tokens)] for i in range(self.between)])
        middle &= place + self.between < offsets[1:][example]  # the last end closes the second text
        typed, after = (np.full(len(offsets) - 1, nowhere) for _ in range(2))
        np.minimum.at(typed, example[types > 0], place[types > 0])
        np.minimum.at(after, example[middle], place[middle] + self.between)
        found = np.where(typed < nowhere, typed, after)
        if (found == nowhere).any():
            raise ValueError("expected two texts in each example, got one")
        return found


def pair_frame(tokenizer: Any) -> PairFrame:
    """Return how a tokenizer frames pairs.

    Raises:
        InputError: for one that does so in another way than those of BERT and RoBERTa.
    """
    (alone,), (both,) = tokenizer([""])["input_ids"], tokenizer([""], [""])["input_ids"]
    if len(alone) == 2:
        frame = PairFrame(alone[0], alone[1], len(both) - 2, tokenizer.pad_token_id)
        if frame.between in (1, 2) and both == [frame.start, *frame.middle, frame.end]:
            return frame
    raise InputError(
        "message: expected a tokenizer that frames pairs as BERT's or RoBERTa's does, got one that "
        f'makes {alone} of no text and {both} of two: pairs = "together" needs none'
    )


def _cut(tokens: np.ndarray, begins: np.ndarray, ends: np.ndarray) -> Ragged:
    """Return the tokens from `begins` to `ends` [example], ragged."""
    lengths = ends - begins
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    flat = np.repeat(begins - offsets[:-1], lengths) + np.arange(offsets[-1])
    return tokens[flat], offsets
