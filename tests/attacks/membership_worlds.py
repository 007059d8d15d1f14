"""Signals to attack: drawn by a known law, or answered by models that learnt by heart."""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch

from attacks.attack import Knowledge
from attacks.membership.label_only import altered
from attacks.membership.message_matching import nearness
from attacks.membership.updates import last_gradients, last_layer
from attacks.signals import Answers, Signals, answers_of
from fedbert.data.batches import Batch, Encoded, collate
from fedbert.split import SplitBert, answering
from fedbert.tasks import TASKS
from tests.attacks import worlds


@dataclass(frozen=True)
class Membership:
    signals: Signals
    members: np.ndarray


def losses_of(confidences: np.ndarray) -> np.ndarray:
    """Return -log p of log p / (1 - p)."""
    return np.logaddexp(0.0, -confidences)


def drawn(gain: float, n: int = 400, shadows: int = 16, seed: int = 0) -> Membership:
    """Return examples of very different difficulty, on which training adds `gain` to confidence.

    Two shadows in a row share no example. The features tell the difficulty, up to some noise.
    """
    rng = np.random.default_rng(seed)
    members = rng.random(n) < 0.5
    everyone = np.concatenate((members, np.zeros(n // 2, dtype=bool)))  # the population is outside
    difficulty = rng.normal(0, 3, len(everyone))
    coins = rng.random((shadows // 2, len(everyone))) < 0.5
    held = np.stack((coins, ~coins), 1).reshape(shadows, -1)
    target = difficulty + gain * everyone + rng.normal(size=len(everyone))
    others = difficulty + gain * held + rng.normal(size=held.shape)
    p = 1 / (1 + np.exp(-target))
    labels = rng.integers(0, 2, len(everyone))
    right = np.log(np.stack((1 - p, p), 1))  # [example, wrong and right]
    logs = np.where(labels[:, None] == 1, right, right[:, ::-1])
    features = np.column_stack((difficulty, rng.normal(size=len(everyone))))
    sides = [
        Answers(
            losses_of(target)[side], logs[side], labels[side], losses_of(others)[:, side],
            held[:, side], features[side],
        )
        for side in (slice(0, n), slice(n, None))
    ]  # fmt: skip
    rounds = losses_of(difficulty[:n] + gain * members * np.linspace(0, 1, 4)[:, None])
    clients = np.where(rng.random(n) < 0.5, 0, 1) == np.arange(2)[:, None]  # [client, candidate]
    pull = gain * (members & clients) + 2 * rng.normal(size=(3, 2, n))
    near = gain * members + rng.normal(size=n)
    wavering = target[:n] + np.concatenate((np.zeros((1, n)), rng.normal(0, 2, (8, n))))
    answered = np.where(wavering > 0, labels[:n], 1 - labels[:n])
    signals = Signals(*sides, rounds, pull, pull - 1.0, near, answered)
    return Membership(signals, members)


def in_order(signals: Signals, order: np.ndarray) -> Signals:
    """Return the same signals, the candidates in another order."""
    own = signals.candidates
    candidates = Answers(
        own.losses[order],
        None if own.logs is None else own.logs[order],
        None if own.labels is None else own.labels[order],
        own.shadow_losses[:, order],
        own.shadow_members[:, order],
        None if own.features is None else own.features[order],
    )
    rest = {
        name: None if value is None else value[..., order]
        for name, value in vars(signals).items()
        if name not in ("candidates", "population")
    }
    return replace(signals, candidates=candidates, **rest)


@cache
def learnt(steps: int, count: int = 80) -> Membership:
    """Return what a model makes of random examples with random labels, after so many steps on half
    of them; and what an aggregator sees of one step of each.
    """
    split, rng = worlds.model(), np.random.default_rng(0)
    examples = worlds.batch(split, count, 12, seed=1)
    members = np.arange(count) < count // 2
    inside = worlds.batch(split, count, 12, seed=1)
    inside = type(inside)(*(value[: count // 2] for value in vars(inside).values()))
    first, gradients = answers_of(split, [examples]), last_gradients(split, [examples])
    layer = last_layer(split)
    moved = [-rng.normal(size=(1, *p.shape)) for p in (layer.weight, layer.bias)]
    if steps:  # every member is a client of its own, and takes one step of plain descent
        each = [
            torch.autograd.grad(x, [*layer.parameters()], retain_graph=True)
            for x in split.losses(inside)
        ]
        moved = [-torch.stack(side).double().numpy() for side in zip(*each, strict=True)]
    sides = [gradients.against(w, b) for w, b in zip(*moved, strict=True)]
    cosines, differences = (np.stack(side) for side in zip(*sides, strict=True))
    optimizer = torch.optim.Adam(split.whole.parameters(), lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        split.losses(inside).mean().backward()
        optimizer.step()
    last = answers_of(split, [examples])
    rounds = np.stack((first.losses, last.losses))
    answered = np.stack([classes_of(split, each) for each in (examples, *copies_of(examples))])
    sides_seen = rounds, cosines[None], differences[None]
    return Membership(Signals(last, None, *sides_seen, answered=answered), members)


def classes_of(split: SplitBert, batch: Batch) -> np.ndarray:
    """Return the classes [example] that a model gives."""
    with answering(split):
        found: np.ndarray = split.logits(batch).argmax(-1).numpy()
    return found


def copies_of(batch: Batch) -> list[Batch]:
    """Return eight altered copies of every text."""
    lengths = batch.attention_mask.sum(1).numpy()
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    kept = batch.attention_mask.bool()
    encoded = Encoded(
        TASKS["sst2"], batch.input_ids[kept].numpy(), batch.token_type_ids[kept].numpy(), offsets,
        batch.labels.numpy(), np.arange(len(lengths)),
    )  # fmt: skip
    made = [altered(encoded, (), n, np.random.default_rng([7, n])) for n in range(8)]
    return [collate(each, np.arange(len(lengths)), worlds.PAD["bert"]) for each in made]


def matched(noise_std: float, clip_norm: float | None = None, unit: str = "token") -> Membership:
    """Return candidates of which half were sent as smashed data."""
    split = worlds.model()
    sent, others = (worlds.batch(split, 100, 10, seed=seed) for seed in (1, 2))
    limit = float("inf") if clip_norm is None else clip_norm
    message = worlds.smashed(split, sent, clip_norm=limit, noise_std=noise_std, unit=unit)
    knowledge = Knowledge(
        embedding=split.embedding_tables(), noise_std=noise_std, clip_norm=clip_norm, clip_unit=unit
    )
    best = nearness([message], knowledge, [sent, others])
    signals = Signals(Answers(np.zeros(200)), nearness=best)
    return Membership(signals, np.arange(200) < 100)
