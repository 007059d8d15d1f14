"""Knowledge of the mechanism in force that an adversary has (Kerckhoffs), view by view."""

import math
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from attacks.attack import Knowledge, Lacks, Protect, unfit_noise
from attacks.backward.label_from_gradient import HeadKnowledge
from attacks.updates.embedding_rows import TableKnowledge
from attacks.updates.whole_update import UpdateKnowledge
from evaluation.adversary.observation import Observation
from evaluation.adversary.simulated_noise import source_from
from fedbert.data.batches import Batch
from fedbert.frozen import is_frozen
from fedbert.head import Head
from fedbert.messages import ClientParts
from fedbert.optim import decays, learning_rate
from fedbert.prepare import Prepared
from fedbert.protect import protect
from fedbert.schedule import participants
from fedbert.smashing import nearest_words
from fedbert.split import Bottom, EmbeddingTables, SplitBert, duplicate
from fedbert.trainer import load_values
from privacy.defence import Defence, adaptive_clip, over_rounds
from privacy.mechanism import Identity
from privacy.noise import NoiseModel


def knowledge_of(
    defence: Defence,
    tables: EmbeddingTables | None,
    dropout: float,
    auxiliary: tuple[np.ndarray, ...] | None = None,
    auxiliary_types: tuple[np.ndarray, ...] | None = None,
) -> Knowledge:
    """Return what is known of A: E's tables, and the clip, noise and dropout on its output.

    With nearest words the rows are those of words again, without noise; in a one-shot release E
    runs without dropout.
    """
    mechanism = defence.smashed
    noise = mechanism.noise_model()
    rate = 0.0 if defence.one_shot else dropout
    if noise.dropout > 0:  # the mechanism drops and scales as E does: one mask, one rate
        rate = 1 - (1 - rate) * (1 - noise.dropout)
    return Knowledge(
        embedding=tables,
        clip_norm=mechanism.clip_norm,
        clip_unit=mechanism.unit,
        noise_std=0.0 if defence.nearest_word else noise.std,
        dropout=rate,
        noise=noise.kind,
        basis=noise.basis,
        auxiliary=auxiliary,
        auxiliary_types=auxiliary_types,
    )


def with_bottom(
    knowledge: Knowledge, defence: Defence, parts: ClientParts, split: SplitBert, longest: int
) -> Knowledge:
    """Return the knowledge with E as the aggregator sent it, and the mechanism on its output.

    A frozen E runs without dropout; a one-shot release pads every example to `longest`.
    """
    own = duplicate(split)
    load_values(own, parts.tensors)
    quiet = defence.one_shot or is_frozen(split)
    bottom = own.bottom.to("cpu", torch.float32).train(not quiet)
    padded = longest if defence.one_shot else None
    return replace(knowledge, bottom=bottom, protect=_protection(defence, bottom), padded=padded)


def _protection(defence: Defence, bottom: Bottom) -> Protect:
    """Return what the mechanism on A does to an output of E."""

    def noised(a: Tensor, batch: Batch, generator: torch.Generator) -> Tensor:
        if isinstance(defence.smashed, Identity):
            return a
        draws = source_from(generator).draws("simulated")
        return protect(defence.smashed, a, batch.attention_mask, draws)[0]

    def rewritten(a: Tensor, batch: Batch, generator: torch.Generator) -> Tensor:
        words = nearest_words(bottom, batch, noised(a, batch, generator))
        sent: Tensor = bottom(replace(batch, input_ids=words))
        return sent

    return rewritten if defence.nearest_word else noised


def head_knowledge(defence: Defence, parts: ClientParts, split: SplitBert) -> HeadKnowledge | Lacks:
    """Return what the aggregator knows of H and of what was done to G_Z, or why it cannot judge."""
    own = duplicate(split)
    load_values(own, parts.tensors)
    return knowledge_with(own.head, defence)


def knowledge_with(head: Head, defence: Defence) -> HeadKnowledge | Lacks:
    """Return what is known of G_Z from this H on, or why nothing can be judged."""
    mechanism = defence.hidden_gradient
    noise = mechanism.noise_model()
    if noise.basis is not None or noise.dropout > 0 or not noise.independent:
        words = "needs noise on G_Z that is drawn for each value alike, and no dropout, or none"
        return Lacks(("noise",), words)
    if defence.hidden.clip_norm is not None or defence.hidden.noise_model() != NoiseModel():
        return Lacks(("hidden",), "needs Z as the server made it, and hears it after a mechanism")
    return HeadKnowledge(
        head=head,
        noise=noise.kind,
        noise_std=noise.std,
        clip_norm=mechanism.clip_norm,
        clip_unit=mechanism.unit,
        mean_over="batch" if defence.training is None else "sequence",
    )


def table_knowledge(
    defence: Defence, prepared: Prepared, split: SplitBert
) -> TableKnowledge | Lacks:
    """Return what the aggregator knows of the word table's updates, or why it cannot judge."""
    word = split.bottom.embeddings.word_embeddings.weight
    if not word.requires_grad:
        return Lacks(("word",), "needs a trained word table: this one is frozen")
    name = next(n for n, p in split.whole.named_parameters() if p is word)
    if defence.training is not None:
        words = "DP-SGD noises every row in every step, through AdamW: no likelihood is at hand"
        return Lacks(("noise_std",), words)
    noise = _sent_noise(defence)
    return TableKnowledge(word=name, tied=split.tied, noise=noise.kind, noise_std=noise.std)


def _sent_noise(defence: Defence) -> NoiseModel:
    """Return the noise on an update as its client sends it."""
    return defence.update.noise_model() if defence.local_update else NoiseModel()


def update_knowledge(
    observation: Observation, parts: ClientParts, auxiliary: tuple[np.ndarray, ...] | None
) -> UpdateKnowledge | Lacks:
    """Return what is known of the local training that started from `parts`, or why it is nothing.

    Several steps of SGD are known as one of all their sequences.
    """
    if observation.defence.training is not None:
        words = "DP-SGD noises every value in every step: no likelihood is at hand"
        return Lacks(("noise_std",), words)
    split, training = observation.trained.split, observation.cell.config.training
    name_of = {id(p): n for n, p in split.whole.named_parameters()}
    tables = split.bottom.embeddings
    moving = tables.word_embeddings.weight.requires_grad
    steps, tokenizer = training.local_steps, observation.prepared.tokenizer
    total = training.rounds * steps
    rates = tuple(learning_rate(training, parts.round * steps + i, total) for i in range(steps))
    left = math.prod(1 - rate * training.weight_decay for rate in rates)
    turn = observation.transcript.turns[parts.client, parts.round]
    noise = _sent_noise(observation.defence)
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
        noise=noise.kind,
        noise_std=noise.std,
        dropout=max(
            split.whole.config.hidden_dropout_prob, split.whole.config.attention_probs_dropout_prob
        ),
        start=tokenizer.cls_token_id,
        stop=tokenizer.sep_token_id,
        pad=observation.prepared.vocabulary.pad,
        mask=observation.prepared.vocabulary.mask,
        auxiliary=auxiliary,
    )


def received_noise(observation: Observation, rounds: range) -> float | Lacks:
    """Return the standard deviation of the noise on each value that these rounds' averages added.

    Central noise falls on a sum of equal clients, whoever came; noise of the clients' own on a
    weighted mean of those who did.
    """
    mechanism, config = observation.defence.update, observation.cell.config
    noise = mechanism.noise_model()
    if noise.kind == "none":
        return 0.0
    if config.training.averaging != "mean":
        words = f"{config.training.averaging} makes of the clients' noise what has no density here"
        return Lacks(("noise_std",), words)
    unfit = Lacks.of(unfit_noise(noise.kind, ("gaussian",)))
    if unfit is not None:
        return unfit
    if adaptive_clip(mechanism) is not None:
        words = "the noise follows a clip that moves from round to round, which peers are not told"
        return Lacks(("noise_std",), words)
    correlated = over_rounds(mechanism)
    if correlated is not None and set(rounds) & set(observation.trained.receipts.skipped):
        words = "a round was skipped, whose noise would have taken off some of the others'"
        return Lacks(("noise_std",), words)
    if correlated is not None:  # every round's sum is divided by the same number of clients
        return correlated.std_over(rounds) / len(participants(config, rounds.start))
    variance = 0.0
    for number in rounds:
        who = participants(config, number)
        if number in observation.trained.receipts.skipped:
            continue
        if not observation.defence.local_update:
            variance += noise.std**2 * len(who) ** -2
            continue
        came = observation.trained.receipts.taken(number, who)
        variance += noise.std**2 / len(came)  # all weigh the same
    return math.sqrt(variance)
