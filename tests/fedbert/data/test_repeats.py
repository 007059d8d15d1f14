"""Twins: examples that read alike are trained on together or not at all."""

from dataclasses import replace

import numpy as np
import pytest

from evaluation.adversary.candidates import members_and_non_members
from fedbert.data.batches import Encoded
from fedbert.data.repeats import coin_groups, twins
from fedbert.prepare import Prepared, assemble
from fedbert.seeding import numpy_rng
from tests.fedbert import tiny

COPIES = 3  # of every third text
CHECKED = 20  # seeds; by a coin for each row all of them pass with probability under 1e-100


def with_twins(kind: str = "two") -> Encoded:
    """Return 30 texts, every third of them three times, in a random order."""
    rows = np.concatenate([np.arange(30), *[np.arange(0, 30, 3)] * (COPIES - 1)])
    found = tiny.encoded(kind, 30, longest=8).take(np.random.default_rng(2).permutation(rows))
    return found if kind.startswith("mlm") else replace(found, documents=np.arange(len(found)))


def texts_of(encoded: Encoded) -> list[bytes]:
    return [each.tobytes() for each in np.split(encoded.tokens, encoded.offsets[1:-1])]


def prepared_with_twins(seed: int, hold_out: float = 0.5) -> Prepared:
    config = tiny.config_of("two", 2, seed)
    config = replace(config, data=replace(config.data, hold_out=hold_out))
    parts = {"train": with_twins(), "validation": tiny.encoded("two", 4)}
    return assemble(config, tiny.tokenizer(), tiny.split_model(), parts, "0" * 64)


@pytest.mark.parametrize("hold_out", [0.2, 0.5])
def test_no_text_that_was_trained_on_is_held_out(hold_out: float) -> None:
    texts = np.array(texts_of(with_twins()))
    for seed in range(CHECKED):
        members = prepared_with_twins(seed, hold_out).members
        assert members is not None and members.any() and not members.all()
        assert not set(texts[members]) & set(texts[~members])


def test_examples_without_a_twin_fall_as_if_there_were_none() -> None:
    prepared = prepared_with_twins(5)
    texts = texts_of(prepared.pool)
    alone = np.array([texts.count(each) == 1 for each in texts])
    by_row = numpy_rng(5, "members").random(len(texts)) < 0.5
    assert prepared.members is not None and alone.sum() == 20
    np.testing.assert_array_equal(prepared.members[alone], by_row[alone])


def test_twins_are_told_by_tokens_and_segments_and_not_by_labels() -> None:
    one = tiny.encoded("two", 3, longest=6)
    both = one.take([0, 1, 0, 2, 1])
    both = replace(both, labels=np.arange(5), documents=np.arange(5))
    assert twins(both).tolist() == coin_groups(both).tolist() == [0, 1, 0, 3, 1]
    types = both.token_types.copy()
    types[both.offsets[2]] ^= 1
    assert twins(replace(both, token_types=types)).tolist() == [0, 1, 2, 3, 1]
    blocks = tiny.encoded("mlm-tied", 3).take([0, 1, 1, 0])
    assert coin_groups(replace(blocks, documents=np.array([4, 4, 7, 7]))).tolist() == [4, 4, 7, 7]


def test_a_text_that_one_twin_brought_into_a_batch_counts_as_seen() -> None:
    config = tiny.config_of("two", 2, 3, rounds=1, local_steps=2, batch_size=4)
    config = replace(config, data=replace(config.data, hold_out=0.5))
    parts = {"train": with_twins(), "validation": tiny.encoded("two", 4)}
    prepared = assemble(config, tiny.tokenizer(), tiny.split_model(), parts, "0" * 64)
    texts = texts_of(prepared.pool)
    seen = {
        texts[data.in_pool[row]]
        for data in prepared.clients
        for step in range(2)
        for row in data.chosen(step)
    }
    members, others = members_and_non_members(config, prepared)
    assert {texts[i] for i in members} == seen and len(members) == len(seen)
    outside = [texts[i] for i in others]
    assert len(set(outside)) == len(outside) > 0 and not set(outside) & seen
