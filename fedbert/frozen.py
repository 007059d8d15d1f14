"""Frozen E: one for all clients, without dropout; each example's A is computed once and kept."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedbert.config import Config
from fedbert.data.batches import Batch, Encoded, collate
from fedbert.data.client_data import ClientData
from fedbert.kept import Kept, KeptStore, digest_of, key_of, wide
from fedbert.messages import Array, to_tensor
from fedbert.micro_batches import OwnWidth, own_width
from fedbert.precision import autocast
from fedbert.split import Bottom, SplitBert, copied

KEPT_BYTES = 2 * 10**9
"""How much kept A may take, over all clients; of clients beyond it A is computed in each step."""

TOKENS = 4096
"""How many tokens, padding included, go through E at a time where all examples do."""


class Frozen:
    """E of a training that leaves it as it is, and what it made of the clients' examples.

    The parties of one process share it: a simulation computes once what each of them would. What
    an example is turned into depends on its batch by rounding alone, and a client's examples go
    through E in batches of their own, so that a resumed training gets the same bytes.
    """

    def __init__(
        self,
        split: SplitBert,
        config: Config,
        keepers: Collection[int] = (),
        first_token: bool = False,
        private: bool = False,
        store: KeptStore | None = None,
    ) -> None:
        """Copy E.

        keepers: the clients whose A is kept. first_token: that of the first token alone, which
        serves where the head reads no other and nothing stands between. private: each example's
        digits are its own, whoever else the client holds (DP-SGD). store: where what was kept for
        trainings before lies.
        """
        self.private, self.store = private, store
        self._digest: bytes | None = None
        self.config, self.keepers, self.first_token = config, frozenset(keepers), first_token
        memo: dict[int, Any] = {id(split.whole.config): split.whole.config}
        self.bottom: Bottom = copied(split.bottom, memo)
        self.bottom.to(config.training.device).eval().requires_grad_(False)
        self.pool, self.pooled = split.body.pool, split.body.mean
        name_of = {id(p): n for n, p in split.whole.named_parameters()}
        pairs = list(zip(split.bottom.parameters(), self.bottom.parameters(), strict=True))
        self.names: dict[str, nn.Parameter] = {name_of[id(old)]: new for old, new in pairs}
        self.memo = {id(old): new for old, new in pairs} | {id(split.bottom): self.bottom}
        self.benches: list[Any] = []  # what clients left behind, for the next ones
        self._seen: dict[str, Array] = {}
        self._kept: dict[int, Kept] = {}
        self._sent: dict[int, np.ndarray] = {}  # client -> which examples [example] bool

    def start(self, values: Mapping[str, Array]) -> None:
        """Take the values of E that a client was sent: as a rule those that are there."""
        for name, parameter in self.names.items():
            if values[name] is self._seen.get(name):
                continue
            value = to_tensor(values[name], self.config.training.device)
            if not torch.equal(value, parameter):
                with torch.no_grad():
                    parameter.copy_(value)
                self._kept.clear()
                self._sent.clear()
                self._digest = None
            self._seen[name] = values[name]

    def of(self, data: ClientData, batch: Batch) -> Tensor:
        """Return A [batch, seq, hidden] of a client's batch, zeros at padding.

        Of the first token alone [batch, 1, hidden] where that is all that is needed.
        """
        if data.client not in self.keepers:
            a = unvaried(self.bottom, batch, self.config, self.private)
            return a * batch.attention_mask[:, :, None]
        if data.client not in self._kept:
            self._kept[data.client] = self._all(data)
        return self._kept[data.client].of(batch.index, self._wide(batch))

    def once(
        self, data: ClientData, batch: Batch, protect: Callable[[int, Tensor, Tensor], Tensor]
    ) -> Tensor:
        """Return the A [batch, seq, hidden] that each example was given when it was first sent.

        protect: what is done then to example i's A [1, max_length, hidden], which has this mask:
        once for each, whatever room it takes, since its noise must not be drawn twice.
        """
        client, longest = data.client, self.config.data.max_length
        every = client in self.keepers
        if client not in self._sent:
            kept = self._all(data) if every else self._room(data)
            rows = wide(kept.rows)
            own = rows.clone() if every and self.store is not None else rows  # it is written to
            self._kept[client] = replace(kept, rows=own)
            self._sent[client] = np.zeros(len(data.encoded), dtype=bool)
        kept, sent = self._kept[client], self._sent[client]
        for example in batch.index.tolist():
            if sent[example]:
                continue
            length, start = int(kept.lengths[example]), int(kept.first[example])
            rows = kept.rows[start : start + length]
            alone = collate(data.encoded, [example], data.vocabulary.pad, longest)
            alone = alone.to(rows.device)
            clean = rows[None] if every else wide(self._raw(alone))[:, :length]
            padded = F.pad(clean, (0, 0, 0, longest - length))
            rows.copy_(protect(example, padded, alone.attention_mask)[0, :length])
            sent[example] = True
        return kept.of(batch.index, self._wide(batch))

    def _wide(self, batch: Batch) -> int:
        """Return how many rows an example of a batch has; that of the first token is one."""
        return 1 if self.first_token else batch.attention_mask.shape[1]

    def _all(self, data: ClientData) -> Kept:
        """Return A of all examples of a client, from the store where there is one."""
        if self.store is None:
            return self._made(data)
        if self._digest is None:
            training = self.config.training
            mean = self.first_token and self.pooled
            how = (training.precision, training.device, self.private, self.first_token, mean)
            settings = (how, torch.get_num_threads(), self.bottom.config.to_dict())
            self._digest = digest_of(self.bottom.parameters(), settings)
        return self.store.get(key_of(self._digest, data.encoded), lambda: self._made(data))

    def _made(self, data: ClientData) -> Kept:
        """Return A of all examples of a client, computed."""
        kept = self._room(data)
        widths = own_width(self.config, self.bottom.config, data.vocabulary.pad)
        own = widths if self.private else None
        for chosen, width in by_length(data.encoded, own):
            batch = collate(data.encoded, chosen, data.vocabulary.pad, width)
            batch = batch.to(self.config.training.device)
            a = self._raw(batch)
            if self.first_token:  # the mean where the head reads that
                a = self.pool(a, batch.attention_mask)
            if a.dtype != kept.rows.dtype:
                kept = replace(kept, rows=kept.rows.to(a.dtype))
            index = torch.from_numpy(chosen).to(a.device)
            at, real = kept.places(index, int(kept.lengths[index].max()))
            kept.rows[at[real]] = a[:, : at.shape[1]][real]
        return kept

    def _room(self, data: ClientData) -> Kept:
        """Return the places of a client's examples, and zeros in them."""
        device, encoded = self.config.training.device, data.encoded
        lengths = np.ones(len(encoded), np.int64) if self.first_token else encoded.lengths
        first = np.cumsum(lengths) - lengths
        like = next(self.bottom.parameters())
        rows = like.new_zeros(int(lengths.sum()) + 1, self.bottom.config.hidden_size)
        places = (torch.from_numpy(each.copy()).to(device) for each in (first, lengths))
        return Kept(rows, *places)

    def _raw(self, batch: Batch) -> Tensor:
        with torch.no_grad(), autocast(self.config, self.private):
            a: Tensor = self.bottom(batch)
        return a


def unvaried(bottom: Bottom, batch: Batch, config: Config, private: bool = False) -> Tensor:
    """Return A [batch, seq, hidden] without dropout and without a graph."""
    training = bottom.training
    if training:
        bottom.eval()
    with torch.no_grad(), autocast(config, private):
        a: Tensor = bottom(batch)
    if training:
        bottom.train()
    return wide(a)


def by_length(encoded: Encoded, own: OwnWidth | None) -> Iterator[tuple[np.ndarray, int]]:
    """Yield all examples, shorter ones first, in batches of so many TOKENS, and their widths.

    own: under DP-SGD; then all of a batch are of one width, which follows from themselves.
    """
    lengths = np.asarray(encoded.lengths)
    wide = lengths if own is None else own.of(torch.from_numpy(lengths)).numpy()
    order = np.argsort(wide, kind="stable")
    widths, start = wide[order], 0
    for end in range(1, len(order) + 1):
        full = end == len(order) or widths[end] * (end + 1 - start) > TOKENS
        if full or (own is not None and widths[end] != widths[start]):
            yield order[start:end], int(widths[end - 1])
            start = end


def keepers(
    config: Config, width: int, clients: Iterable[ClientData], steps: Mapping[int, int], first: bool
) -> frozenset[int]:
    """Return the clients whose A is kept: those that need an example's twice, while there is room.

    width: of a row of A. steps: how many each client takes in the whole training. first: of each
    example the first token's row alone is kept.
    """
    room, found = KEPT_BYTES, set()
    size = width * (8 if config.training.precision == "float64" else 4)
    for data in clients:
        encoded = data.encoded
        again = steps[data.client] * data.sample_rate > 1
        rows = len(encoded) if first else len(encoded.tokens)
        if encoded.task.kind == "mlm" or not again or rows * size > room:
            continue
        found.add(data.client)
        room -= rows * size
    return frozenset(found)


def frozen_of(
    config: Config,
    split: SplitBert,
    clients: Sequence[ClientData],
    steps: Mapping[int, int],
    private: bool = False,
    store: KeptStore | None = None,
) -> Frozen | None:
    """Return the frozen E that the clients of a training share; None where E is trained.

    private: under DP-SGD. store: of several trainings.
    """
    if not config.model.freeze_embeddings:
        return None
    alone = config.training.strategy in ("centralised", "fedavg")
    first = alone and len(split.body.layers) == 0 and clients[0].encoded.task.kind != "mlm"
    width = split.whole.config.hidden_size
    kept = keepers(config, width, clients, steps, first)
    return Frozen(split, config, kept, first, private, store)


def is_frozen(split: SplitBert) -> bool:
    """Return whether E is not trained."""
    return not any(p.requires_grad for p in split.bottom.parameters())


def dropout_of(split: SplitBert) -> float:
    """Return the rate at which E drops values in training: 0 where it is frozen."""
    return 0.0 if is_frozen(split) else float(split.whole.config.hidden_dropout_prob)
