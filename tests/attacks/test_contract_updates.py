"""The laws of the attacks on G_Z and on updates: one row of examples each."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch

from attacks.backward.label_from_gradient import HeadKnowledge
from attacks.updates.embedding_rows import TableKnowledge
from attacks.updates.whole_update import NotApplicable, UpdateKnowledge
from evaluation.grid.build import resolve
from evaluation.grid.catalogue import BACKWARD, UPDATES
from evaluation.metrics.tokens import matched, token_accuracy
from fedbert.errors import InputError
from fedbert.messages import HiddenGradient, Message
from tests.attacks import update_worlds
from tests.fedbert import tiny

SURE = 1 - 1e-4  # confidence of the intervals: the false-alarm rate of each control
SPECIAL = (0, tiny.PAD, tiny.CLS, tiny.SEP, tiny.MASK)


@dataclass(frozen=True)
class World:
    """Messages, what is known, the truth of each answer [batch, seq], and its chance."""

    messages: list[Message]
    knowledge: Any
    true: list[np.ndarray]
    chance: float


def backward(kind: str) -> World:
    """Return the first step of a client, with the masked words or the labels behind it."""
    config = tiny.config_of(kind, clients=1, batch_size=24, rounds=1, local_steps=1)
    prepared = tiny.prepared_for(config, kind, dropout=0.0)
    messages = tiny.overheard(
        kind=kind, dropout=0.0, clients=1, batch_size=24, rounds=1, local_steps=1
    )
    labels = prepared.clients[0].batch(0).labels
    wanted = labels.clamp(min=0) if labels.dim() == 2 else labels[:, None] + 1
    chance = 1 / update_worlds.WORDS if labels.dim() == 2 else 0.5
    return World(messages, HeadKnowledge(head=prepared.split.head), [wanted.numpy()], chance)


def drowned_gradient(world: World) -> World:
    """Return the same step, G_Z replaced by noise that the adversary knows of."""
    rng = np.random.default_rng(4)
    messages: list[Message] = [
        replace(m, gradient=rng.normal(size=m.gradient.shape).astype(np.float32))
        if isinstance(m, HiddenGradient)
        else m
        for m in world.messages
    ]
    return replace(world, messages=messages, knowledge=replace(world.knowledge, noise_std=1.0))


def rounds(**settings: Any) -> World:
    """Return updates with the sequences behind each."""
    found = update_worlds.one_round(**settings)
    return World(found.messages, found.knowledge, found.true, 1 / update_worlds.WORDS)


def drowned_rounds(**settings: Any) -> World:
    found = update_worlds.drowned(update_worlds.one_round(**settings))
    return World(found.messages, found.knowledge, found.true, 1 / update_worlds.WORDS)


# name in the catalogue -> (open world, noise, knowledge without anything, what it then lacks)
ROWS: dict[str, tuple[Callable[[], World], Callable[[], World], Any, str]] = {
    "masked_tokens": (
        lambda: backward("mlm-tied"),
        lambda: drowned_gradient(backward("mlm-tied")),
        HeadKnowledge(),
        "`head`",
    ),
    "label_from_gradient": (
        lambda: backward("two"),
        lambda: drowned_gradient(backward("two")),
        HeadKnowledge(),
        "`head`",
    ),
    "row_order": (rounds, drowned_rounds, UpdateKnowledge(), "`word` and `position`"),
    "span_check": (rounds, drowned_rounds, UpdateKnowledge(), "`model`"),
    "gradient_matching": (
        lambda: rounds(batch=2, clients=6),
        lambda: drowned_rounds(clients=4),
        UpdateKnowledge(),
        "`model`",
    ),
}
SETS = ("embedding_rows", "embedding_rows_peer")  # answer with sets of words


def attack(name: str) -> Any:
    return resolve(name, BACKWARD if name in BACKWARD else UPDATES, "attacks")()


def answers(name: str, world: World) -> list[Any]:
    chosen = attack(name)
    verb = getattr(chosen, "labels", None) or chosen.reconstruct
    found: list[Any] = verb(world.messages, world.knowledge, torch.Generator().manual_seed(0))
    return found


def accuracy(name: str, world: World) -> Any:
    """How much of what counts was guessed; a refusal is a guess of nothing."""
    hits, counted = [], [~np.isin(each, SPECIAL[:1]) for each in world.true]
    if name != "label_from_gradient":
        counted = [~np.isin(each, SPECIAL) for each in world.true]
    for true, mask, found in zip(world.true, counted, answers(name, world), strict=True):
        if isinstance(found, NotApplicable):
            found = np.zeros((1, 1), dtype=np.int64)
        if name in UPDATES:
            found = matched(true, mask, found)
        hits.append(found[:, None] + 1 if found.ndim == 1 else found)
    return token_accuracy(world.true, hits, counted, np.random.default_rng(0), SURE)


def test_every_attack_of_both_families_has_a_row() -> None:
    assert set(ROWS) | set(SETS) == set(BACKWARD) | set(UPDATES)


@pytest.mark.parametrize("name", ROWS)
def test_it_wins_in_the_open_and_not_in_noise(name: str) -> None:
    """The second half alarms falsely with probability 1e-4."""
    assert accuracy(name, ROWS[name][0]()).value >= 0.95
    noise = ROWS[name][1]()
    found = accuracy(name, noise)
    assert found.low <= noise.chance and found.value <= noise.chance + 0.25


@pytest.mark.parametrize("name", SETS)
def test_sets_of_words_are_exact_in_the_open_and_empty_in_noise(name: str) -> None:
    """Under noise 0.01 words are expected to be named per table: two in 12 with 7e-3 at most,
    and three with 3e-4 (Poisson); half of the tables' words would be some 300."""
    world = update_worlds.one_round(rounds=2 if name.endswith("peer") else 1)
    chosen = attack(name)
    found = chosen.tokens(world.messages, world.table)
    if name == "embedding_rows":
        for words, rows in zip(found, world.true, strict=True):
            assert set(words.tolist()) == set(rows[rows > 0].tolist())
    else:
        everybody = set(np.concatenate([rows.ravel() for rows in world.true]).tolist()) - {0}
        assert len(found) == 12 and all(set(words.tolist()) >= everybody for words in found[:1])
    start = world.messages[0].tensors  # type: ignore[union-attr]
    word = str(world.table.word)
    rng = np.random.default_rng(1)
    table = start[word] + rng.normal(size=start[word].shape)  # type: ignore[union-attr]
    later = [replace(m, tensors={**m.tensors, word: table}) for m in world.messages[1:2]]  # type: ignore[union-attr, type-var]
    if name.endswith("peer"):
        later = [replace(world.messages[0], round=1, tensors={**start, word: table})]  # type: ignore[arg-type, type-var]
    named = chosen.tokens([world.messages[0], *later], TableKnowledge(word, noise_std=1.0))
    assert sum(map(len, named)) <= 2


@pytest.mark.parametrize("name", ROWS)
def test_what_is_missing_is_named_and_refused_in_one_line(name: str) -> None:
    make, _, nothing, lack = ROWS[name]
    world = make()
    assert attack(name).missing(world.knowledge) is None
    assert lack in attack(name).missing(nothing).words
    with pytest.raises(InputError, match="expected knowledge"):
        answers(name, replace(world, knowledge=nothing))


@pytest.mark.parametrize("name", ROWS)
def test_it_repeats_itself_and_leaves_the_global_generator_alone(name: str) -> None:
    world = ROWS[name][1]()
    state = torch.random.get_rng_state()
    first, second = (answers(name, world) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert one == other if isinstance(one, NotApplicable) else np.array_equal(one, other)
    assert torch.equal(state, torch.random.get_rng_state())
