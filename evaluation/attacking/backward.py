"""Backward view: masked words or labels that attacks recover from the gradient G_Z."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from attacks.attack import Lacks
from evaluation.adversary.knowledge import head_knowledge
from evaluation.adversary.observation import Observation, same_parts
from evaluation.adversary.transcript import TranscriptEntry
from evaluation.attacking.loop import Head
from evaluation.grid.build import make_attack
from evaluation.grid.catalogue import BACKWARD
from evaluation.metrics.tokens import token_accuracy, token_chance
from fedbert.data.batches import IGNORED
from fedbert.messages import Message
from fedbert.seeding import generator, numpy_rng
from reports.leak import LeakageEntry


def backward(observation: Observation) -> Iterator[LeakageEntry]:
    """Yield what attacks on G_Z recovered: masked words, or labels."""
    answered = [o for o in observation.transcript.kept if observation.transcript.answers_to(o)]
    kind = observation.prepared.task.kind
    for name in observation.cell.attacks.backward:
        attack = make_attack(name, BACKWARD, "missing")
        if not answered or hasattr(attack, "reconstruct") is not (kind == "mlm"):
            continue
        head = Head(attack.view, attack.name, "inversion")
        guessed: list[np.ndarray] = []
        for group in same_parts(answered):
            knowledge = head_knowledge(
                observation.defence, group[0].parts, observation.trained.split
            )
            lacking = knowledge if isinstance(knowledge, Lacks) else attack.missing(knowledge)
            if lacking is not None:
                yield head.not_measured(lacking.words)
                break
            guessed += _asked(observation, attack, group, knowledge, len(guessed))
        else:
            if kind == "regression":
                yield head.not_measured("scores have no accuracy, and are not judged yet")
            else:
                yield from _judged(observation, head, answered, guessed)


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


def _judged(
    observation: Observation,
    head: Head,
    answered: Sequence[TranscriptEntry],
    guessed: Sequence[np.ndarray],
) -> Iterator[LeakageEntry]:
    """Yield how many masked words or labels were right."""
    rng = numpy_rng(observation.cell.config.seed, "judge", head.attack)
    labels = [observation.batch(o).labels.numpy() for o in answered]
    if observation.prepared.task.kind == "mlm":
        masked = [each != IGNORED for each in labels]
        chance = token_chance(labels, masked, observation.words())
        metric, unit, counted = "masked_token_accuracy", "token", masked
    else:
        labels, guessed = [each[:, None] for each in labels], [g[:, None] for g in guessed]
        counted = [np.ones_like(each, dtype=bool) for each in labels]
        everyone = np.bincount(observation.prepared.pool.labels.astype(np.int64))
        chance = token_chance(labels, counted, everyone)
        metric, unit = "label_accuracy", "label"
    estimate = token_accuracy(labels, list(guessed), counted, rng)
    yield head.leak(metric, estimate, unit, chance)
