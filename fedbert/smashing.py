"""Smashed data as a client makes them: afresh in each step, from nearest words, or once."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fedbert.config import Config
from fedbert.data.batches import Batch, collate
from fedbert.data.client_data import ClientData
from fedbert.precision import autocast
from fedbert.protect import MechanismLog, protect
from fedbert.seeding import scoped
from fedbert.split import Bottom, position_ids
from privacy.defence import Defence
from privacy.mechanism import Identity
from privacy.randomness.source import NoiseSource

_ROWS = 8192  # vocabulary rows scored at a time


class Smashing:
    """Makes protected smashed data, and keeps the mechanism's log."""

    def __init__(
        self, defence: Defence, data: ClientData, config: Config, noise: NoiseSource
    ) -> None:
        """Hold a defence, the client's data, and the client's own noise."""
        self.defence, self.data, self.config, self.noise = defence, data, config, noise
        self.log = MechanismLog()
        self._sent: dict[int, Tensor] = {}  # one-shot: example -> A [max_length, hidden]

    def rewritten(self, bottom: Any, batch: Batch, step: int) -> Batch:
        """Return the batch that E is to see: where the defence says so, with the nearest words."""
        if not self.defence.nearest_word or len(batch) == 0:
            return batch
        with torch.no_grad():
            noisy = self._protected(self._smashed(bottom, batch, step), batch, step)
            return replace(batch, input_ids=nearest_words(bottom, batch, noisy))

    def __call__(self, bottom: Any, batch: Batch, step: int) -> Tensor:
        """Return A [batch, seq, hidden] of a batch as `rewritten`.

        It has a graph to E unless each example is sent once.
        """
        if self.defence.one_shot:
            return self._once(bottom, batch)
        if len(batch) == 0:
            weight: Tensor = bottom.embeddings.LayerNorm.weight
            return weight.new_zeros(0, batch.input_ids.shape[1], len(weight))
        a = self._smashed(bottom, batch, step)
        return a if self.defence.nearest_word else self._protected(a, batch, step)

    def _smashed(self, bottom: Any, batch: Batch, step: int) -> Tensor:
        """Return E's own output."""
        seed, device = self.config.seed, self.config.training.device
        scope = scoped(seed, "bottom", self.data.client, step, device=device)
        with scope, autocast(self.config, self.defence.training is not None):
            a: Tensor = bottom(batch)
        return a.float() if a.dtype == torch.bfloat16 else a

    def _protected(self, a: Tensor, batch: Batch, step: int) -> Tensor:
        """Return A clipped and noised."""
        mechanism = self.defence.smashed
        if isinstance(mechanism, Identity):
            return a
        a, log = protect(mechanism, a, batch.attention_mask, self.noise.draws("smashed", step))
        self.log += log
        return a

    def _once(self, bottom: Any, batch: Batch) -> Tensor:
        """Return the A that each example was given when it was first sent, without dropout.

        Every example is padded to `max_length` before it is noised; a batch shows as many rows as
        its longest needs, so no row of an example is ever drawn twice.
        """
        device = self.config.training.device
        for example in batch.index.tolist():
            if example not in self._sent:
                self._sent[example] = self._first(bottom, example)
        if len(batch) == 0:
            weight: Tensor = bottom.embeddings.LayerNorm.weight
            return weight.new_zeros(0, batch.input_ids.shape[1], len(weight))
        rows = [self._sent[example] for example in batch.index.tolist()]
        return torch.stack(rows)[:, : batch.input_ids.shape[1]].to(device)

    def _first(self, bottom: Any, example: int) -> Tensor:
        """Return an example's protected A [max_length, hidden]."""
        pad, length = self.data.vocabulary.pad, self.config.data.max_length
        alone = collate(self.data.encoded, [example], pad, length).to(self.config.training.device)
        training = bottom.training
        bottom.eval()
        with torch.no_grad(), autocast(self.config, self.defence.training is not None):
            a = bottom(alone).float() if self.config.training.precision == "bf16" else bottom(alone)
        bottom.train(training)
        draws = self.noise.draws("smashed once", example)
        a, log = protect(self.defence.smashed, a, alone.attention_mask, draws)
        self.log += log
        return a[0].cpu()


def nearest_words(bottom: Bottom, batch: Batch, noisy: Tensor) -> Tensor:
    """Return for every real token the word whose row of A lies nearest [batch, seq].

    noisy: rows of A [batch, seq, hidden], cut at the embeddings. Padded positions keep their id.
    Ties go to the lower id. Nearest is in L2, among all words at the token's own position and type.
    """
    e = bottom.embeddings
    places = position_ids(batch.input_ids, bottom.config)
    words, found = e.word_embeddings.weight, batch.input_ids.clone()
    around = e.position_embeddings(places) + e.token_type_embeddings(batch.token_type_ids)
    real = batch.attention_mask.bool()
    keys, group = torch.unique(
        torch.stack([places[real], batch.token_type_ids[real]]), dim=1, return_inverse=True
    )
    rows, base = noisy[real], around[real]  # [token, hidden]
    best = rows.new_full((len(rows),), float("inf"))
    chosen = torch.zeros(len(rows), dtype=torch.int64, device=rows.device)
    for number in range(keys.shape[1]):
        mine = (group == number).nonzero()[:, 0]
        for start in range(0, len(words), _ROWS):
            candidates = e.LayerNorm(words[start : start + _ROWS] + base[mine[0]])
            apart = candidates.square().sum(1) - 2 * rows[mine] @ candidates.T  # [token, word]
            least, which = apart.min(1)
            better = least < best[mine]
            best[mine] = torch.where(better, least, best[mine])
            chosen[mine] = torch.where(better, which + start, chosen[mine])
    found[real] = chosen
    return found
