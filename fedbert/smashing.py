"""Smashed data as a client makes them: afresh in each step, from nearest words, or once."""

from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from fedbert.config import Config
from fedbert.data.batches import Batch
from fedbert.data.client_data import ClientData
from fedbert.frozen import Frozen, unvaried
from fedbert.precision import autocast
from fedbert.protect import MechanismLog, protect
from fedbert.seeding import coins, scoped
from fedbert.split import Bottom, position_ids
from privacy.defence import Defence
from privacy.distance_correlation import DistanceCorrelation
from privacy.mechanism import Identity
from privacy.randomness.source import NoiseSource

_ROWS = 8192  # vocabulary rows scored at a time


class Smashing:
    """Makes protected smashed data, and keeps the mechanism's log."""

    def __init__(
        self,
        defence: Defence,
        data: ClientData,
        config: Config,
        noise: NoiseSource,
        frozen: Frozen | None = None,
    ) -> None:
        """Hold a defence, the client's data and its own noise; frozen: E that is not trained."""
        self.defence, self.data, self.config, self.noise = defence, data, config, noise
        self.frozen = frozen
        self.seed = coins(config.seed, None if defence.training is None else noise)
        self.log = MechanismLog()

    def rewritten(self, bottom: Any, batch: Batch, step: int) -> Batch:
        """Return the batch that E is to see: where the defence says so, with the nearest words."""
        if not self.defence.nearest_word or len(batch) == 0:
            return batch
        with torch.no_grad():
            noisy = self._protected(self._smashed(bottom, batch, step), batch, step)
            return replace(batch, input_ids=nearest_words(bottom, batch, noisy))

    def __call__(self, bottom: Any, batch: Batch, *step: int) -> Tensor:
        """Return A [batch, seq, hidden] of a batch as `rewritten`.

        step: its running number, and that of a part of its batch where it has parts.

        It has a graph to E unless that is frozen. Then A is zero at padding, before noise, unless
        words were put in the place of others.
        """
        if len(batch) == 0:
            weight: Tensor = bottom.embeddings.LayerNorm.weight
            return weight.new_zeros(0, batch.input_ids.shape[1], len(weight))
        if self.defence.one_shot and self.frozen is not None:
            return self.frozen.once(self.data, batch, self._first)
        if self.defence.nearest_word and self.frozen is not None:  # other words than the data's
            return unvaried(bottom, batch, self.config, self.defence.training is not None)
        a = self._smashed(bottom, batch, *step)
        return a if self.defence.nearest_word else self._protected(a, batch, *step)

    def _smashed(self, bottom: Any, batch: Batch, *step: int) -> Tensor:
        """Return E's own output."""
        if self.frozen is not None:
            return self.frozen.of(self.data, batch)
        seed, device = self.seed, self.config.training.device
        scope = scoped(seed, "bottom", self.data.client, *step, device=device)
        with scope, autocast(self.config, self.defence.training is not None):
            a: Tensor = bottom(batch)
        return a.float() if a.dtype == torch.bfloat16 else a

    def _protected(self, a: Tensor, batch: Batch, *step: int) -> Tensor:
        """Return A clipped and noised."""
        mechanism = self.defence.smashed
        if isinstance(mechanism, Identity):
            return a
        a, log = protect(mechanism, a, batch.attention_mask, self.noise.draws("smashed", *step))
        self.log += log
        return a

    def _first(self, example: int, a: Tensor, attention_mask: Tensor) -> Tensor:
        """Return an example's A [1, max_length, hidden] as it is sent, now and ever after."""
        draws = self.noise.draws("smashed once", example)
        a, log = protect(self.defence.smashed, a, attention_mask, draws)
        self.log += log
        return a


def pull(penalty: DistanceCorrelation, a: Tensor, batch: Batch) -> Tensor:
    """Return the penalty's gradient by A [batch, seq, hidden] of a batch."""
    free = a.detach().requires_grad_()
    real = batch.attention_mask.bool()
    words = batch.input_ids[real]
    apart = (words[:, None] != words[None, :]).to(a.dtype)
    penalty.penalty(apart, free[real]).backward()
    return torch.zeros_like(a) if free.grad is None else free.grad


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
