"""Attacks on pooled vectors: they win where the vector tells the words, and not in noise."""

import inspect
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from attacks.pooled.bag_of_words import BagOfWords, decided
from attacks.pooled.evidence import Evidence
from attacks.pooled.knowledge import PooledKnowledge
from attacks.pooled.lesson import Lesson, splice
from attacks.pooled.set_decoder import SetDecoder, _in_any_order
from attacks.pooled.speaker import Speaker, said_before
from attacks.pooled.writer import Writer, _drafts
from evaluation.grid.build import resolve
from evaluation.grid.catalogue import POOLED
from evaluation.metrics.text import frequent_words_chance, scores
from fedbert.errors import InputError
from reports.estimate import Estimate

SURE = 1 - 1e-4  # confidence of the intervals: the false-alarm rate of each control
WORDS, HIDDEN, SPECIAL = 24, 32, (0, 1, 2)
ATTACKS: dict[str, Any] = {
    "bag_of_words": BagOfWords(splices=100),
    "set_decoder": SetDecoder(splices=100),
    "writer": Writer(splices=100),
}


@dataclass(frozen=True)
class World:
    """Private texts with their vectors, and what is known."""

    private: list[np.ndarray]
    vectors: np.ndarray
    knowledge: PooledKnowledge


def texts(count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return texts of 2 to 7 distinct words, frequent ones more often, in the order of their ids.

    So the bag determines the text, and a language model can learn the order.
    """
    chance = 1 / np.arange(4, WORDS + 4)
    chance /= chance.sum()
    lengths = rng.integers(2, 8, size=count)
    bodies = (np.sort(rng.choice(WORDS, size=n, replace=False, p=chance)) + 3 for n in lengths)
    return [np.array([1, *body, 2]) for body in bodies]


def mean_of_words(texts: Sequence[np.ndarray]) -> np.ndarray:
    """Return the mean of the words' vectors [text, hidden]: the model of this world."""
    table = np.random.default_rng(7).normal(size=(WORDS + 3, HIDDEN)).astype(np.float32)
    return np.stack([table[text].mean(0) for text in texts])


def world(noise_std: float = 0.0, clip_norm: float | None = None) -> World:
    """Return 80 private and 400 auxiliary texts of one kind, after a mechanism."""
    rng = np.random.default_rng(3)
    private, auxiliary = texts(80, rng), tuple(texts(400, rng))
    knowledge = PooledKnowledge(mean_of_words, auxiliary, SPECIAL, clip_norm, noise_std)
    clean = knowledge.clipped(mean_of_words(private)).numpy()
    noise = noise_std * rng.normal(size=clean.shape)
    return World(private, (clean + noise).astype(np.float32), knowledge)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def judged(attack: Any, seen: World, knowledge: PooledKnowledge | None = None) -> Any:
    guessed = attack.invert(seen.vectors, knowledge or seen.knowledge, generator())
    return scores(seen.private, guessed, SPECIAL, np.random.default_rng(0), SURE)


@cache
def at_noise(name: str, noise_std: float) -> dict[str, Estimate]:
    found: dict[str, Estimate] = judged(ATTACKS[name], world(noise_std))
    return found


def chance(seen: World) -> float:
    return frequent_words_chance(seen.private, seen.knowledge.auxiliary or (), SPECIAL)


def test_every_attack_of_the_catalogue_is_here() -> None:
    assert set(ATTACKS) == set(POOLED)
    for name, attack in ATTACKS.items():
        assert type(resolve(name, POOLED, "attacks")()) is type(attack)
        handed = list(inspect.signature(attack.invert).parameters)
        assert handed == ["vectors", "knowledge", "generator"]


@pytest.mark.parametrize("name", ATTACKS)
def test_wins_where_the_vector_tells_the_words(name: str) -> None:
    """The positive control: in this world, frequent words alone give an F1 of about 0.36."""
    found = at_noise(name, 0.0)
    assert found["token_f1"].low > 0.8 > 0.5 > chance(world())
    if name == "writer":
        assert found["exact_match"].low > 0.5 and found["rouge2"].low > 0.7


@pytest.mark.parametrize("name", ATTACKS)
def test_knows_no_more_than_frequent_words_where_the_vectors_are_noise(name: str) -> None:
    """The negative control: alarms falsely with probability 1e-4, given the trained attack."""
    found = at_noise(name, 1e3)["token_f1"]
    assert found.low <= chance(world()) <= found.high


@pytest.mark.parametrize("name", ATTACKS)
def test_more_noise_never_leaks_more(name: str) -> None:
    """Beyond the interval; a false alarm has probability 1e-4 per pair."""
    found = [at_noise(name, noise)["token_f1"] for noise in (0.0, 0.3, 1e3)]
    for less, more in itertools.pairwise(found):
        assert more.low <= less.high
    assert found[2].high < found[0].low


def test_knowing_the_noise_and_the_clip_helps() -> None:
    """False alarm below 1e-4: aware and unaware F1 lie about 0.1 apart, on the same texts."""
    noisy = world(noise_std=0.2, clip_norm=1.5)
    unaware = replace(noisy.knowledge, noise_std=0.0, clip_norm=None)
    aware = judged(BagOfWords(100), noisy)["token_f1"].value
    assert aware > judged(BagOfWords(100), noisy, unaware)["token_f1"].value
    clipped = world(clip_norm=0.5)
    assert judged(BagOfWords(100), clipped)["token_f1"].low > 0.8


@pytest.mark.parametrize("name", ATTACKS)
def test_repeats_itself_and_leaves_vectors_and_the_global_generator_alone(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("attacks.pooled.speaker.EPOCHS", 2)
    seen = world(noise_std=0.1)
    few = replace(seen.knowledge, auxiliary=(seen.knowledge.auxiliary or ())[:60])
    copy, state = seen.vectors.copy(), torch.random.get_rng_state()
    first, second = (ATTACKS[name].invert(seen.vectors[:9], few, generator()) for _ in range(2))
    assert len(first) == 9
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == np.int64 and one.ndim == 1 and not np.isin(one, SPECIAL).any()
    np.testing.assert_array_equal(seen.vectors, copy)
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("name", ATTACKS)
def test_says_what_is_missing_and_refuses_in_one_line(name: str) -> None:
    attack, seen = ATTACKS[name], world()
    assert attack.missing(seen.knowledge) is None
    assert attack.missing(PooledKnowledge()).fields == ("embed", "auxiliary")
    few = replace(seen.knowledge, auxiliary=(seen.knowledge.auxiliary or ())[:5])
    assert "at least 40 texts, not 5" in attack.missing(few).words
    for knowledge in (PooledKnowledge(), few):
        with pytest.raises(InputError, match="expected knowledge that serves"):
            attack.invert(seen.vectors, knowledge, generator())
    with pytest.raises(InputError, match=r"expected vectors \[sequence, 32\]"):
        attack.invert(seen.vectors[:, :5], seen.knowledge, generator())
    with pytest.raises(InputError, match="finite vectors"):
        attack.invert(np.full((1, HIDDEN), np.nan), seen.knowledge, generator())
    with pytest.raises(InputError, match="clip_norm > 0"):
        PooledKnowledge(clip_norm=0.0)
    with pytest.raises(InputError, match="noise_std >= 0"):
        PooledKnowledge(noise_std=-1.0)
    with pytest.raises(InputError, match="splices >= 0"):
        type(attack)(splices=-1)


def test_the_decision_is_nearly_the_best_of_all_sets() -> None:
    """Against the expected F1 of every set, over every outcome of six independent words."""
    rng = np.random.default_rng(0)
    outcomes = np.array(list(itertools.product((0, 1), repeat=6)))
    for _ in range(50):
        p = rng.random(6)
        weight = np.where(outcomes, p, 1 - p).prod(1)
        sizes = outcomes.sum(1) + outcomes.sum(1)[:, None]
        f1 = (2 * outcomes @ outcomes.T / np.maximum(sizes, 1)) @ weight  # [set]
        [answer] = decided(torch.tensor(p)[None])
        own = np.isin(np.arange(6), answer.numpy())
        assert f1[(outcomes == own).all(1)] > f1.max() - 0.03


def test_any_word_still_to_be_named_may_come_next() -> None:
    sets = [torch.tensor([4, 1, 3]), torch.tensor([2])]
    lines = _in_any_order(sets, torch.zeros(2, 6), generator())
    assert sorted(lines.words[0].tolist()) == [1, 3, 4, 6] and lines.words[0, -1] == 6
    for position in range(4):
        share = torch.zeros(7).index_add(0, lines.wanted[0, position], lines.weight[0, position])
        left = set(lines.words[0, position:].tolist()) - {6} or {6}
        assert set(share.nonzero()[:, 0].tolist()) == left
        assert share.sum().item() == pytest.approx(1)
    assert lines.weight[1].sum(1).tolist() == [1, 1, 0, 0]
    assert said_before(lines.words, 6)[0].sum(1).tolist() == [0, 1, 2, 3]


def test_a_wide_beam_finds_every_text_with_its_probability() -> None:
    """Against teacher forcing, over all texts of one or two of three words."""
    torch.manual_seed(0)
    evidence = Evidence(torch.randn(3, 4), torch.randn(3))
    speaker = Speaker(evidence, once=False).eval()
    rows = torch.randn(2, 4)
    with torch.no_grad():
        torch.nn.init.normal_(speaker.out.weight)
        drafts = _drafts(speaker, evidence, rows, beam=16, most=3)
        for row, found in zip(rows, drafts, strict=True):
            seen = {tuple(words.tolist()): log for log, words in found if len(words) < 3}
            assert set(seen) >= {
                *itertools.product(range(3)),
                *itertools.product(range(3), repeat=2),
            }
            for text, log in seen.items():
                words = torch.tensor([[*text, 3]])
                before = torch.tensor([[4, *text]])
                out, _ = speaker.step(row[None], speaker.first(row[None]), before)
                said = said_before(words, 3)
                logs = speaker.logits(out, evidence.logits(row[None]), said).log_softmax(2)
                assert log == pytest.approx(
                    float(logs.gather(2, words[:, :, None]).sum()), abs=1e-4
                )


def test_spliced_texts_are_made_of_the_texts_and_never_of_those_held_out() -> None:
    bodies = [np.array([1, 2, 3]), np.array([4, 5])]
    made = splice(bodies, 50, generator())
    assert len(made) == 50 and all(1 <= len(body) <= 6 for body in made)
    assert all(set(body.tolist()) <= {1, 2, 3, 4, 5} for body in made)
    assert splice([], 5, generator()) == []
    seen = world()
    lesson = Lesson.of(seen.vectors, seen.knowledge, generator(), "a test", 20)
    assert (lesson.learnt, lesson.spliced, len(lesson.held_out)) == (360, 20, 40)
    for i in (0, 365, 399):  # learnt, spliced, held out: a text goes with its vector
        body = lesson.words[lesson.texts[i].numpy()]
        own = mean_of_words([np.array([1, *body, 2])])
        np.testing.assert_allclose(lesson.clean[i].numpy(), own[0], atol=1e-6)
