"""The laws of every attack of the catalogue: one row of examples each."""

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import attacks
from attacks.attack import Knowledge
from evaluation.catalogue import INVERSION, MEMBERSHIP, resolve
from evaluation.leakage import auc, token_accuracy
from fedbert.batches import Batch
from fedbert.config import InputError
from fedbert.messages import SmashedData
from tests.attacks import worlds

SURE = 1 - 1e-4  # confidence of the intervals: the false-alarm rate of each control


@dataclass(frozen=True)
class Inversion:
    """Messages, what is known, and the truth [batch, seq] with the mask of what counts."""

    messages: list[SmashedData]
    knowledge: Knowledge
    true: list[np.ndarray]
    counted: list[np.ndarray]


@dataclass(frozen=True)
class Membership:
    members: list[Batch]
    others: list[Batch]
    knowledge: Knowledge


def smashed_world(architecture: str) -> Inversion:
    """Return smashed data of uniformly random words, nothing hidden."""
    split = worlds.model(architecture)
    batches = [worlds.batch(split, 40, 16, seed=seed) for seed in range(5)]
    return Inversion(
        [worlds.smashed(split, each) for each in batches],
        Knowledge(embedding=split.embedding_tables()),
        [each.input_ids.numpy() for each in batches],
        [each.attention_mask.numpy() for each in batches],
    )


def informed_world(architecture: str) -> Inversion:
    """Return the same, with auxiliary text of uniformly random words."""
    world, split = smashed_world(architecture), worlds.model(architecture)
    texts = worlds.batch(split, 200, 16, seed=9, ragged=False).input_ids.numpy()
    return replace(world, knowledge=replace(world.knowledge, auxiliary=tuple(texts)))


def drowned(world: Inversion) -> Inversion:
    """Return the same world, its messages replaced by pure noise."""
    rng = np.random.default_rng(5)
    noise = [
        replace(m, activations=rng.normal(size=m.activations.shape).astype(np.float32) * 1e3)
        for m in world.messages
    ]
    return replace(world, messages=noise, knowledge=replace(world.knowledge, noise_std=1e3))


def trained_world() -> Membership:
    """Return a model that learnt 40 random examples with random labels by heart."""
    split = worlds.model()
    members, others = (worlds.batch(split, 40, 12, seed=seed) for seed in (1, 2))
    optimizer = torch.optim.Adam(split.whole.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        split.losses(members).mean().backward()
        optimizer.step()
    return Membership([members], [others], Knowledge(model=split))


def untrained_world() -> Membership:
    """Return a model that saw neither side."""
    split = worlds.model()
    members, others = (worlds.batch(split, 200, 12, seed=seed) for seed in (1, 2))
    return Membership([members], [others], Knowledge(model=split))


# name in the catalogue -> (open worlds, lacking knowledge by field)
INVERSIONS: dict[str, tuple[list[Callable[[], Inversion]], set[str]]] = {
    "nearest_token": (
        [lambda: smashed_world("bert"), lambda: smashed_world("roberta")],
        {"embedding"},
    ),
    **{
        name: (
            [lambda: informed_world("bert"), lambda: informed_world("roberta")],
            {"embedding", "auxiliary"},
        )
        for name in ("unigram_prior", "bigram_prior")
    },
}
# name in the catalogue -> (open world, world to be at chance in, lacking knowledge by field)
MEMBERSHIPS: dict[str, tuple[Callable[[], Membership], Callable[[], Membership], set[str]]] = {
    "loss_threshold": (trained_world, untrained_world, {"model"}),
}
INVERSION_CASES = [(name, make) for name, (worlds_, _) in INVERSIONS.items() for make in worlds_]
NEEDS = {name: row[-1] for name, row in (INVERSIONS | MEMBERSHIPS).items()}


def attack(name: str) -> Any:
    catalogue = INVERSION if name in INVERSION else MEMBERSHIP
    return resolve(name, catalogue, "attacks")()


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_every_attack_has_an_example() -> None:
    assert set(INVERSIONS) == set(INVERSION)
    assert set(MEMBERSHIPS) == set(MEMBERSHIP)


@pytest.mark.parametrize(("name", "make"), INVERSION_CASES)
def test_inversion_wins_in_the_open_and_not_in_noise(
    name: str, make: Callable[[], Inversion]
) -> None:
    """Chance is one in the words; the second half alarms falsely with probability 1e-4."""
    rng = np.random.default_rng(0)
    world = make()
    guesses = attack(name).reconstruct(world.messages, world.knowledge, generator())
    assert token_accuracy(world.true, guesses, world.counted, rng, SURE).low > 0.9
    noise = drowned(world)
    guesses = attack(name).reconstruct(noise.messages, noise.knowledge, generator())
    found = token_accuracy(world.true, guesses, world.counted, rng, SURE)
    assert found.low <= 1 / (60 - worlds.FIRST_WORD) <= found.high
    assert found.high < 0.1


@pytest.mark.parametrize("name", MEMBERSHIPS)
def test_membership_wins_in_the_open_and_not_where_nothing_was_learnt(name: str) -> None:
    """The second half alarms falsely with probability 1e-4."""
    for make, wins in zip(MEMBERSHIPS[name][:2], (True, False), strict=True):
        world = make()
        ins, outs = (attack(name).score(x, world.knowledge) for x in (world.members, world.others))
        found = auc(ins, outs, SURE)
        assert (found.low > 0.6) if wins else (found.low <= 0.5 <= found.high)


@pytest.mark.parametrize("name", NEEDS)
def test_what_is_missing_is_named_and_refused_in_one_line(name: str) -> None:
    chosen = attack(name)
    text = chosen.missing(Knowledge())
    assert text is not None and all(f"`{need}`" in text for need in NEEDS[name])
    if name in INVERSIONS:
        world = INVERSIONS[name][0][0]()
        assert chosen.missing(world.knowledge) is None
        with pytest.raises(InputError, match="expected knowledge"):
            chosen.reconstruct(world.messages, Knowledge(), generator())
    else:
        trained = MEMBERSHIPS[name][1]()
        assert chosen.missing(trained.knowledge) is None
        with pytest.raises(InputError, match="expected knowledge"):
            chosen.score(trained.members, Knowledge())


@pytest.mark.parametrize(("name", "make"), INVERSION_CASES)
def test_inversion_repeats_itself_and_leaves_the_messages_and_the_global_generator_alone(
    name: str, make: Callable[[], Inversion]
) -> None:
    world = drowned(make())
    before = [message.activations.copy() for message in world.messages]
    state = torch.random.get_rng_state()
    first, second = (
        attack(name).reconstruct(world.messages, world.knowledge, generator()) for _ in range(2)
    )
    for one, other, message, copy in zip(first, second, world.messages, before, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(message.activations, copy)
        assert one.dtype == np.int64 and one.shape == message.attention_mask.shape
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("name", MEMBERSHIPS)
def test_membership_scores_repeat_and_follow_the_order(name: str) -> None:
    world = MEMBERSHIPS[name][1]()
    [batch] = world.members
    first, second = (attack(name).score([batch], world.knowledge) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert first.shape == (200,) and np.isfinite(first).all()
    turned = Batch(*(x.flip(0) for x in vars(batch).values()))
    np.testing.assert_allclose(
        attack(name).score([turned], world.knowledge), first[::-1], rtol=1e-4, atol=1e-6
    )


def test_attacks_cannot_reach_the_truth() -> None:
    """No module of attacks imports more of ours than messages, split, batches and config.

    And an inversion attack is handed messages, knowledge and a generator, nothing else.
    """
    allowed = {"fedbert.messages", "fedbert.split", "fedbert.batches", "fedbert.config"}
    ours = ("fedbert", "privacy", "evaluation", "reports")
    seen: set[str] = set()
    for path in Path(next(iter(attacks.__path__))).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                seen.add(node.module)
            elif isinstance(node, ast.Import):
                seen.update(alias.name for alias in node.names)
    found = {name for name in seen if name.split(".")[0] in ours}
    assert found and found <= allowed
    for name in INVERSIONS:
        parameters = list(inspect.signature(attack(name).reconstruct).parameters)
        assert parameters == ["messages", "knowledge", "generator"]
