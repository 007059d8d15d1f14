"""What the tests of attacks on updates share: real clients' rounds, and what is known of them."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from attacks.updates.embedding_rows import TableKnowledge
from attacks.updates.whole_update import UpdateKnowledge
from fedbert.messages import ClientParts, ClientUpdate, Message
from fedbert.optim import decays, learning_rate
from fedbert.pooling import SETTING
from fedbert.prepare import assemble
from fedbert.split import SplitBert, cut
from fedbert.trainer import train
from tests.attacks import worlds
from tests.fedbert import tiny

WORDS = tiny.VOCAB - 15  # of which tiny.encoded draws evenly


@dataclass(frozen=True)
class Round:
    """One round's messages, what is known, and each update's true rows [batch, seq] (0 padded)."""

    messages: list[Message]
    knowledge: UpdateKnowledge
    table: TableKnowledge
    true: list[np.ndarray]


def one_round(
    batch: int = 1,
    clients: int = 12,
    dropout: float = 0.0,
    architecture: str = "bert",
    hidden: int = 64,
    layers: int = 2,
    mean: bool = False,
    **settings: Any,
) -> Round:
    """Return a round of one step of SGD each under `fedavg`, in float64 unless asked otherwise.

    mean: the head reads the mean of all tokens.
    """
    chosen = {
        "strategy": "fedavg",
        "optimizer": "sgd",
        "precision": "float64",
        "rounds": 1,
        "local_steps": 1,
        "learning_rate": 0.1,
        "warmup_fraction": 0.0,
    } | settings
    config = tiny.config_of(clients=clients, batch_size=batch, architecture=architecture, **chosen)
    split = worlds.model(
        architecture,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        max_position_embeddings=40,
        pad_token_id=tiny.PAD,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    split = by_mean(split) if mean else split
    rng = torch.Generator().manual_seed(2)
    with torch.no_grad():  # off the start, where all words of a sequence have the same gradient
        for parameter in split.whole.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=rng))
    if config.training.precision == "float64":
        split.whole.double()
    split.bottom.requires_grad_(not config.model.freeze_embeddings)
    texts = tiny.encoded()
    texts = replace(texts, token_types=np.zeros_like(texts.token_types))
    data = {"train": texts, "validation": texts}
    prepared = assemble(config, tiny.tokenizer(), split, data, "0" * 64)
    transcript = tiny.Recorder("client_parts", "client_update")
    train(config, prepared, tiny.NO_DEFENCE, listeners=[transcript])
    updates = [m for m in transcript.messages if isinstance(m, ClientUpdate)]
    steps = config.training.local_steps
    rates = tuple(learning_rate(config.training, i, steps) for i in range(steps))
    left = float(np.prod([1 - rate * config.training.weight_decay for rate in rates]))
    base = prepared.split.whole.base_model_prefix
    table = f"{base}.embeddings.{{}}_embeddings.weight"
    frozen = config.model.freeze_embeddings
    knowledge = UpdateKnowledge(
        model=prepared.split,
        whole=config.training.strategy == "fedavg",
        word=None if frozen else table.format("word"),
        position=None if frozen else table.format("position"),
        tied=prepared.split.tied,
        optimizer=config.training.optimizer,
        learning_rate=rates,
        kept={n: left for n, _ in prepared.split.whole.named_parameters() if decays(n)},
        batch_size=batch * steps,
        dropout=dropout,
        start=tiny.CLS,
        stop=tiny.SEP,
        pad=tiny.PAD,
        mask=tiny.MASK,
    )
    true = []
    for update in updates:
        own = [prepared.clients[update.client].batch(step) for step in range(steps)]
        width = max(b.input_ids.shape[1] for b in own)
        rows = [(b.input_ids * b.attention_mask).numpy() for b in own]
        true.append(np.concatenate([np.pad(r, ((0, 0), (0, width - r.shape[1]))) for r in rows]))
    return Round(transcript.messages, knowledge, TableKnowledge(table.format("word")), true)


def by_mean(split: SplitBert) -> SplitBert:
    """Return a BERT cut at the embeddings whose head reads the mean of all tokens."""
    setattr(split.whole.config, SETTING, "mean")
    split.whole.bert.pooler = None
    return cut(split.whole, 0)


def drowned(world: Round, std: float = 1.0) -> Round:
    """Return the same round, its updates replaced by noise that the adversary is not told of."""
    rng = np.random.default_rng(7)
    starts = {(m.client, m.round): m for m in world.messages if isinstance(m, ClientParts)}
    messages: list[Message] = []
    for each in world.messages:
        if isinstance(each, ClientUpdate):
            start = starts[each.client, each.round].tensors
            noise = {n: start[n] + std * rng.normal(size=start[n].shape) for n in each.tensors}
            each = replace(each, tensors=noise)
        messages.append(each)
    return replace(world, messages=messages)
