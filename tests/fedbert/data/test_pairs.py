"""Pairs taken apart: each half is what the tokenizer makes of its text alone, cut or not."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers.pre_tokenizers import ByteLevel
from transformers import RobertaTokenizer

from fedbert.config import ModelConfig
from fedbert.data.batches import Encoded, collate, encode
from fedbert.data.examples import Examples
from fedbert.data.pairs import pair_frame
from fedbert.errors import InputError
from fedbert.model import load_tokenizer
from fedbert.tasks import TASKS


def roberta() -> Any:
    """Return a RoBERTa tokenizer that knows single bytes and a few merges."""
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    words = special + sorted(ByteLevel.alphabet()) + ["Ġa", "ee", "be"]
    vocab = {word: number for number, word in enumerate(words)}
    return RobertaTokenizer(vocab=vocab, merges=[("Ġ", "a"), ("e", "e"), ("b", "e")])


TOKENIZERS = {"bert": load_tokenizer(ModelConfig()), "roberta": roberta()}
ALPHABET = st.sampled_from(["a", "bee", "sea", "Zoë", ".", " ", "  ", "\n", "?!", "日本", "x" * 9])
TEXT = st.lists(ALPHABET, max_size=12).map("".join)  # empty ones, too


def encoded(kind: str, rows: list[tuple[str, str]], longest: int) -> Encoded:
    """Return pairs as a training encodes them; of RoBERTa with the one type that it has."""
    examples = Examples(TASKS["rte"], tuple(rows), np.zeros(len(rows), dtype=np.int64), "here")
    found = encode(examples, TOKENIZERS[kind], longest)
    one_type = kind == "roberta"
    return replace(found, token_types=found.token_types * 0) if one_type else found


def alone(kind: str, text: str, tokens: int) -> list[int]:
    """Return what the tokenizer makes of a text by itself, in so many tokens at most."""
    found: list[int] = TOKENIZERS[kind](text, truncation=True, max_length=tokens)["input_ids"]
    return found


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(sorted(TOKENIZERS)),
    st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=5),
    st.integers(8, 40),
)
def test_a_half_is_what_its_text_alone_is(
    kind: str, rows: list[tuple[str, str]], longest: int
) -> None:
    pairs, frame = encoded(kind, rows, longest), pair_frame(TOKENIZERS[kind])
    halves = frame.halves(pairs)
    for half, texts in zip(halves, zip(*rows, strict=True), strict=True):
        assert not half.token_types.any()
        for text, found in zip(texts, np.split(half.tokens, half.offsets[1:-1]), strict=True):
            assert found.tolist() == alone(kind, text, len(found))
    total = halves[0].lengths + halves[1].lengths  # each has a start and an end of its own
    assert (total == pairs.lengths + 2 - frame.between).all()
    uncut = ~np.asarray(pairs.cut)
    for half, texts in zip(halves, zip(*rows, strict=True), strict=True):
        whole = [len(alone(kind, text, 999)) for text in texts]
        assert (half.lengths[uncut] == np.array(whole)[uncut]).all()


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(sorted(TOKENIZERS)), st.lists(st.tuples(TEXT, TEXT), max_size=5))
def test_a_batch_is_taken_apart_as_its_examples_are(kind: str, rows: list[tuple[str, str]]) -> None:
    rows = [("a", ""), *rows]
    pairs, frame = encoded(kind, rows, 24), pair_frame(TOKENIZERS[kind])
    pad = TOKENIZERS[kind].pad_token_id
    batch = collate(pairs, range(len(rows)), pad, length=30)
    for ours, theirs in zip(frame.halves_of(batch), frame.halves(pairs), strict=True):
        expected = collate(theirs, range(len(rows)), pad)
        for name, value in vars(expected).items():
            assert torch.equal(vars(ours)[name], value), name


def test_a_batch_of_nobody_has_halves_of_nobody() -> None:
    batch = collate(encoded("bert", [("a", "b")], 8), [], 0)
    assert [len(half) for half in pair_frame(TOKENIZERS["bert"]).halves_of(batch)] == [0, 0]


def test_a_text_that_spells_out_the_separator_is_no_border_where_types_tell() -> None:
    rows = [("a [SEP] b", "c"), ("[SEP]", "[SEP]"), ("a", "[SEP] c")]
    pairs = encoded("bert", rows, 24)
    for half, texts in zip(
        pair_frame(TOKENIZERS["bert"]).halves(pairs), zip(*rows, strict=True), strict=True
    ):
        found = np.split(half.tokens, half.offsets[1:-1])
        assert [each.tolist() for each in found] == [alone("bert", text, 24) for text in texts]


def test_what_is_no_pair_is_refused() -> None:
    frame = pair_frame(TOKENIZERS["roberta"])
    single = encoded("roberta", [("a", "b")], 20)
    single = replace(single, tokens=np.array([0, 7, 8, 2]), token_types=np.zeros(4, dtype=int))
    with pytest.raises(ValueError, match="two texts in each example"):
        frame.halves(replace(single, offsets=np.array([0, 4])))


class Odd:
    """A tokenizer that frames nothing."""

    pad_token_id = 0

    def __call__(self, *texts: list[str]) -> dict[str, list[list[int]]]:
        return {"input_ids": [[]]}


def test_a_tokenizer_that_frames_otherwise_is_refused_in_one_line() -> None:
    with pytest.raises(InputError, match="expected a tokenizer that frames pairs") as error:
        pair_frame(Odd())
    assert "\n" not in str(error.value)
