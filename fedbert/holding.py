"""Client parts: a client's own copies of E and H, of the word table a part."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from fedbert.config import Config
from fedbert.data.client_data import ClientData
from fedbert.frozen import Frozen
from fedbert.messages import Array
from fedbert.optim import optimizer_for
from fedbert.split import SplitBert, copied
from privacy.defence import Defence


def word_name(split: SplitBert) -> str:
    """Return the transformers name of the word table."""
    word = split.bottom.embeddings.word_embeddings.weight
    return str(next(n for n, p in split.whole.named_parameters() if p is word))


def compact_rows(
    data: ClientData, split: SplitBert, config: Config, defence: Defence
) -> Array | None:
    """Return the word rows [row] that this client's data can ever touch; None = all of them.

    Only rows that occur get a gradient; the rest changes by weight decay alone, which has a closed
    form. Masked-LM draws random words, a tied decoder moves every row, moments that are handed on
    must fit the next client, noise falls on every row, and the nearest word may be any: there it
    is all. So it is where E is frozen: the clients share one.
    """
    handed = config.training.optimizer_state == "hand_on"
    noised = defence.training is not None or defence.local_update or defence.nearest_word
    whole = handed or noised or config.model.freeze_embeddings
    if data.encoded.task.kind == "mlm" or split.tied or whole:
        return None
    rows = np.union1d(data.encoded.tokens, [data.vocabulary.pad])
    rows.flags.writeable = False
    return rows


@dataclass(frozen=True)
class Bench:
    """What a client trains at: its parts, its parameters by transformers' name, their optimiser.

    trained: those that are; body, edge: of these T's, and all others. word: the word table's name.
    """

    parts: nn.ModuleDict
    names: dict[str, nn.Parameter]
    trained: dict[str, nn.Parameter]
    body: dict[str, nn.Parameter]
    edge: dict[str, nn.Parameter]
    optimizer: torch.optim.Optimizer
    word: str


def bench_of(
    split: SplitBert, rows: Array | None, with_body: bool, config: Config, frozen: Frozen | None
) -> Bench:
    """Return a bench: one that a client left where E is frozen, for then all are alike."""
    if frozen is not None and frozen.benches:
        left: Bench = frozen.benches.pop()
        return left
    parts, names = own_parts(split, rows, with_body, frozen)
    parts.to(config.training.device)
    for name, part in parts.items():
        part.train(name != "bottom" or frozen is None)
    parts["bottom"].requires_grad_(frozen is None)
    trained = {n: p for n, p in names.items() if p.requires_grad}
    inside = {id(p) for p in parts["body"].parameters()} if with_body else set()
    body = {n: p for n, p in trained.items() if id(p) in inside}
    edge = {n: p for n, p in trained.items() if id(p) not in inside}
    optimizer = optimizer_for(trained, config.training)
    return Bench(parts, names, trained, body, edge, optimizer, word_name(split))


def own_parts(
    split: SplitBert, rows: Array | None, with_body: bool, frozen: Frozen | None = None
) -> tuple[nn.ModuleDict, dict[str, nn.Parameter]]:
    """Return copies of the parts a client holds, and their parameters by transformers' name.

    frozen: E that is shared instead of copied.
    """
    parts: dict[str, nn.Module] = {"bottom": split.bottom, "head": split.head}
    if with_body:
        parts["body"] = split.body
    shared = nn.ModuleDict(parts)
    name_of = {id(p): n for n, p in split.whole.named_parameters()}
    canonical = {local: name_of[id(p)] for local, p in shared.named_parameters()}
    memo: dict[int, Any] = {id(split.whole.config): split.whole.config}
    memo |= {} if frozen is None else frozen.memo
    word = split.bottom.embeddings.word_embeddings
    if rows is not None:
        # Built from values, since a fresh table would draw from torch's own generator.
        values = word.weight.new_zeros(len(rows), word.embedding_dim)
        compact = nn.Embedding.from_pretrained(values, freeze=False)
        if word.padding_idx in rows:
            compact.padding_idx = int(np.searchsorted(rows, word.padding_idx))
        memo[id(word)] = compact
    own = copied(shared, memo)
    if rows is not None:
        table = torch.zeros(word.num_embeddings, dtype=torch.int64)
        table[torch.tensor(rows)] = torch.arange(len(rows))
        own["bottom"].rows = table
    return own, {canonical[local]: p for local, p in own.named_parameters()}
