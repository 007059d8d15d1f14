"""Split BERT: client bottom E, server body T and client head H of one model that stays whole.

The three parts are views of one transformers model: they share its parameters, and every
parameter keeps the name that transformers gives it. So there is nothing to do to join them.
"""

import copy
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from transformers.masking_utils import create_bidirectional_mask

from fedbert.data.batches import Batch
from fedbert.errors import InputError
from fedbert.head import Head, head_of
from fedbert.model_places import refuse_deep_cut
from fedbert.plain_attention import plain_attention_pays, run_plainly
from fedbert.pooling import pools_by_mean, with_mean

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class EmbeddingTables:
    """What the aggregator knows of E when the cut is at the embeddings.

    word [vocab, hidden], position [positions, hidden], token_type [types, hidden];
    norm_weight and norm_bias [hidden]. The first token of a sequence uses row `position_offset`
    of `position` (0 for BERT, pad_token_id + 1 for RoBERTa).
    """

    word: Tensor
    position: Tensor
    token_type: Tensor
    norm_weight: Tensor
    norm_bias: Tensor
    norm_eps: float
    position_offset: int


class Bottom(nn.Module):
    """E: the embeddings and the first encoder layers.

    `rows` [vocab], where set, maps token ids to the rows of a compact word table.
    """

    def __init__(self, embeddings: nn.Module, layers: Iterable[nn.Module], config: Any) -> None:
        """Hold these modules of a transformers model."""
        super().__init__()
        self.embeddings: Any = embeddings
        self.layers = nn.ModuleList(layers)
        self.config = config
        self.rows: Tensor | None
        self.register_buffer("rows", None, persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        """Return A [batch, seq, hidden]."""
        ids = batch.input_ids
        positions = position_ids(ids, self.config)
        hidden = self.embeddings(
            input_ids=ids if self.rows is None else self.rows[ids],
            token_type_ids=batch.token_type_ids,
            position_ids=positions,
        )
        return run_layers(self.layers, hidden, batch.attention_mask, self.config)


class Body(nn.Module):
    """T: the remaining encoder layers, and the mean of a head that reads it."""

    def __init__(self, layers: Iterable[nn.Module], config: Any, mean: bool = False) -> None:
        """Hold these layers of a transformers model; mean: H reads the mean of all tokens."""
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.config, self.mean = config, mean

    def forward(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Return Z [batch, seq, hidden] of A [batch, seq, hidden]."""
        return self.pool(self.states(hidden, attention_mask), attention_mask)

    def states(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Return the hidden states [batch, seq, hidden] after the last layer."""
        return run_layers(self.layers, hidden, attention_mask, self.config)

    def pool(self, hidden: Tensor, attention_mask: Tensor) -> Tensor:
        """Return Z of the hidden states after the last layer."""
        return with_mean(hidden, attention_mask) if self.mean else hidden


@dataclass(frozen=True)
class SplitBert:
    """A transformers model and its three parts, which share its parameters.

    notes: what has to be said of how it was loaded.
    """

    whole: Any
    cut_layer: int
    bottom: Bottom
    body: Body
    head: Head
    notes: tuple[str, ...] = ()

    @property
    def client_names(self) -> dict[str, nn.Parameter]:
        """Return the parameters of E and H by transformers' name, a tied one once."""
        ours = {id(p) for part in (self.bottom, self.head) for p in part.parameters()}
        return {n: p for n, p in self.whole.named_parameters() if id(p) in ours}

    @property
    def body_names(self) -> dict[str, nn.Parameter]:
        """Return the parameters of T by transformers' name."""
        ours = {id(p) for p in self.body.parameters()}
        return {n: p for n, p in self.whole.named_parameters() if id(p) in ours}

    @property
    def tied(self) -> bool:
        """Return whether the masked-LM decoder is the word table."""
        word = self.bottom.embeddings.word_embeddings.weight
        return any(p is word for p in self.head.parameters())

    @property
    def device(self) -> torch.device:
        """Return the device of the parameters."""
        device: torch.device = next(self.whole.parameters()).device
        return device

    def hidden(self, batch: Batch) -> Tensor:
        """Return Z [batch, seq, hidden]."""
        z: Tensor = self.body(self.bottom(batch), batch.attention_mask)
        return z

    def states(self, batch: Batch) -> Tensor:
        """Return the last layer's hidden states [batch, seq, hidden], as no head pools them."""
        return self.body.states(self.bottom(batch), batch.attention_mask)

    def logits(self, batch: Batch) -> Tensor:
        """Return logits [batch, labels], or [batch, seq, vocab] for masked-LM."""
        logits: Tensor = self.head(self.hidden(batch))
        return logits

    def losses(self, batch: Batch) -> Tensor:
        """Return one loss per example [batch]; masked-LM: the mean over its masked positions."""
        return self.head.example_losses(self.hidden(batch), batch.labels)

    def embedding_tables(self) -> EmbeddingTables:
        """Return the tables that E consists of (for cut layer 0: all of E)."""
        e: Any = self.bottom.embeddings
        return tables_of(
            {
                "word": e.word_embeddings.weight,
                "position": e.position_embeddings.weight,
                "token_type": e.token_type_embeddings.weight,
                "norm_weight": e.LayerNorm.weight,
                "norm_bias": e.LayerNorm.bias,
            },
            self.whole.config,
        )


@contextmanager
def answering(model: SplitBert) -> Iterator[None]:
    """Use a model without dropout and gradients; every module's mode is as before afterwards."""
    modes = {module: module.training for module in model.whole.modules()}
    model.whole.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes.items():
            module.training = training


def tables_of(tensors: Mapping[str, Tensor], config: Any) -> EmbeddingTables:
    """Return embedding tables from their five tensors and the model's configuration."""
    copies = {name: value.detach().float().cpu() for name, value in tensors.items()}
    return EmbeddingTables(
        **copies, norm_eps=config.layer_norm_eps, position_offset=position_offset(config)
    )


def position_offset(config: Any) -> int:
    """Return the row of the position table that a sequence's first token uses."""
    return int(config.pad_token_id) + 1 if config.model_type == "roberta" else 0


def room_of(settings: Any) -> int:
    """Return the most tokens of an example that a model has positions for."""
    return int(settings.max_position_embeddings) - position_offset(settings)


def position_ids(input_ids: Tensor, config: Any) -> Tensor:
    """Return the rows of the position table [batch, seq] that transformers would use.

    BERT counts columns; RoBERTa counts tokens that are not padding, which stays at its own row.
    """
    if config.model_type == "roberta":
        real = (input_ids != config.pad_token_id).long()
        rows: Tensor = real.cumsum(1) * real + config.pad_token_id
        return rows
    return torch.arange(input_ids.shape[1], device=input_ids.device).expand(input_ids.shape)


def run_layers(
    layers: nn.ModuleList, hidden: Tensor, attention_mask: Tensor, config: Any
) -> Tensor:
    """Return hidden states [batch, seq, hidden] after these encoder layers."""
    if len(layers) == 0:
        return hidden
    if plain_attention_pays():
        return run_plainly(layers, hidden, attention_mask, config)
    mask = create_bidirectional_mask(
        config=config, inputs_embeds=hidden, attention_mask=attention_mask
    )
    for layer in layers:
        hidden = layer(hidden, mask)
    return hidden


def cut(whole: Any, cut_layer: int) -> SplitBert:
    """Return the split of a BERT or RoBERTa model after its first `cut_layer` layers.

    Raises:
        InputError: for another architecture or head, or a cut layer that the model does not have.
    """
    kind = whole.config.model_type
    if kind not in ("bert", "roberta"):
        raise InputError(f"expected a bert or roberta model, got model_type={kind!r}")
    base = getattr(whole, kind)
    layers = list(base.encoder.layer)
    refuse_deep_cut(cut_layer, len(layers))
    bottom = Bottom(base.embeddings, layers[:cut_layer], whole.config)
    head = head_of(whole, base)
    mean = head.kind != "mlm" and pools_by_mean(whole.config)
    body = Body(layers[cut_layer:], whole.config, mean)
    return SplitBert(whole, cut_layer, bottom, body, head)


def duplicate(split: SplitBert, shared: Iterable[nn.Parameter] = ()) -> SplitBert:
    """Return the same model, cut at the same layer, that shares these parameters alone with it."""
    return cut(copied(split.whole, {id(p): p for p in shared}), split.cut_layer)


def copied(module: M, memo: Mapping[int, Any] | None = None) -> M:
    """Return a deep copy of a module, but for what the memo (of `copy.deepcopy`) has already.

    What is empty (each module holds some ten collections of hooks) is copied here: that it is
    copied item by item takes half of a small model's time.
    """
    known: dict[int, Any] = {
        id(value): type(value)()
        for part in module.modules()
        for value in vars(part).values()
        if type(value) in (dict, OrderedDict) and not value
    }
    return copy.deepcopy(module, known | dict(memo or {}))
