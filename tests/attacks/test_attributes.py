"""Laws of attacks on attributes: they win in the open, not in noise, and say what they lack."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from attacks.attack import Lacks
from attacks.attributes.knowledge import AttributeKnowledge, mean_rows, smashed_vectors
from attacks.attributes.probe import AttributeProbe
from evaluation.grid.build import resolve
from evaluation.grid.catalogue import ATTRIBUTES
from evaluation.metrics.attributes import inferred
from evaluation.metrics.membership import EVEN
from fedbert.errors import InputError
from tests.attacks import worlds
from tests.attacks.test_contract import deep_world, informed_world

VALUES, HIDDEN, TEXTS, PRIVATE = 3, 20, 300, 400
Z = 3.9  # standard deviations that a share misses by with probability 1e-4


@dataclass(frozen=True)
class World:
    vectors: np.ndarray
    truth: np.ndarray
    known: AttributeKnowledge


def world(noise: float, told: bool = True) -> World:
    """Return vectors with a direction for each value, under noise; or values of no vector's."""
    rng = np.random.default_rng(0)
    directions = rng.normal(size=(VALUES, HIDDEN))
    values, truth = rng.integers(0, VALUES, TEXTS), rng.integers(0, VALUES, PRIVATE)
    clean, private = (directions[each] + 0.3 * rng.normal(size=(len(each), HIDDEN)) for each in
                      (values, truth))  # fmt: skip

    def vectors(generator: torch.Generator) -> np.ndarray:
        drawn = torch.randn(clean.shape, generator=generator).numpy()
        return np.asarray(clean + noise * drawn)

    sent = private + noise * rng.normal(size=private.shape)
    own = values if told else rng.permutation(values)
    return World(sent, truth, AttributeKnowledge(vectors, own * 10, noisy=noise > 0))


def ask(name: str, given: World) -> np.ndarray:
    attack = resolve(name, ATTRIBUTES, "attacks")()
    found: np.ndarray = attack.infer(given.vectors, given.known, torch.Generator().manual_seed(0))
    return found


WON: list[Callable[[], World]] = [lambda: world(0.0), lambda: world(0.5)]
LOST: list[Callable[[], World]] = [lambda: world(300.0), lambda: world(0.0, told=False)]


@pytest.mark.parametrize("name", ATTRIBUTES)
@pytest.mark.parametrize("make", WON)
def test_it_wins_in_the_open(name: str, make: Callable[[], World]) -> None:
    given = make()
    logs = ask(name, given)
    assert logs.shape == (PRIVATE, VALUES) and np.allclose(np.exp(logs).sum(1), 1)
    assert (logs.argmax(1) == given.truth).mean() > 0.9
    assert np.array_equal(logs, ask(name, given)), "law: it repeats itself from one seed"


@pytest.mark.parametrize("name", ATTRIBUTES)
@pytest.mark.parametrize("make", LOST)
def test_it_is_at_chance_where_the_vectors_tell_nothing(
    name: str, make: Callable[[], World]
) -> None:
    """Whatever it answers is independent of the truth: right in a third, up to chance of 1e-4."""
    given = make()
    right = (ask(name, given).argmax(1) == given.truth).mean()
    assert abs(right - 1 / VALUES) < Z * np.sqrt(2 / 9 / PRIVATE)


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_what_is_missing_is_named_and_refused(name: str) -> None:
    attack = resolve(name, ATTRIBUTES, "attacks")()
    lacks = attack.missing(AttributeKnowledge())
    assert isinstance(lacks, Lacks) and set(lacks.fields) == {"vectors", "values"}
    few = AttributeKnowledge(lambda _: np.zeros((9, 2)), np.arange(9))
    assert "at least 40 auxiliary texts, not 9" in attack.missing(few).words
    one = AttributeKnowledge(lambda _: np.zeros((50, 2)), np.zeros(50))
    assert "two different ones" in attack.missing(one).words
    with pytest.raises(InputError, match="expected knowledge that serves"):
        attack.infer(np.zeros((1, 2)), AttributeKnowledge(), torch.Generator())


def test_it_learns_through_the_noise() -> None:
    """Trained on clean vectors it would be overconfident; its ridge is chosen through the noise."""
    noisy = world(2.0)
    blind = AttributeKnowledge(world(0.0).known.vectors, noisy.known.values)
    draws = torch.Generator().manual_seed(0)
    truth = noisy.truth
    aware, unaware = (
        AttributeProbe().infer(noisy.vectors, known, draws)[np.arange(len(truth)), truth].mean()
        for known in (noisy.known, blind)
    )
    assert aware > unaware


def test_auxiliary_texts_are_made_as_messages_are() -> None:
    """Without a mechanism, the mean rows of auxiliary text are those of a message of it."""
    split = worlds.model()
    given = informed_world("bert")
    knowledge = deep_world("bert", 0).knowledge
    assert knowledge.auxiliary is not None
    texts = worlds.batch(split, 40, 16, seed=4)
    lengths = texts.attention_mask.sum(1)

    own = tuple(i[:n].numpy() for i, n in zip(texts.input_ids, lengths, strict=True))
    kinds = tuple(k[:n].numpy() for k, n in zip(texts.token_type_ids, lengths, strict=True))
    known = replace(given.knowledge, bottom=split.bottom, auxiliary=own, auxiliary_types=kinds)
    made = smashed_vectors(known, "test")(torch.Generator().manual_seed(0))
    assert np.allclose(made, mean_rows(worlds.smashed(split, texts)), atol=1e-5)


def test_metrics_beside_chance() -> None:
    logs = np.log(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.7, 0.3]]))
    told = list(inferred(logs, np.array([3, 7]), np.array([3, 7, 7, 3])))
    assert [(name, e.value, chance) for name, e, chance in told] == [
        ("attribute_accuracy", 0.75, 0.5),
        ("attribute_auc", 1.0, EVEN["auc"]),
    ]
    told = list(inferred(logs, np.array([3, 7]), np.array([3, 7, 8, 3])))
    assert [(name, e.value, chance) for name, e, chance in told] == [
        ("attribute_accuracy", 0.75, 0.5)
    ]
