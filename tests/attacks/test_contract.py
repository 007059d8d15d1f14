"""The laws of every attack of the catalogue: one row of examples each."""

import ast
import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import attacks
from attacks.attack import Knowledge
from attacks.signals import Answers, Signals
from evaluation.grid.build import resolve
from evaluation.grid.catalogue import INVERSION, MEMBERSHIP
from evaluation.metrics.membership import auc
from evaluation.metrics.tokens import token_accuracy
from fedbert.data.batches import Batch
from fedbert.errors import InputError
from fedbert.messages import SmashedData
from fedbert.split import cut
from tests.attacks import worlds
from tests.attacks.membership_worlds import Membership, drawn, in_order, learnt, matched

World = Callable[[], Membership]
SURE = 1 - 1e-4  # confidence of the intervals: the false-alarm rate of each control


@dataclass(frozen=True)
class Inversion:
    """Messages, what is known, and the truth [batch, seq] with the mask of what counts."""

    messages: list[SmashedData]
    knowledge: Knowledge
    true: list[np.ndarray]
    counted: list[np.ndarray]


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


def deep_world(architecture: str, cut_layer: int) -> Inversion:
    """Return the same, with E itself, encoder layers included, and a single token type."""
    settings = {"num_hidden_layers": 2, "type_vocab_size": 1, "initializer_range": 0.15}
    split = cut(worlds.model(architecture, **settings).whole, cut_layer)
    batches = [worlds.batch(split, 40, 16, seed=seed) for seed in range(5)]
    return Inversion(
        [worlds.smashed(split, each) for each in batches],
        Knowledge(
            embedding=None if cut_layer else split.embedding_tables(),
            bottom=split.bottom,
            protect=lambda a, batch, generator: a,
            auxiliary=tuple(worlds.batch(split, 200, 16, 9, ragged=False).input_ids.numpy()),
        ),
        [each.input_ids.numpy() for each in batches],
        [each.attention_mask.numpy() for each in batches],
    )


def drowned(world: Inversion) -> Inversion:
    """Return the same world, its messages replaced by pure noise."""
    rng = np.random.default_rng(5)
    noise = [
        replace(m, activations=rng.normal(size=m.activations.shape).astype(np.float32) * 1e3)
        for m in world.messages
    ]
    knowledge = replace(world.knowledge, noise_std=1e3)
    if knowledge.protect is not None:
        knowledge = replace(knowledge, protect=noised)
    return replace(world, messages=noise, knowledge=knowledge)


def noised(a: torch.Tensor, batch: Batch, generator: torch.Generator) -> torch.Tensor:
    return 1e3 * torch.randn(a.shape, generator=generator)


# name in the catalogue -> (open worlds, lacking knowledge by field)
INVERSIONS: dict[str, tuple[list[Callable[[], Inversion]], set[str]]] = {
    "most_frequent": ([lambda: informed_world("bert")], {"auxiliary"}),
    "nearest_token": (
        [lambda: smashed_world("bert"), lambda: smashed_world("roberta")],
        {"embedding"},
    ),
    **{
        name: (
            [lambda: informed_world("bert"), lambda: informed_world("roberta")],
            {"embedding", "auxiliary"},
        )
        for name in ("unigram_prior", "bigram_prior", "unknown_scale")
    },
    # What learns first takes long: one world each, at the embeddings or behind two layers.
    "masked_prior": ([lambda: informed_world("bert")], {"embedding", "auxiliary"}),
    **{
        name: ([partial(deep_world, *where)], {"bottom", "protect", "auxiliary"})
        for name, where in {
            "learned_decoder": ("roberta", 2),
            "noise_unaware": ("bert", 0),
            "optimisation": ("bert", 0),
        }.items()
    },
}
# name in the catalogue -> (open worlds, worlds to be at chance in, lacking signals by field)
DRAWN = [lambda: drawn(3.0)], [lambda: drawn(0.0)]
LEARNT = [lambda: learnt(60), lambda: drawn(3.0)], [lambda: learnt(0, 400), lambda: drawn(0.0)]
ANSWERED = [lambda: learnt(150, 300), lambda: drawn(8.0)], LEARNT[1]  # a class tells little
MATCHED = [lambda: matched(0.0), lambda: matched(0.5)], [lambda: matched(1e3)]
MEMBERSHIPS: dict[str, tuple[list[World], list[World], set[str]]] = {
    "random_guess": ([], [lambda: drawn(3.0), lambda: drawn(0.0)], set()),
    "loss_threshold": (*LEARNT, set()),
    "entropy": ([lambda: drawn(6.0)], [lambda: learnt(0, 400), lambda: drawn(0.0)], {"logs"}),
    "modified_entropy": (*LEARNT, {"logs"}),
    **{name: (*ANSWERED, {"answered"}) for name in ("label_gap", "label_only")},
    **{
        name: (*DRAWN, {"shadow_losses"})
        for name in ("reference_ratio", "lira_online", "lira_offline")
    },
    **{name: (*DRAWN, {"population"}) for name in ("rmia", "rmia_online", "quantile_regression")},
    "loss_over_rounds": (*LEARNT, {"round_losses"}),
    "update_cosine": (*LEARNT, {"alignments"}),
    "gradient_difference": (*LEARNT, {"projections"}),
    "message_matching": (*MATCHED, {"nearness"}),
}
MEMBERSHIP_CASES = [
    (name, make, side == 0)
    for name, row in MEMBERSHIPS.items()
    for side in (0, 1)
    for make in row[side]
]
NOTHING = Signals(Answers(np.ones(4)))
INVERSION_CASES = [(name, make) for name, (worlds_, _) in INVERSIONS.items() for make in worlds_]
NEEDS = {name: row[-1] for name, row in (INVERSIONS | MEMBERSHIPS).items()}


def attack(name: str) -> Any:
    catalogue = INVERSION if name in INVERSION else MEMBERSHIP
    return resolve(name, catalogue, "attacks")()


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def draws() -> np.random.Generator:
    return np.random.default_rng([0, 1])  # no world is drawn from this seed


@pytest.fixture(autouse=True)
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decoders are trained for few steps: in the open they win before the first."""
    monkeypatch.setattr("attacks.inversion.learned_decoder.MOST_STEPS", 10)
    monkeypatch.setattr("attacks.inversion.parts.cloze.MOST_STEPS", 10)
    monkeypatch.setattr("attacks.inversion.parts.simulation.TOKENS_PER_WIDTH", 60)


def test_every_attack_has_an_example() -> None:
    """An attack wins somewhere, or it is a baseline by its entry of the catalogue."""
    for examples, catalogue in ((INVERSIONS, INVERSION), (MEMBERSHIPS, MEMBERSHIP)):
        apart = set(examples) ^ set(catalogue)
        assert not apart, f"law: one row here for one line of the catalogue, got {apart}"
    for name, (open_worlds, *_) in MEMBERSHIPS.items():
        bare = MEMBERSHIP[name].baseline
        assert bare is not bool(open_worlds), f"law: {name} has a world to win in, or is a baseline"


@pytest.mark.parametrize(("name", "make"), INVERSION_CASES)
def test_inversion_wins_in_the_open_and_not_in_noise(
    name: str, make: Callable[[], Inversion]
) -> None:
    """Chance is one in the words; where there is nothing to win, it alarms falsely with
    probability 1e-4. A baseline's positive control is that it reaches chance.
    """
    rng, chance = np.random.default_rng(0), 1 / (60 - worlds.FIRST_WORD)
    world = make()
    noise = drowned(world)
    told, in_noise = (
        attack(name).reconstruct(each.messages, each.knowledge, generator())
        for each in (world, noise)
    )
    found = token_accuracy(world.true, told, world.counted, rng, SURE)
    if INVERSION[name].baseline:
        same = all(map(np.array_equal, told, in_noise))
        assert same, f"law: {name}, a baseline, answers whatever was sent"
        assert found.low <= chance <= found.high, f"law: {name}, a baseline, reaches chance"
    else:
        assert found.low > 0.9, f"law: {name} wins where nothing is hidden (positive control)"
    found = token_accuracy(world.true, in_noise, world.counted, rng, SURE)
    law = f"law: {name} is at chance where the messages are noise (negative control)"
    assert found.low <= chance <= found.high and found.high < 0.1, law


@pytest.mark.parametrize(("name", "make", "wins"), MEMBERSHIP_CASES)
def test_membership_wins_in_the_open_and_not_where_nothing_was_learnt(
    name: str, make: World, wins: bool
) -> None:
    """Where there is nothing to win, it alarms falsely with probability 1e-4; for a baseline there
    never is.
    """
    world = make()
    scores = attack(name).score(world.signals, draws())
    found = auc(scores[world.members], scores[~world.members], SURE)
    if wins:
        assert found.low > 0.6, f"law: {name} wins in the open (positive control)"
    else:
        law = f"law: {name} is at chance where there is nothing to win (negative control)"
        assert found.low <= 0.5 <= found.high, law


@pytest.mark.parametrize("name", NEEDS)
def test_what_is_missing_is_named_and_refused_in_one_line(name: str) -> None:
    chosen = attack(name)
    lacks = chosen.missing(Knowledge() if name in INVERSIONS else NOTHING)
    named = set(() if lacks is None else lacks.fields)
    assert named == NEEDS[name], f"law: {name} names the fields that it lacks, of its row"
    if name in INVERSIONS:
        world = INVERSIONS[name][0][0]()
        assert chosen.missing(world.knowledge) is None
        with pytest.raises(InputError, match="expected knowledge"):
            chosen.reconstruct(world.messages, Knowledge(), generator())
    else:
        assert chosen.missing(MEMBERSHIPS[name][1][0]().signals) is None
        if NEEDS[name]:
            with pytest.raises(InputError, match="expected knowledge that serves"):
                chosen.score(NOTHING, draws())


@pytest.mark.parametrize(("name", "make"), INVERSION_CASES)
def test_inversion_repeats_itself_and_leaves_the_messages_and_the_global_generator_alone(
    name: str, make: Callable[[], Inversion]
) -> None:
    world = drowned(make())
    few = [
        replace(m, activations=m.activations[:8], attention_mask=m.attention_mask[:8])
        for m in world.messages[:2]
    ]
    world = replace(world, messages=few)  # 16 sentences are as good as 200 for this
    before = [message.activations.copy() for message in world.messages]
    state = torch.random.get_rng_state()
    first, second = (
        attack(name).reconstruct(world.messages, world.knowledge, generator()) for _ in range(2)
    )
    for one, other, message, copy in zip(first, second, world.messages, before, strict=True):
        np.testing.assert_array_equal(one, other, f"law: {name} repeats itself from one seed")
        np.testing.assert_array_equal(message.activations, copy, f"law: {name} changes no message")
        law = f"law: {name} answers with ids [batch, seq] int64 of each message"
        assert one.dtype == np.int64 and one.shape == message.attention_mask.shape, law
    law = f"law: {name} draws from the generator that it is handed alone"
    assert torch.equal(state, torch.random.get_rng_state()), law


@pytest.mark.parametrize("name", MEMBERSHIPS)
def test_membership_scores_repeat_and_follow_the_order(name: str) -> None:
    signals = drawn(1.0).signals
    order = np.random.default_rng(1).permutation(400)
    first, second = (attack(name).score(signals, draws()) for _ in range(2))
    np.testing.assert_array_equal(first, second, f"law: {name} repeats itself from one seed")
    law = f"law: {name} gives one finite number per candidate"
    assert first.shape == (400,) and np.isfinite(first).all(), law
    if MEMBERSHIP[name].baseline:
        pytest.skip("a baseline may score by the candidates' order alone")
    turned = attack(name).score(in_order(signals, order), draws())
    law = f"law: {name} scores candidates in any order alike (equivariance)"
    np.testing.assert_allclose(turned, first[order], rtol=1e-9, atol=1e-9, err_msg=law)


@pytest.mark.parametrize("name", MEMBERSHIPS)
def test_less_loss_under_the_target_never_speaks_against_membership(name: str) -> None:
    """All else equal: LiRA on-line and the entropies are no thresholds on the loss."""
    if name in ("lira_online", "entropy", "modified_entropy"):
        pytest.skip("not monotone by design")
    signals = drawn(1.0).signals
    easier = replace(signals.candidates, losses=signals.candidates.losses * 0.7)
    before = attack(name).score(signals, draws())
    assert (
        attack(name).score(replace(signals, candidates=easier), draws()) >= before - 1e-12
    ).all()


def test_attacks_cannot_reach_the_truth() -> None:
    """No module of attacks imports more of ours than messages, split model, batches and errors.

    And an inversion attack is handed messages, knowledge and a generator, a membership attack
    signals and a generator, nothing else.
    """
    allowed = {f"fedbert.{n}" for n in ("messages", "split", "head", "data.batches", "errors")}
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
    for name in MEMBERSHIPS:
        parameters = list(inspect.signature(attack(name).score).parameters)
        assert parameters == ["signals", "generator"], f"law: {name} is handed no more"
