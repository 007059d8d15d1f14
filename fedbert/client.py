"""A client: holds its data, E and H (and T in plain federated averaging); sends messages only."""

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fedbert.batches import Batch
from fedbert.client_data import ClientData
from fedbert.config import Config
from fedbert.copies import autocast
from fedbert.messages import (
    Array,
    ClientParts,
    ClientUpdate,
    HiddenGradient,
    HiddenStates,
    RowValues,
    SmashedData,
    SmashedGradient,
    to_array,
    to_tensor,
)
from fedbert.optim import (
    adamw,
    clip_gradients,
    decays,
    load_moments,
    moments,
    set_learning_rate,
)
from fedbert.protect import Protection, protect, stream
from fedbert.seeding import generator, scoped
from fedbert.split import SplitBert
from privacy.mechanism import Mechanism


class Client:
    """One data owner. Every call draws from a generator of its own (seed, part, client, step)."""

    def __init__(
        self,
        data: ClientData,
        split: SplitBert,
        config: Config,
        mechanism: Mechanism,
        with_body: bool,
    ) -> None:
        """Make a client with its own copies of E and H, and of T where `with_body`."""
        self.data, self.config, self.mechanism = data, config, mechanism
        self.step = 0
        self.log = Protection()
        self.loss_sum, self.loss_count = 0.0, 0
        self.rows = _compact_rows(data, split, config)
        self.parts, self.names = _own_parts(split, self.rows, with_body)
        self.word = _word_name(split)
        self.parts.to(config.training.device)
        self.parts.train()
        frozen = config.model.freeze_embeddings
        self.parts["bottom"].requires_grad_(not frozen)
        self.trained = {n: p for n, p in self.names.items() if p.requires_grad}
        held = [
            {n: p for n, p in self.trained.items() if self._in_body(p) is side}
            for side in (True, False)
        ]
        self.body_trained, self.edge_trained = held
        self.optimizer = adamw(self.trained, config.training)
        self._base: dict[str, Array] = {}
        self._factor = 1.0
        self._graph: dict[str, Any] = {}

    def _in_body(self, parameter: Tensor) -> bool:
        return "body" in self.parts and any(parameter is p for p in self.parts["body"].parameters())

    def start(self, parts: ClientParts) -> None:
        """Take the values to start the round from (and moments, where handed on)."""
        with torch.no_grad():
            for name, parameter in self.names.items():
                value = parts.tensors[name]
                if value is self._base.get(name) and not parameter.requires_grad:
                    continue
                own = value[self.rows] if name == self.word and self.rows is not None else value
                parameter.copy_(to_tensor(own))
        self._base = dict(parts.tensors)
        self._factor = 1.0
        if parts.moments:
            load_moments(self.optimizer, self.trained, parts.moments)
        elif self.config.training.optimizer_state == "reset":
            self.optimizer.state.clear()

    def forward(self, round_: int) -> SmashedData:
        """Return A of the next batch, clipped and noised by the mechanism in force."""
        batch = self._next_batch()
        device = self.config.training.device
        seed, number = self.config.seed, self.data.client
        noise = generator(seed, "noise", "smashed", stream(self.mechanism), number, self.step)
        with scoped(self.config.seed, "bottom", self.data.client, self.step, device=device):
            with autocast(self.config):
                a = self.parts["bottom"](batch)
            a = a.float() if a.dtype == torch.bfloat16 else a
            a, log = protect(self.mechanism, a, batch.attention_mask, noise)
        self.log += log
        self._graph = {"batch": batch, "a": a}
        return SmashedData(
            self.data.client, round_, self.step, to_array(a), to_array(batch.attention_mask)
        )

    def head(self, message: HiddenStates) -> HiddenGradient:
        """Return G_Z of this batch's loss."""
        z = to_tensor(message.hidden, self.config.training.device).requires_grad_()
        loss = self._loss(z, self._graph["batch"])
        loss.backward()
        if z.grad is None:
            raise RuntimeError("expected the loss to depend on the hidden states")
        return HiddenGradient(message.client, message.round, message.step, to_array(z.grad))

    def finish(self, message: SmashedGradient | None, rate: float) -> None:
        """Take G_A (None where E is frozen), update E and H at this learning rate."""
        a = self._graph["a"]
        if message is not None:
            a.backward(to_tensor(message.gradient, self.config.training.device).to(a.dtype))
        self._update(rate)

    def train(self, rates: list[float]) -> None:
        """Run local steps on the whole model, one per learning rate (plain federated averaging)."""
        seed, number, device = self.config.seed, self.data.client, self.config.training.device
        for rate in rates:
            batch = self._next_batch()
            with scoped(seed, "bottom", number, self.step, device=device), autocast(self.config):
                a = self.parts["bottom"](batch)
            with scoped(seed, "body", number, self.step, device=device), autocast(self.config):
                z = self.parts["body"](a, batch.attention_mask)
            self._loss(z, batch).backward()
            self._update(rate)

    def update(self, round_: int) -> ClientUpdate:
        """Return the values that the local steps arrived at, of everything this client trains."""
        tensors: dict[str, Array | RowValues] = {}
        for name, parameter in self.trained.items():
            value = to_array(parameter)
            if name == self.word and self.rows is not None:
                tensors[name] = RowValues(self.rows, value, self._base[name], self._factor)
            else:
                tensors[name] = value
        handed = self.config.training.optimizer_state == "hand_on"
        state = moments(self.optimizer, self.trained) if handed else {}
        return ClientUpdate(self.data.client, round_, len(self.data.examples), tensors, state)

    def steps_taken(self) -> int:
        """Return the client's running step number."""
        return self.step

    def mean_loss(self) -> float:
        """Return the mean training loss since the last call (nats, or squared error)."""
        mean = self.loss_sum / max(self.loss_count, 1)
        self.loss_sum, self.loss_count = 0.0, 0
        return mean

    def report(self) -> Protection:
        """Return the mechanism's log so far."""
        return self.log

    def snapshot(self) -> tuple[dict[str, Array], dict[str, Any]]:
        """Return what the client carries from round to round: arrays, and plain values."""
        keep = self.config.training.optimizer_state == "keep"
        state = moments(self.optimizer, self.trained) if keep else {}
        return state, {"step": self.step, "log": self.log.to_json()}

    def restore(self, arrays: Mapping[str, Array], values: Mapping[str, Any]) -> None:
        """Set what `snapshot` returned."""
        self.step = values["step"]
        self.log = Protection.from_json(values["log"])
        load_moments(self.optimizer, self.trained, arrays)

    def _next_batch(self) -> Batch:
        return self.data.batch(self.step).to(self.config.training.device)

    def _loss(self, z: Tensor, batch: Batch) -> Tensor:
        seed, device = self.config.seed, self.config.training.device
        with (
            scoped(seed, "head", self.data.client, self.step, device=device),
            autocast(self.config),
        ):
            head: Any = self.parts["head"]
            loss: Tensor = head.loss(z, batch.labels)
        self.loss_sum += float(loss.detach())
        self.loss_count += 1
        return loss

    def _update(self, rate: float) -> None:
        limit = self.config.training.max_grad_norm
        clip_gradients(self.edge_trained.values(), limit)
        clip_gradients(self.body_trained.values(), limit)
        set_learning_rate(self.optimizer, rate)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)  # clients of a group do not hold theirs at once
        if self.word is not None and decays(self.word):
            self._factor *= 1 - rate * self.config.training.weight_decay
        self.step += 1
        self._graph = {}


def _word_name(split: SplitBert) -> str:
    """Return the transformers name of the word table."""
    word = split.bottom.embeddings.word_embeddings.weight
    return next(n for n, p in split.whole.named_parameters() if p is word)


def _compact_rows(data: ClientData, split: SplitBert, config: Config) -> Array | None:
    """Return the word rows [row] that this client's data can ever touch; None = all of them.

    Only rows that occur get a gradient; the rest changes by weight decay alone, which has a closed
    form. Masked-LM draws random words, a tied decoder moves every row, and moments that are handed
    on must fit the next client: there it is all.
    """
    handed = config.training.optimizer_state == "hand_on"
    if data.examples.task.kind == "mlm" or split.tied or handed:
        return None
    rows = np.union1d(data.examples.tokens, [data.vocabulary.pad])
    rows.flags.writeable = False
    return rows


def _own_parts(
    split: SplitBert, rows: Array | None, with_body: bool
) -> tuple[nn.ModuleDict, dict[str, nn.Parameter]]:
    """Return copies of the parts a client holds, and their parameters by transformers' name."""
    parts: dict[str, nn.Module] = {"bottom": split.bottom, "head": split.head}
    if with_body:
        parts["body"] = split.body
    shared = nn.ModuleDict(parts)
    name_of = {id(p): n for n, p in split.whole.named_parameters()}
    canonical = {local: name_of[id(p)] for local, p in shared.named_parameters()}
    memo: dict[int, Any] = {id(split.whole.config): split.whole.config}
    word = split.bottom.embeddings.word_embeddings
    if rows is not None:
        # Built from values, since a fresh table would draw from torch's own generator.
        values = word.weight.new_zeros(len(rows), word.embedding_dim)
        compact = nn.Embedding.from_pretrained(values, freeze=False)
        if word.padding_idx in rows:
            compact.padding_idx = int(np.searchsorted(rows, word.padding_idx))
        memo[id(word)] = compact
    own = copy.deepcopy(shared, memo)
    if rows is not None:
        table = torch.zeros(word.num_embeddings, dtype=torch.int64)
        table[torch.tensor(rows)] = torch.arange(len(rows))
        own["bottom"].rows = table
    return own, {canonical[local]: p for local, p in own.named_parameters()}
