"""Estimated scale of Gaussian noise: how near it is, and what not knowing it costs.

Over 40 other seeds of the noise the estimate's standard deviation was at most .0098 of the scale,
and its mean within .0022, at four of the levels below; n rows of d values give 1 / sqrt(2 n d) =
.008 at least. So 5 % are five standard deviations: a level alarms falsely with probability 1e-6.
"""

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from attacks.attack import Knowledge
from attacks.inversion import unknown_scale
from attacks.inversion.language_prior import LanguagePrior
from attacks.inversion.nearest_token import NearestToken
from attacks.inversion.unknown_scale import UnknownScale
from fedbert.errors import InputError
from fedbert.messages import SmashedData
from fedbert.split import SplitBert
from tests.attacks import worlds
from tests.attacks.inversion.test_language_prior import SEP, batch_of, known, source

ATTACK = UnknownScale()
WITHIN = 0.05  # of the true scale
GAP = 0.02  # in the share of words recovered, to who knows the scale
SIZES = {"small": (60, 16, 40), "wide": (500, 64, 20)}  # vocabulary, hidden, sentences


def draws() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@cache
def world(size: str, types: int = 2) -> tuple[SplitBert, Any, tuple[np.ndarray, ...]]:
    vocab, hidden, count = SIZES[size]
    split = worlds.model(vocab_size=vocab, hidden_size=hidden, type_vocab_size=types)
    sentences = source(vocab, count, 14, np.random.default_rng(4))
    sentences = [np.append(s[: 8 + i % 8], SEP) for i, s in enumerate(sentences)]  # ragged
    return split, batch_of(sentences), tuple(source(vocab, 500, 14, np.random.default_rng(3)))


def heard(size: str, **mechanism: Any) -> tuple[SmashedData, Knowledge, np.ndarray, np.ndarray]:
    """Return a message, what is known of it, its words, and where they are."""
    split, batch, texts = world(size)
    message = worlds.smashed(split, batch, **mechanism)
    true = batch.input_ids.numpy()
    return message, known(split, texts, **mechanism), true, true >= worlds.FIRST_WORD


def shares(size: str, **mechanism: Any) -> dict[str, float]:
    """Return what each attacker recovers of the words."""
    message, knowledge, true, counted = heard(size, **mechanism)
    return {
        each.name: float(
            (each.reconstruct([message], knowledge, draws())[0] == true)[counted].mean()
        )
        for each in (NearestToken(), LanguagePrior(), ATTACK)
    }


LEVELS = [
    ("small", {"noise_std": 1e-3}, (1.0, 1.0)),
    ("small", {"noise_std": 0.2}, (0.97, 1.0)),
    ("small", {"noise_std": 1.2}, (0.35, 0.65)),
    ("small", {"noise_std": 3.0}, (0.1, 0.35)),
    ("small", {"noise_std": 0.6, "clip_norm": 3.0}, (0.35, 0.75)),
    ("wide", {"noise_std": 0.5}, (0.97, 1.0)),
    ("wide", {"noise_std": 2.5}, (0.35, 0.65)),
    ("wide", {"noise_std": 0.2, "clip_norm": 6.0, "unit": "sequence"}, (0.6, 1.0)),
    ("wide", {"noise_std": 2.0, "dropout": 0.1}, (0.35, 0.75)),
]


@pytest.mark.parametrize(("size", "mechanism", "between"), LEVELS, ids=str)
def test_the_scale_is_found_and_costs_next_to_nothing(
    size: str, mechanism: dict[str, Any], between: tuple[float, float]
) -> None:
    """Where nearly all is read, where about half is, and where little is."""
    message, knowledge, *_ = heard(size, **mechanism)
    found = ATTACK.noise_std([message], knowledge, draws())
    assert found == pytest.approx(knowledge.noise_std, rel=WITHIN)
    told = shares(size, **mechanism)
    assert between[0] <= told["bigram prior"] <= between[1]
    assert abs(told["bigram prior"] - told[ATTACK.name]) <= GAP


def test_the_nearest_candidates_residuals_would_be_too_small() -> None:
    """What the posterior weights are for: by the nearest alone it is 9 % too small here."""
    message, knowledge, *_ = heard("small", noise_std=3.0)
    split, *_ = world("small")
    residuals = []
    for rows, mask in zip(message.activations, message.attention_mask, strict=True):
        for s in np.flatnonzero(mask):
            candidates = worlds.all_rows(split, s).flatten(0, 1)
            apart = (candidates - torch.tensor(rows[s]).double()).square().mean(1)
            residuals.append(float(apart.min()))
    assert np.mean(residuals) ** 0.5 < (1 - WITHIN) * 3.0
    assert ATTACK.noise_std([message], knowledge, draws()) == pytest.approx(3.0, rel=WITHIN)


def test_it_agrees_with_the_likelihoods_maximum() -> None:
    """An oracle without EM: the likelihood of every row, all candidates written out, on a grid."""
    message, knowledge, *_ = heard("small", noise_std=1.2)
    split, _, texts = world("small")
    frequencies = unknown_scale.frequencies(texts, 60).double()
    logs, apart = [], []
    for rows, mask in zip(message.activations, message.attention_mask, strict=True):
        last = int(mask.sum()) - 1
        for s in range(last + 1):
            where = 0 if s == 0 else 2 if s == last else 1
            away = (worlds.all_rows(split, s) - torch.tensor(rows[s]).double()).square().sum(2)
            apart.append(away.flatten())
            logs.append(frequencies[where].repeat(len(away)))
    squared, prior = torch.stack(apart), torch.stack(logs)
    grid = torch.linspace(1.0, 1.4, 801, dtype=torch.float64)
    likelihood = [
        float(torch.logsumexp(prior - squared / (2 * s * s), 1).sum())
        - len(squared) * 16 * float(s.log())
        for s in grid
    ]
    best = float(grid[int(np.argmax(likelihood))])
    found = ATTACK.noise_std([message], knowledge, draws())
    assert found == pytest.approx(best, abs=6e-4)


@pytest.mark.parametrize("mechanism", [{}, {"clip_norm": 3.0}, {"dropout": 0.3}], ids=str)
def test_without_noise_it_reads_everything(mechanism: dict[str, Any]) -> None:
    """Whether it is told that there is none, or told Gaussian noise."""
    message, knowledge, true, counted = heard("small", **mechanism)
    for noise in ("gaussian", "none"):
        given = replace(knowledge, noise=noise)
        assert ATTACK.noise_std([message], given, draws()) == 0.0
        guess = ATTACK.reconstruct([message], given, draws())[0]
        assert (guess == true)[counted].mean() > 0.99


@pytest.mark.parametrize("dropout", [0.1, 0.3])
def test_noise_that_dropout_hides_is_still_noise(dropout: float) -> None:
    """Zeros do not show, so the decode for no noise, which goes by them, would be misled."""
    message, knowledge, *_ = heard("small", noise_std=1e-3, dropout=dropout)
    assert ATTACK.noise_std([message], knowledge, draws()) > 0
    told = shares("small", noise_std=1e-3, dropout=dropout)
    assert abs(told["bigram prior"] - told[ATTACK.name]) <= GAP


def test_in_pure_noise_it_is_at_chance_and_finds_the_scale() -> None:
    """Chance: the most frequent word's share. 400 words; four standard errors are at most .1."""
    message, knowledge, true, counted = heard("small", noise_std=1e3)
    found = ATTACK.noise_std([message], knowledge, draws())
    assert found == pytest.approx(1e3, rel=WITHIN)
    guess = ATTACK.reconstruct([message], knowledge, draws())[0]
    words = true[counted]
    often = np.bincount(words).max() / len(words)
    assert (guess == true)[counted].mean() <= often + 4 * (often / len(words)) ** 0.5


def test_the_true_scale_is_never_read() -> None:
    """Whatever scale stands in the knowledge, the estimate and the answer are the same."""
    message, knowledge, *_ = heard("small", noise_std=1.2)
    right = ATTACK.reconstruct([message], knowledge, draws())[0]
    scale = ATTACK.noise_std([message], knowledge, draws())
    for told in (0.0, 0.1, 50.0):
        given = replace(knowledge, noise_std=told)
        np.testing.assert_array_equal(ATTACK.reconstruct([message], given, draws())[0], right)
        assert ATTACK.noise_std([message], given, draws()) == scale
        wrong = LanguagePrior().reconstruct([message], given, draws())[0]
        assert (wrong != right).any()  # who goes by what is told is misled


def test_few_rows_drawn_from_all_messages_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 500 rows, 60 from two messages: 12 % are more than four standard deviations, 1e-4."""
    message, knowledge, *_ = heard("small", noise_std=1.2)
    halves = [
        replace(
            message, activations=message.activations[s], attention_mask=message.attention_mask[s]
        )
        for s in (slice(0, 20), slice(20, 40))
    ]
    whole = ATTACK.noise_std(halves, knowledge, draws())
    assert whole == pytest.approx(ATTACK.noise_std([message], knowledge, draws()), rel=1e-9)
    monkeypatch.setattr(unknown_scale, "MOST_SCORES", 60 * 120)
    few = ATTACK.noise_std(halves, knowledge, draws())
    assert few != whole and few == pytest.approx(1.2, rel=0.12)


def test_no_message_and_no_token_are_no_trouble() -> None:
    message, knowledge, *_ = heard("small", noise_std=1.0)
    empty = replace(message, attention_mask=np.zeros_like(message.attention_mask))
    assert ATTACK.reconstruct([], knowledge, draws()) == []
    assert (ATTACK.reconstruct([empty], knowledge, draws())[0] == 0).all()


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"noise": "unknown"}, ("noise",)),
        ({"noise": "laplace"}, ("noise",)),
        ({"noise": "metric"}, ("noise",)),
        ({"basis": torch.eye(16)[:, :4]}, ("basis",)),
        ({"auxiliary": None, "embedding": None}, ("embedding", "auxiliary")),
    ],
    ids=lambda x: str(x)[:20],
)
def test_noise_of_another_kind_is_refused(change: dict[str, Any], fields: tuple[str, ...]) -> None:
    message, knowledge, *_ = heard("small", noise_std=1.0)
    lacks = ATTACK.missing(replace(knowledge, **change))
    assert lacks is not None and lacks.fields == fields
    with pytest.raises(InputError, match="expected knowledge that serves bigram prior, unknown"):
        ATTACK.reconstruct([message], replace(knowledge, **change), draws())


def test_a_shortlist_of_nothing_is_refused() -> None:
    with pytest.raises(InputError, match="shortlist >= 1"):
        UnknownScale(shortlist=0)
