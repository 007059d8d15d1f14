"""Words from the rows of the word table: real clients, and noise with a known answer."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from attacks.updates.embedding_rows import EmbeddingRows, TableKnowledge
from fedbert.errors import InputError
from fedbert.messages import ClientParts, ClientUpdate, Message, RowValues
from fedbert.trainer import train
from tests.fedbert import tiny

HANDED: dict[str, Any] = {
    "strategy": "sequential",
    "optimizer_state": "hand_on",
    "client_parts": "hand_on",
}


def trained(kind: str, **settings: Any) -> tuple[list[Message], TableKnowledge, Any]:
    """Return a training's updates and parts, what is known, and the clients' data."""
    config = tiny.config_of(kind, **settings)
    prepared = tiny.prepared_for(config, kind)
    kinds = frozenset(("client_parts", "client_update"))
    transcript = tiny.Recorder(*kinds)
    train(config, prepared, tiny.NO_DEFENCE, listeners=[transcript])
    base = prepared.split.whole.base_model_prefix
    word = f"{base}.embeddings.word_embeddings.weight"
    known = TableKnowledge(word, tied=kind == "mlm-tied")
    return transcript.messages, known, prepared.clients


def occurred(data: Any, steps: Any) -> set[int]:
    """Return the words that had a gradient in these steps of a client."""
    found: set[int] = set()
    for step in steps:
        batch = data.batch(step)
        rows = batch.attention_mask == 1
        if batch.labels.dim() == 2:
            rows &= (batch.labels >= 0).any(1, keepdim=True)
        found |= set(batch.input_ids[rows].tolist())
    return found - {tiny.PAD}


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
@pytest.mark.parametrize("kind", ["two", "score", "mlm-untied"])
@pytest.mark.parametrize("strategy", ["parallel", "fedavg", "sequential"])
def test_the_aggregator_reads_every_word_of_a_round_and_no_other(
    architecture: str, kind: str, strategy: str
) -> None:
    """Whole tables and, for classification, those of which only touched rows are stored."""
    messages, known, data = trained(
        kind,
        architecture=architecture,
        strategy=strategy,
        clients=2,
        batch_size=2,
        rounds=2,
        optimizer_state="reset",
    )
    updates = [m for m in messages if isinstance(m, ClientUpdate)]
    stored = isinstance(updates[0].tensors[str(known.word)], RowValues)
    assert stored == (kind != "mlm-untied")
    found = EmbeddingRows().tokens(messages, known)
    assert len(found) == len(updates) == 4
    for update, words in zip(updates, found, strict=True):
        steps = range(2 * update.round, 2 * update.round + 2)
        assert set(words.tolist()) == occurred(data[update.client], steps)
        assert (np.diff(words) > 0).all() and words.dtype == np.int64
        assert len(words) < tiny.VOCAB - 10


def test_moments_that_a_client_keeps_name_its_earlier_rounds_too() -> None:
    messages, known, data = trained("two", batch_size=2, rounds=2, optimizer_state="keep")
    first, second = (set(w.tolist()) for w in EmbeddingRows().tokens(messages, known))
    assert first == occurred(data[0], range(2))
    assert second == occurred(data[0], range(4)) > occurred(data[0], range(2, 4))


def test_another_client_reads_the_words_of_all() -> None:
    messages, known, data = trained(
        "two", clients=2, batch_size=1, rounds=2, optimizer_state="reset"
    )
    found = EmbeddingRows(view="peer").tokens(messages, known)
    every = occurred(data[0], range(2)) | occurred(data[1], range(2))
    assert [set(w.tolist()) for w in found] == [every, every]


@pytest.mark.parametrize("kind", ["two", "mlm-untied"])
def test_second_moments_that_are_handed_on_name_the_words_of_each_turn(kind: str) -> None:
    messages, known, data = trained(kind, clients=2, batch_size=1, rounds=2, **HANDED)
    updates = [m for m in messages if isinstance(m, ClientUpdate)]
    found = EmbeddingRows().tokens(messages, known)
    for update, words in zip(updates, found, strict=True):
        steps = range(2 * update.round, 2 * update.round + 2)
        assert set(words.tolist()) == occurred(data[update.client], steps)
    parts = [m for m in messages if isinstance(m, ClientParts)]
    first = next(m for m in parts if m.moments)  # what the second client of round 0 is handed
    assert first.client != parts[0].client
    [words] = EmbeddingRows(view="peer").tokens([first], known)
    assert set(words.tolist()) == occurred(data[parts[0].client], range(2))


def table(rows: int = 3000, hidden: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(rows, hidden)).astype(np.float32) * 0.05


def sent(before: np.ndarray, after: np.ndarray, **moments: np.ndarray) -> list[Message]:
    values = {f"w/{name}": value for name, value in moments.items()}
    return [ClientParts(0, 0, {"w": before}), ClientUpdate(0, 0, 1, {"w": after}, values)]


def test_one_untouched_row_is_enough_to_tell_the_decay() -> None:
    before = table(40)
    after = before * np.float32(0.99)
    after[:39] += 1e-3 * np.sign(table(39, seed=1))
    [words] = EmbeddingRows().tokens(sent(before, after), TableKnowledge("w"))
    np.testing.assert_array_equal(words, np.arange(39))
    [words] = EmbeddingRows().tokens(sent(before, before), TableKnowledge("w"))
    assert len(words) == 0


def test_a_small_step_shows_where_it_is_known_to_be_one() -> None:
    """The row moves by 1e-6 of its length, and rounding by about 5e-8."""
    before = table(40)
    after = before * np.float32(0.99)
    after[3] *= np.float32(1 + 1e-6) * np.where(np.arange(16) % 2, 1, np.float32(1 - 2e-6))
    [words] = EmbeddingRows().tokens(sent(before, after), TableKnowledge("w", steps=1))
    np.testing.assert_array_equal(words, [3])
    [words] = EmbeddingRows().tokens(sent(before, after), TableKnowledge("w"))
    assert len(words) == 0


@pytest.mark.parametrize("tied", [False, True])
def test_noise_alone_names_as_many_words_as_stated(tied: bool) -> None:
    """False-alarm rate 1e-4. A tied table's fitted directions take a little of the noise along."""
    before, noise, expected = table(), 0.02, 60.0
    rng = np.random.default_rng(3)
    after = before * 0.98 + noise * rng.normal(size=before.shape)
    known = TableKnowledge("w", tied, noise, false_positives=expected)
    [words] = EmbeddingRows().tokens(sent(before, after), known)
    low, high = (f(0.5e-4, len(before), expected / len(before)) for f in (binom.ppf, binom.isf))
    assert (0 if tied else low) <= len(words) <= high
    [words] = EmbeddingRows().tokens(sent(before, after), TableKnowledge("w", tied, noise))
    assert len(words) <= 2  # 0.01 are expected: at most 2 but for 2e-7


@pytest.mark.parametrize("tied", [False, True])
def test_rows_that_stand_out_of_the_noise_are_named(tied: bool) -> None:
    """A row's expected energy is 16 + 100 noise variances against a limit of about 55."""
    before, noise = table(), 0.02
    rng = np.random.default_rng(3)
    after = before * 0.98 + noise * rng.normal(size=before.shape)
    touched = np.arange(7, 3000, 100)
    away = rng.normal(size=(len(touched), 16))
    after[touched] += 15 * noise * away / np.linalg.norm(away, axis=1, keepdims=True)
    known = TableKnowledge("w", tied, noise)
    [words] = EmbeddingRows().tokens(sent(before, after), known)
    assert len(np.setdiff1d(words, touched)) == 0
    assert np.isin(touched, words).mean() > 0.9


def tied_gradient() -> tuple[np.ndarray, np.ndarray]:
    """Return a gradient [vocab, hidden] as a tied table has it, and the words that occurred.

    Every row is a mix of two features, by the word's probability at two masked positions; labels
    have one subtracted, inputs have E's own gradient on top.
    """
    rng = np.random.default_rng(2)
    mean = rng.normal(size=48)
    features = mean + 0.3 * rng.normal(size=(2, 48))
    probabilities = rng.dirichlet(np.full(500, 0.5), size=2)  # [position, word]
    gradient = probabilities.T @ features
    labels, inputs = np.array([10, 20]), np.arange(30, 60)
    gradient[labels] -= features
    gradient[inputs] += 0.1 * rng.normal(size=(len(inputs), 48))
    return gradient, np.concatenate([labels, inputs])


def test_in_a_tied_table_what_leaves_the_common_directions_is_named() -> None:
    """The moment is a multiple of the gradient; an update has weight decay's traces besides."""
    gradient, occurred_ = tied_gradient()
    before = table(500, 48)
    after = before.astype(np.float64) * 0.999 - 0.01 * gradient  # a step of plain descent
    known = TableKnowledge("w", tied=True)
    near = {"exp_avg": 0.1 * gradient.astype(np.float32), "step": np.float32(1)}
    [words] = EmbeddingRows().tokens(sent(before, before, **near), known)
    np.testing.assert_array_equal(words, occurred_)
    [words] = EmbeddingRows().tokens(sent(before, after), known)
    assert {10, 20} <= set(words.tolist()) <= set(occurred_.tolist()) and len(words) > 8


def test_first_moments_of_earlier_clients_are_taken_off() -> None:
    gradient, occurred_ = tied_gradient()
    before, earlier = table(500, 48), table(500, 48, seed=8) * 100
    old = {"w/exp_avg": earlier, "w/step": np.float32(5)}
    new = {"exp_avg": earlier * 0.9**3 + 0.1 * gradient, "step": np.float32(8)}
    start, update = sent(before, before, **new)
    assert isinstance(start, ClientParts)
    messages = [replace(start, moments=old), update]
    [words] = EmbeddingRows().tokens(messages, TableKnowledge("w", tied=True))
    np.testing.assert_array_equal(words, occurred_)


def test_a_tied_table_of_a_real_client_names_more_than_chance() -> None:
    """No rate is claimed there; a tiny model's features are not as alike as a real one's."""
    messages, known, data = trained("mlm-tied", batch_size=1, rounds=1, local_steps=1, **HANDED)
    labels = data[0].batch(0).labels
    wanted = occurred(data[0], range(1)) | set(labels[labels >= 0].tolist())
    found = set(EmbeddingRows().tokens(messages, known)[0].tolist())
    assert len(found & wanted) / max(len(found), 1) > 2 * len(wanted) / tiny.VOCAB


def test_what_is_lacking_is_named() -> None:
    attack, messages = EmbeddingRows(), sent(table(4), table(4))
    assert "`word`" in attack.missing(TableKnowledge()).words
    assert attack.missing(TableKnowledge("w")) is None
    with pytest.raises(InputError, match="expected knowledge"):
        attack.tokens(messages, TableKnowledge())
    with pytest.raises(InputError, match="ClientParts"):
        attack.tokens(messages[1:], TableKnowledge("w"))
    with pytest.raises(InputError, match="word='v'"):
        attack.tokens(messages, TableKnowledge("v"))
    with pytest.raises(InputError, match="view"):
        EmbeddingRows(view="release")
    for settings in ({"noise_std": -1.0}, {"false_positives": 0.0}):
        with pytest.raises(InputError, match=next(iter(settings))):
            TableKnowledge("w", **settings)
