"""The search by gradient descent: its objective written out, and that it never ends worse."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from attacks.inversion.optimisation import CHOICES, Objective, Optimisation
from fedbert.messages import SmashedData
from tests.attacks.forward_worlds import VOCAB, World, world


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@dataclass(frozen=True)
class Reader:
    """Reads the truth, but on some tokens it ranks it only second."""

    true: np.ndarray
    wrong: np.ndarray

    def shortlists(self, message: SmashedData) -> tuple[Tensor, Tensor]:
        words = torch.from_numpy(self.true[message.attention_mask != 0])
        others = torch.stack([(words + step) % VOCAB for step in range(1, 20)], 1)
        ids = torch.cat((words[:, None], others), 1)
        wrong = torch.from_numpy(self.wrong[message.attention_mask != 0])
        ids[wrong, :2] = ids[wrong, :2].flip(1)
        logs = -0.2 * torch.arange(20.0).expand(ids.shape)
        return ids, logs


def recovered(given: World, reader: Any, **knowledge: Any) -> float:
    known = replace(given.knowledge, decoder=reader, **knowledge)
    [guess] = Optimisation().reconstruct([given.message], known, generator())
    return float((guess == given.true)[given.counted].mean())


@pytest.mark.parametrize("cut_layer", [1, 2])
@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_it_repairs_what_the_decoder_got_wrong(cut_layer: int, architecture: str) -> None:
    given = world(cut_layer, sentences=24, architecture=architecture)
    wrong = np.random.default_rng(1).random(given.true.shape) < 0.2
    assert wrong[given.counted].mean() > 0.1
    assert recovered(given, Reader(given.true, wrong)) > 0.98


def test_a_right_start_is_kept_and_at_the_embeddings_a_wrong_one_is_not_needed() -> None:
    deep, shallow = world(1, sentences=24), world(0, sentences=24)
    assert recovered(deep, Reader(deep.true, np.zeros_like(deep.true, dtype=bool))) == 1.0
    hopeless = Reader((shallow.true + 30) % VOCAB, np.zeros_like(shallow.true, dtype=bool))
    assert recovered(shallow, hopeless) == 1.0  # by the nearest word, one of its starts


@pytest.mark.parametrize("noise_std", [0.3, 2.0])
def test_it_never_ends_worse_than_it_began(noise_std: float) -> None:
    given = world(1, noise_std, sentences=24)
    wrong = np.random.default_rng(2).random(given.true.shape) < 0.3
    reader = Reader(given.true, wrong)
    known = replace(given.knowledge, decoder=reader)
    [guess] = Optimisation().reconstruct([given.message], known, generator())
    objective = Objective.of(given.split.bottom, known, generator())
    start = reader.shortlists(given.message)[0][:, 0].view(given.true.shape)
    target = torch.tensor(given.message.activations)
    before, after = (
        objective.of_words(objective.batch(ids, given.batch.attention_mask), target)
        for ids in (start, torch.from_numpy(guess))
    )
    assert (after <= before + 1e-3).all() and (after < before - 1).any()


@pytest.mark.parametrize("unit", ["token", "sequence"])
def test_the_objective_is_what_it_says(unit: str) -> None:
    """Written out: E, clip, distance over twice the variance, less the text's log-probability."""
    given = world(1, 0.4, sentences=6)
    bound = {"token": 3.0, "sequence": 9.0}[unit]

    def protect(a: Tensor, batch: Any, rng: torch.Generator) -> Tensor:
        axes: Any = -1 if unit == "token" else (1, 2)
        norm = torch.linalg.vector_norm(a, dim=axes, keepdim=True)
        clipped = a * (bound / norm).clamp(max=1)
        return clipped + 0.4 * torch.randn(a.shape, generator=rng)

    known = replace(given.knowledge, protect=protect, clip_norm=bound, clip_unit=unit)
    objective = Objective.of(given.split.bottom, known, generator())
    assert objective.variance == pytest.approx(0.16, rel=0.1)
    target = torch.tensor(given.message.activations)
    got = objective.of_words(given.batch, target)
    with torch.no_grad():
        a = protect(given.split.bottom(given.batch), None, generator())
        clipped = a - 0.4 * torch.randn(a.shape, generator=generator())
    for i, ids in enumerate(given.true):
        apart = float((clipped[i] - target[i]).double().square().sum())
        text, previous = 0.0, objective.ngram.edge
        for word in [*ids.tolist(), previous]:
            text += float(objective.ngram.log_bigram(np.array([previous]), np.array([word]))[0, 0])
            previous = word
        expected = apart / (2 * objective.variance) - text
        assert float(got[i]) == pytest.approx(expected, rel=1e-3)


def test_types_of_pairs_follow_the_separator() -> None:
    """In auxiliary pairs the type turns to 1 after the first 3; so it does in a guess."""
    given = world(1, sentences=4)
    text = np.array([2, 7, 8, 3, 9, 10, 3])
    kinds = np.array([0, 0, 0, 0, 1, 1, 1])
    known = replace(given.knowledge, auxiliary=(text,) * 9, auxiliary_types=(kinds,) * 9)
    objective = Objective.of(given.split.bottom, known, generator())
    ids = torch.tensor([[2, 11, 3, 12, 3, 0], [2, 3, 13, 14, 15, 3]])
    mask = torch.tensor([[1, 1, 1, 1, 1, 0], [1, 1, 1, 1, 1, 1]])
    made = objective.batch(ids, mask)
    assert made.token_type_ids.tolist() == [[0, 0, 0, 1, 1, 0], [0, 0, 1, 1, 1, 1]]
    assert CHOICES < VOCAB
