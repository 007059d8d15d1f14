"""Backward view: masked words or labels that attacks recover from the gradient G_Z."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from attacks.attack import Lacks
from evaluation.adversary.knowledge import head_knowledge
from evaluation.adversary.observation import Observation, same_parts
from evaluation.adversary.transcript import TranscriptEntry
from evaluation.attacking.loop import Named, entries, named
from evaluation.metrics.tokens import token_accuracy, token_chance
from fedbert.data.batches import IGNORED
from fedbert.messages import Message
from fedbert.seeding import generator, numpy_rng
from reports.leak import LeakageEntry


def backward(observation: Observation) -> Iterator[LeakageEntry]:
    """Yield what attacks on G_Z recovered: masked words, or labels."""
    answered = [o for o in observation.transcript.entries if observation.transcript.answers_to(o)]
    reads_words = observation.prepared.task.kind == "mlm"
    attacks = [
        each
        for each in named(observation.cell.attacks.backward, "backward")
        if answered and hasattr(each.attack, "reconstruct") is reads_words
    ]
    ask = partial(_ask, observation, answered)
    yield from entries(attacks, ask, partial(_judge, observation, answered))


def _ask(
    observation: Observation, answered: Sequence[TranscriptEntry], each: Named
) -> list[np.ndarray] | Lacks:
    """Return an attack's answer to every step, or why there is none."""
    guessed: list[np.ndarray] = []
    for group in same_parts(answered):
        split = observation.trained.split
        knowledge = head_knowledge(observation.defence, group[0].parts, split)
        lacks = knowledge if isinstance(knowledge, Lacks) else each.attack.missing(knowledge)
        if lacks is not None:
            return lacks
        guessed += _asked(observation, each.attack, group, knowledge, len(guessed))
    return guessed


def _asked(
    observation: Observation,
    attack: Any,
    group: Sequence[TranscriptEntry],
    knowledge: Any,
    number: int,
) -> list[np.ndarray]:
    """Return an attack's answers for some steps."""
    messages: list[Message] = []
    for each in group:
        messages += [each.message, *observation.transcript.answers_to(each)]
    draws = generator(observation.cell.config.seed, "attack", attack.name, number)
    verb = getattr(attack, "labels", None) or attack.reconstruct
    found: list[np.ndarray] = verb(messages, knowledge, draws)
    return found


def _judge(
    observation: Observation,
    answered: Sequence[TranscriptEntry],
    each: Named,
    guessed: Sequence[np.ndarray],
) -> Iterator[LeakageEntry]:
    """Yield how many masked words or labels were right."""
    if observation.prepared.task.kind == "regression":
        yield each.head.not_measured("scores have no accuracy, and are not judged yet")
        return
    rng = numpy_rng(observation.cell.config.seed, "judge", each.head.attack)
    labels = [observation.batch(o).labels.numpy() for o in answered]
    if observation.prepared.task.kind == "mlm":
        masked = [of_batch != IGNORED for of_batch in labels]
        chance = token_chance(labels, masked, observation.words())
        metric, unit, counted = "masked_token_accuracy", "token", masked
    else:
        labels, guessed = [own[:, None] for own in labels], [g[:, None] for g in guessed]
        counted = [np.ones_like(own, dtype=bool) for own in labels]
        everyone = np.bincount(observation.prepared.pool.labels.astype(np.int64))
        chance = token_chance(labels, counted, everyone)
        metric, unit = "label_accuracy", "label"
    estimate = token_accuracy(labels, list(guessed), counted, rng)
    yield each.head.leak(metric, estimate, unit, chance)
