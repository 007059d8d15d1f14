"""What the aggregator knows of a client's local training, and a peer of the noise it receives."""

import math
from typing import TYPE_CHECKING

import numpy as np

from attacks.updates.whole_update import UpdateKnowledge
from fedbert.messages import ClientParts
from fedbert.optim import decays, learning_rate
from fedbert.trainer import participants
from privacy.defence import adaptive_clip

if TYPE_CHECKING:
    from evaluation.attacking.inversion import Heard


def update_knowledge(
    heard: "Heard", parts: ClientParts, auxiliary: tuple[np.ndarray, ...] | None
) -> UpdateKnowledge | str:
    """Return what is known of the local training that started from `parts`, or why it is nothing.

    Several steps of SGD are known as one of all their sequences.
    """
    if heard.defence.training is not None:
        return "DP-SGD noises every value in every step: no likelihood is at hand"
    split, training = heard.trained.split, heard.cell.config.training
    name_of = {id(p): n for n, p in split.whole.named_parameters()}
    tables = split.bottom.embeddings
    moving = tables.word_embeddings.weight.requires_grad
    steps, tokenizer = training.local_steps, heard.prepared.tokenizer
    total = training.rounds * steps
    rates = tuple(learning_rate(training, parts.round * steps + i, total) for i in range(steps))
    left = math.prod(1 - rate * training.weight_decay for rate in rates)
    turn = heard.tap.turns[parts.client, parts.round]
    return UpdateKnowledge(
        model=split,
        whole=training.strategy == "fedavg",
        word=name_of[id(tables.word_embeddings.weight)] if moving else None,
        position=name_of[id(tables.position_embeddings.weight)] if moving else None,
        tied=split.tied,
        optimizer=training.optimizer,
        fresh=turn == 0 or training.optimizer_state == "reset",
        learning_rate=rates,
        kept={name: left for name in name_of.values() if decays(name)},
        batch_size=training.batch_size * steps,
        noise_std=heard.defence.update.noise_std if heard.defence.local_update else 0.0,
        dropout=max(
            split.whole.config.hidden_dropout_prob, split.whole.config.attention_probs_dropout_prob
        ),
        start=tokenizer.cls_token_id,
        stop=tokenizer.sep_token_id,
        pad=heard.prepared.vocabulary.pad,
        mask=heard.prepared.vocabulary.mask,
        auxiliary=auxiliary,
    )


def received_noise(heard: "Heard", rounds: range) -> float | str:
    """Return the standard deviation of the noise on each value that these rounds' averages added.

    Central noise falls on a sum of equal clients; noise of the clients' own on a weighted mean.
    """
    mechanism, config = heard.defence.update, heard.cell.config
    if mechanism.noise_std == 0:
        return 0.0
    if adaptive_clip(mechanism) is not None:
        return "the noise follows a clip that moves from round to round, which peers are not told"
    variance = 0.0
    for number in rounds:
        sizes = np.array(
            [len(heard.prepared.clients[c].examples) for c in participants(config, number)]
        )
        shares = sizes / sizes.sum()
        part = float(np.square(shares).sum()) if heard.defence.local_update else len(sizes) ** -2
        variance += mechanism.noise_std**2 * part
    return math.sqrt(variance)
