"""The decoder: its parts against slower and plainer ones, and what noise does to it."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch

from attacks.attack import Knowledge
from attacks.inversion.learned_decoder import LearnedDecoder
from attacks.inversion.parts.decoder import Decoder, Frequencies, Rows
from attacks.inversion.parts.first_scores import Exact, Linear, exact_for, word_rows
from attacks.inversion.parts.simulation import Texts, bank, pushed
from evaluation.metrics.tokens import token_accuracy
from fedbert.errors import InputError
from reports.estimate import Estimate
from tests.attacks import worlds
from tests.attacks.forward_worlds import World, world

SURE = 1 - 1e-4
NOISES = (0.0, 0.7, 2.0)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def recovered(attack: LearnedDecoder, given: World) -> Estimate:
    [guess] = attack.reconstruct([given.message], given.knowledge, generator())
    rng = np.random.default_rng(0)
    return token_accuracy([given.true], [guess], [given.counted], rng, SURE)


# --- first scores


def test_the_linear_score_is_the_gaussian_density() -> None:
    """Differences between words' scores are those of log N(a; (w + p) B + c, covariance)."""
    rng = generator()
    words, places = torch.randn(7, 5, generator=rng), torch.randn(4, 5, generator=rng)
    b, c = torch.randn(5, 5, generator=rng), torch.randn(5, generator=rng)
    root = torch.randn(5, 5, generator=rng)
    covariance = root @ root.T + torch.eye(5)
    linear = Linear.given(words, places, b, c, torch.linalg.inv(covariance))
    rows, place = torch.randn(6, 5, generator=rng), torch.tensor([0, 3, 1, 1, 2, 0])
    means = (words[None] + places[place][:, None]) @ b + c  # [token, word, hidden]
    density = torch.distributions.MultivariateNormal(means, covariance)
    expected = density.log_prob(rows[:, None].expand_as(means))
    for some in (None, torch.tensor([4, 0, 6])):
        scores, right = linear(rows, place, place, some), expected
        right = right if some is None else right[:, some]
        torch.testing.assert_close(
            scores - scores[:, :1], right - right[:, :1], rtol=1e-3, atol=1e-3
        )


@pytest.mark.parametrize("clip_norm", [None, 3.0])
def test_the_exact_score_is_the_noise_s_density(clip_norm: float | None) -> None:
    """Of two types the nearer one counts; a subset of words is scored as among all."""
    split = worlds.model()
    knowledge = Knowledge(embedding=split.embedding_tables(), noise_std=0.7, clip_norm=clip_norm)
    assert knowledge.embedding is not None
    exact = Exact.of(knowledge.embedding, knowledge, torch.arange(2))
    rows, place = torch.randn(5, 16, generator=generator()), torch.tensor([0, 1, 1, 2, 5])
    owner = torch.tensor([0, 0, 0, 1, 1])
    some = torch.tensor([30, 7, 12])
    got = exact(rows, place, owner, None)
    torch.testing.assert_close(
        exact(rows, place, owner, some), got[:, some] - got[:, some].max(1, keepdim=True).values
    )
    for token, here in enumerate(place.tolist()):
        known = worlds.all_rows(split, here)
        if clip_norm is not None:
            known = known * (clip_norm / known.norm(dim=-1, keepdim=True)).clamp(max=1)
        apart = (known - rows[token]).square().sum(-1).min(0).values
        expected = -apart / (2 * 0.7**2)
        torch.testing.assert_close(
            got[token].double() - got[token, 0], expected - expected[0], rtol=1e-3, atol=1e-3
        )


def test_a_likelihood_in_closed_form_is_claimed_only_where_there_is_one() -> None:
    tables = worlds.model().embedding_tables()
    assert exact_for(Knowledge(embedding=tables, clip_norm=1.0, noise_std=1.0))
    assert exact_for(Knowledge(embedding=tables, noise="metric", noise_std=1.0))
    assert not exact_for(Knowledge(noise_std=1.0))
    assert not exact_for(Knowledge(embedding=tables, noise="laplace"))
    assert not exact_for(Knowledge(embedding=tables, noise="metric", clip_norm=1.0))
    assert not exact_for(Knowledge(embedding=tables, basis=torch.eye(16)))


# --- frequencies, shortlists, text


def test_frequencies_sum_to_one_and_keep_room_for_new_words() -> None:
    found = Frequencies.of(torch.tensor([1, 1, 1, 2, 2, 5]), 10)
    assert found.log_prior.exp().sum() == pytest.approx(1)
    assert found.seen.tolist() == [1, 2, 5] and found.rare == pytest.approx(1.5 / 7)
    assert found.log_prior[found.unseen].exp().sum() == pytest.approx(found.rare)
    everything = Frequencies.of(torch.arange(4), 4)
    assert everything.rare == 0 and everything.log_prior.exp().sum() == pytest.approx(1)


def test_a_draw_of_strangers_stands_for_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("attacks.inversion.parts.decoder.STRANGERS", 5)
    found = Frequencies.of(torch.tensor([1, 1, 2]), 50)
    among = found.choices(torch.tensor([2, 40, 1]), generator())
    assert among.words[among.right].tolist() == [2, 40, 1]
    assert among.words.tolist()[:3] == [1, 2, 40] and len(among.words) == 3 + 5
    assert among.weight.exp().sum() == pytest.approx(50)


def test_the_right_word_s_column_tells_the_others_nothing() -> None:
    """In training it must not see what it will not have later."""
    given = world(1)
    table = word_rows(given.split.bottom)
    frequencies = Frequencies.of(torch.arange(5, 30), 60)
    torch.manual_seed(0)
    linear = Linear(table, torch.eye(16), torch.zeros(24, 16), torch.zeros(60))
    decoder = Decoder(linear, table, frequencies).eval()
    torch.nn.init.normal_(decoder.out.weight)
    rows = Rows.of(torch.tensor(given.message.activations), given.batch.attention_mask, 0)
    truth = given.batch.input_ids.flatten()
    among = frequencies.choices(truth, generator())
    other = replace(among, right=among.right.roll(1))
    (one, first), (two, second) = decoder(rows, among), decoder(rows, other)
    assert torch.equal(one[:, :-1], two[:, :-1])
    both = torch.isfinite(first[:, :-1]) & torch.isfinite(second[:, :-1])
    torch.testing.assert_close(first[:, :-1][both], second[:, :-1][both])
    assert (torch.isfinite(first[:, :-1]).logical_not() == (one[:, :-1] == one[:, -1:])).all()


@pytest.mark.parametrize("padded", [None, 12])
def test_text_goes_through_e_as_the_clients_send_it(padded: int | None) -> None:
    """The batches of a simulation hold each text once, padded, and E's own output of it."""
    given = world(1, known_words=50)
    texts = tuple(row[: 2 + i % 8] for i, row in enumerate(given.knowledge.auxiliary or ()))
    knowledge = replace(given.knowledge, auxiliary=texts, padded=padded)
    made = Texts.of(knowledge, given.split.bottom)
    found = pushed(made, given.split.bottom, knowledge, generator())
    assert sorted(i for each in found for i in each.batch.index.tolist()) == list(range(300))
    for each in found:
        if padded is not None:
            assert each.batch.input_ids.shape[1] == padded
        for ids, mask, index in zip(
            each.batch.input_ids, each.batch.attention_mask, each.batch.index, strict=True
        ):
            np.testing.assert_array_equal(ids[mask.bool()], texts[index])
        with torch.no_grad():
            torch.testing.assert_close(each.clean, given.split.bottom(each.batch))
    plain, strange = bank(made, 0.2, given.split.bottom, knowledge, generator())
    known = set(np.concatenate(texts).tolist())
    words = [
        np.concatenate([each.batch.input_ids[each.real] for each in x]) for x in (plain, strange)
    ]
    new = [float((~np.isin(each, list(known))).mean()) for each in words]
    assert 0.05 < new[0] < 0.2 and new[1] < 0.2  # special ids and words past the text's
    assert len(np.unique(words[1])) == 60


# --- what it recovers


@pytest.mark.parametrize("cut_layer", [0, 1, 2])
@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_without_noise_every_word_is_read_also_those_that_the_text_lacks(
    cut_layer: int, architecture: str
) -> None:
    given = world(cut_layer, architecture=architecture, known_words=30)
    [guess] = LearnedDecoder().reconstruct([given.message], given.knowledge, generator())
    hits = (guess == given.true)[given.counted]
    new = given.true[given.counted] >= 30
    assert new.sum() > 50
    assert hits.mean() > 0.98 and hits[new].mean() > 0.95


@pytest.mark.parametrize("cut_layer", [0, 2])
def test_who_knows_the_mechanism_reads_more_and_noise_never_helps(cut_layer: int) -> None:
    """Intervals that part by chance: each misses its share with probability 1e-4, there are six."""
    aware, unaware = [], []
    for noise_std in NOISES:
        given = world(cut_layer, noise_std)
        aware.append(recovered(LearnedDecoder(steps=30), given))
        unaware.append(recovered(LearnedDecoder(adaptive=False, steps=30), given))
    assert all(a.high >= u.low for a, u in zip(aware, unaware, strict=True))
    assert any(a.low > u.high for a, u in zip(aware, unaware, strict=True))
    for less, more in pairwise(aware):
        assert more.low <= less.high
    assert aware[0].value > 0.99 and aware[-1].high < 0.8


def test_neighbours_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before it is trained it is the likelihood times the words' frequencies; no bigrams here."""
    monkeypatch.setattr("attacks.inversion.learned_decoder.WEIGHTS", (0.0,))
    given = world(0, 1.5, sentences=200)
    alone, found = (
        LearnedDecoder(steps=steps).reconstruct([given.message], given.knowledge, generator())
        for steps in (1, 60)
    )
    by_itself, together = (
        float((guess == given.true)[given.counted].mean()) for [guess] in (alone, found)
    )
    assert together > by_itself + 0.03


def test_text_of_another_vocabulary_and_messages_of_another_shape_are_refused() -> None:
    given = world(1)
    for texts in ((np.array([99]),), (np.array([-1]),), (np.zeros(0, np.int64),)):
        with pytest.raises(InputError, match="expected"):
            knowledge = replace(given.knowledge, auxiliary=texts)
            LearnedDecoder().reconstruct([given.message], knowledge, generator())
    short = replace(given.message, activations=given.message.activations[:, :, :8])
    with pytest.raises(InputError, match="expected activations"):
        LearnedDecoder().reconstruct([short], given.knowledge, generator())
