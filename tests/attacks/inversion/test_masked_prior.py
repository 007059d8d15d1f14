import itertools
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from torch import Tensor

from attacks.inversion.language_prior import LanguagePrior
from attacks.inversion.masked_prior import MaskedPrior
from attacks.inversion.nearest_token import NearestToken
from attacks.inversion.parts import cloze
from attacks.inversion.parts.cloze import GAPS, Cloze, Page
from attacks.inversion.parts.ngram import Ngram
from fedbert.errors import InputError
from tests.attacks import worlds
from tests.attacks.inversion.test_language_prior import batch_of, dense, known, source


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def table(vocab: int, width: int = 16) -> Tensor:
    rows = torch.randn(vocab, width, generator=generator())
    return rows / rows.norm(dim=1, keepdim=True)


# --- the model


def test_untrained_it_is_the_bigram_model_given_both_sides() -> None:
    """What stands in a gap, the others given, by the definition of a Markov chain."""
    texts = source(30, 200, 6, np.random.default_rng(0))
    ngram = Ngram.of(texts, 30)
    model, page = Cloze(ngram, table(30)).eval(), Page.of([*texts[:3], texts[3][:4]])
    log = np.log(dense(ngram))
    words = torch.arange(30)
    for turn in range(GAPS):
        gaps = page.gaps(turn)
        with torch.no_grad():
            found = model.among(page, gaps, words, ngram).double().numpy()
            own = model.each(page, gaps, words.expand(int(gaps.sum()), 30)).double().numpy()
        np.testing.assert_allclose(found, own, atol=1e-4)
        for row, (i, place) in zip(found, gaps.nonzero().tolist(), strict=True):
            text = page.ids[i, : page.lengths[i]].tolist()
            ways = [[30, *text[:place], word, *text[place + 1 :], 30] for word in range(30)]
            chain = np.array([sum(log[a, b] for a, b in itertools.pairwise(w)) for w in ways])
            np.testing.assert_allclose(row - logsumexp(row), chain - logsumexp(chain), atol=1e-3)


def test_what_stands_in_a_gap_plays_no_part() -> None:
    texts = source(30, 200, 9, np.random.default_rng(0))
    model = Cloze(Ngram.of(texts, 30), table(30)).eval()
    torch.nn.init.normal_(model.out.weight)
    page = Page.of(texts[:4])
    other = Page.of(texts[:4])
    gaps = page.gaps(1)
    other.ids[gaps] = 7
    with torch.no_grad():
        assert torch.equal(model.pull(page, gaps), model.pull(other, gaps))
        other.ids[~gaps & page.real] = 7
        assert not torch.allclose(model.pull(page, gaps), model.pull(other, gaps))


def test_every_token_is_a_gap_once_and_its_neighbours_are_not() -> None:
    page = Page.of([np.arange(1, 1 + n) for n in (1, 2, 7, 12)])
    turns = torch.stack([page.gaps(turn) for turn in range(GAPS)])
    assert torch.equal(turns.sum(0).bool(), page.real) and int(turns.sum()) == 22
    assert not (turns[:, :, 1:] & turns[:, :, :-1]).any()


def test_it_learns_what_bigrams_cannot_know(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every word is the one two places before it, one on: two mixed sequences, each certain."""
    monkeypatch.setattr("attacks.inversion.parts.cloze.MOST_STEPS", 160)
    rng = np.random.default_rng(0)
    starts = rng.integers(5, 25, (200, 2))
    steps = np.arange(6)[None, :, None]
    inner = 5 + (starts[:, None] - 5 + steps) % 20
    texts = [np.concatenate([[2], row.ravel(), [3]]) for row in inner]
    model = cloze.fit_cloze(texts, table(30), generator())
    page = Page.of(texts[:40])
    right, alone = [], []
    for turn in range(GAPS):
        gaps, words = page.gaps(turn), torch.arange(30)
        with torch.no_grad():
            guess = model.among(page, gaps, words, model.ngram).argmax(1)
            bigrams = Cloze(model.ngram, model.table).among(page, gaps, words, model.ngram)
        right.append(guess == page.ids[gaps])
        alone.append(bigrams.argmax(1) == page.ids[gaps])
    assert torch.cat(right).float().mean() > 0.9 > 0.5 > torch.cat(alone).float().mean()


def test_texts_of_a_token_or_none() -> None:
    model = cloze.fit_cloze([np.array([2]), np.zeros(0, np.int64)], table(9), generator())
    assert model.ngram.log_bigram(np.array([9]), np.array([2]))[0, 0] > -1
    with pytest.raises(InputError, match="text"):
        cloze.fit_cloze([np.zeros(0, np.int64)], table(9), generator())


# --- the attack


def test_agrees_with_adding_up_over_all_sentences(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bigram model, every sentence gone through: each word's probability given all rows.

    Of 200 sweeps the chances' standard error is below 0.057 here: places where the two likeliest
    words are less than 0.36 apart are not compared.
    """
    monkeypatch.setattr("attacks.inversion.masked_prior.TRUST", 1.0)
    monkeypatch.setattr("attacks.inversion.parts.cloze.MOST_STEPS", 0)
    vocab, length = 9, 3
    texts = tuple(source(vocab, 200, length, np.random.default_rng(0)))
    split = worlds.model(vocab_size=vocab)
    batch = batch_of(source(vocab, 24, length, np.random.default_rng(1)))
    message = worlds.smashed(split, batch, noise_std=2.5)
    knowledge = known(split, texts, noise_std=2.5)
    attack = MaskedPrior(shortlist=vocab, sweeps=200, warm_up=20)
    [guess] = attack.reconstruct([message], knowledge, generator())
    model = cloze.fit_cloze(texts, table(vocab), generator())
    log = np.log(dense(model.ngram))
    compared = 0
    for row, found in zip(message.activations, guess, strict=True):
        apart = [
            (worlds.all_rows(split, s) - torch.tensor(row[s]).double()).square().sum(-1).min(0)
            for s in range(length + 2)
        ]
        logs = [-(each.values.numpy()) / 2.5**2 / 2 for each in apart]
        joint = np.zeros((1,))  # [word, ..., word], place by place
        for s, each in enumerate(logs):
            step = log[vocab, :vocab] if s == 0 else log[:vocab, :vocab]
            joint = (joint[..., None] if s else 0) + step + each
        joint = np.exp((joint + log[:vocab, vocab]) - logsumexp(joint + log[:vocab, vocab]))
        places = range(length + 2)
        chance = np.stack([joint.sum(tuple(p for p in places if p != s)) for s in places])
        first, second = np.sort(chance, 1)[:, -1], np.sort(chance, 1)[:, -2]
        clear = first - second > 0.36
        compared += int(clear.sum())
        np.testing.assert_array_equal(found[clear], chance.argmax(1)[clear])
    assert compared > 70


@pytest.fixture(scope="module")
def shares() -> dict[float, dict[str, np.ndarray]]:
    """Return each sentence's recovered share [sentence] by noise level and attack, of a model that
    learnt briefly: it starts from the bigrams.
    """
    split = worlds.model(moved=False, vocab_size=300, hidden_size=64)
    auxiliary = tuple(source(300, 600, 12, np.random.default_rng(3)))
    batch = batch_of(source(300, 60, 12, np.random.default_rng(4)))
    truth = batch.input_ids.numpy()[:, 1:-1]
    found: dict[float, dict[str, np.ndarray]] = {}
    for level in (1.5, 2.5):
        message = worlds.smashed(split, batch, noise_std=level)
        knowledge = known(split, auxiliary, noise_std=level)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(cloze, "MOST_STEPS", 80)
            guesses = {
                a.name: a.reconstruct([message], knowledge, generator())
                for a in (NearestToken(), LanguagePrior(), MaskedPrior())
            }
        found[level] = {name: (g[:, 1:-1] == truth).mean(1) for name, [g] in guesses.items()}
    return found


def test_it_never_loses_to_a_look_up_nor_to_the_bigrams(
    shares: dict[float, dict[str, np.ndarray]],
) -> None:
    """Paired over 60 sentences, four standard errors: a false alarm in 3e-5 where two are equal."""
    for found in shares.values():
        for other in ("nearest token", "bigram prior"):
            gain = found["masked-LM prior"] - found[other]
            assert gain.mean() >= -4 * gain.std(ddof=1) / len(gain) ** 0.5
    middle = shares[1.5]
    assert middle["masked-LM prior"].mean() > 1.4 * middle["nearest token"].mean()


def test_the_same_seed_gives_the_same_words(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attacks.inversion.parts.cloze.MOST_STEPS", 40)
    split = worlds.model(vocab_size=60)
    texts = tuple(source(60, 100, 6, np.random.default_rng(0)))
    batch = batch_of([row[: 3 + i % 6] for i, row in enumerate(texts[:9])])
    message, knowledge = worlds.smashed(split, batch, noise_std=0.3), known(split, texts)
    assert (MaskedPrior().reconstruct([message], knowledge, generator())[0] >= 0).all()
    knowledge = known(split, texts, noise_std=0.3)
    one, two = (MaskedPrior().reconstruct([message] * 2, knowledge, generator()) for _ in range(2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
        assert (a[batch.attention_mask.numpy() == 0] == 0).all()
    assert MaskedPrior().reconstruct([], knowledge, generator()) == []


@pytest.mark.parametrize("bad", [{"shortlist": 0}, {"sweeps": 3}, {"warm_up": -1}])
def test_settings_that_cannot_be_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        MaskedPrior(**bad)
