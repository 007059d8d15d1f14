"""Token ids, padding and masking."""

from math import sqrt
from typing import Any

import numpy as np
import pytest
import torch
from transformers import BertTokenizerFast

from fedbert.data.batches import IGNORED, Batch, Encoded, collate, encode, epoch_order, mask_tokens
from fedbert.data.examples import Examples
from fedbert.data.sources import load
from fedbert.data.synthetic import WORDS
from fedbert.errors import InputError
from fedbert.tasks import TASKS

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, CLS, SEP, MASK = 0, 2, 3, 4
Z = 4.1  # two-sided tail of the normal beyond this: 4.1e-5, so false alarms stay below 1e-4


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return BertTokenizerFast(vocab={word: i for i, word in enumerate((*SPECIAL, *WORDS))})


def of(task: str, *texts: tuple[str, ...]) -> Examples:
    return Examples(TASKS[task], texts, np.arange(len(texts)) % 2, "here")


def example(encoded: Encoded, i: int) -> list[int]:
    return encoded.tokens[encoded.offsets[i] : encoded.offsets[i + 1]].tolist()


@pytest.mark.parametrize("task", [name for name in TASKS if name != "mlm"])
def test_every_task_encodes_as_the_tokenizer_alone_would(task: str, tokenizer: Any) -> None:
    examples = load(task, "generated", pool_size=20, evaluation=5)["train"]
    encoded = encode(examples, tokenizer, 16)
    assert len(encoded) == 20
    for i, texts in enumerate(examples.texts):
        alone = tokenizer(*texts, truncation="longest_first", max_length=16)
        assert example(encoded, i) == alone["input_ids"]
        span = slice(encoded.offsets[i], encoded.offsets[i + 1])
        assert encoded.token_types[span].tolist() == alone["token_type_ids"]
    assert encoded.labels.tolist() == examples.labels.tolist()
    assert encoded.documents.tolist() == list(range(20))


def test_the_longer_text_of_a_pair_is_cut_first(tokenizer: Any) -> None:
    encoded = encode(of("rte", ("the " * 30, "the cup .")), tokenizer, 12)
    assert encoded.lengths.tolist() == [12]
    assert encoded.token_types.tolist() == [0] * 8 + [1] * 4


def test_many_texts_are_encoded_in_pieces(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    examples = load("mlm", "generated", pool_size=30, evaluation=5)["train"]
    whole = encode(examples, tokenizer, 32)
    monkeypatch.setattr("fedbert.data.batches._CHUNK", 7)
    pieces = encode(examples, tokenizer, 32)
    assert np.array_equal(whole.tokens, pieces.tokens)
    assert np.array_equal(whole.documents, pieces.documents)


def test_documents_are_cut_into_blocks_that_lose_nothing(tokenizer: Any) -> None:
    first, second = " ".join(WORDS[:25]), " ".join(WORDS[25:30])
    encoded = encode(of("mlm", (first,), ("   ",), (second,)), tokenizer, 12)
    assert encoded.documents.tolist() == [0, 0, 0, 2]
    assert encoded.lengths.tolist() == [12, 12, 7, 7]
    blocks = [example(encoded, i) for i in range(4)]
    assert all(block[0] == CLS and block[-1] == SEP for block in blocks)
    told = [token for block in blocks for token in block[1:-1]]
    assert told == tokenizer(f"{first} {second}", add_special_tokens=False)["input_ids"]


def test_rare_words_of_wikitext_become_the_unknown_token(tokenizer: Any) -> None:
    encoded = encode(of("mlm", ("the <unk> was in the <unk> .",)), tokenizer, 16)
    alone = tokenizer("the [UNK] was in the [UNK] .")["input_ids"]
    assert example(encoded, 0) == alone and alone.count(tokenizer.unk_token_id) == 2


def test_text_without_tokens_and_too_little_room_are_refused(tokenizer: Any) -> None:
    with pytest.raises(InputError, match=r"^expected at least one token of text, got none from"):
        encode(of("mlm", (" ",)), tokenizer, 12)
    with pytest.raises(InputError, match=r"^expected max_length > 3, got max_length=3$"):
        encode(of("rte", ("a", "a")), tokenizer, 3)


def test_take_renumbers(tokenizer: Any) -> None:
    encoded = encode(load("qnli", "generated", pool_size=20, evaluation=5)["train"], tokenizer, 32)
    chosen = [7, 3, 3, 19]
    taken = encoded.take(chosen)
    assert [example(taken, i) for i in range(4)] == [example(encoded, i) for i in chosen]
    assert taken.labels.tolist() == encoded.labels[chosen].tolist()
    assert taken.documents.tolist() == chosen
    assert len(encoded.take([])) == 0


def test_collate_pads_to_the_longest_or_to_the_length_asked_for(tokenizer: Any) -> None:
    encoded = encode(of("sst2", ("the cup .",), ("the",), ("the " * 9,)), tokenizer, 32)
    batch = collate(encoded, [1, 0], PAD)
    assert batch.input_ids.shape == (2, 5)
    assert batch.attention_mask.tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert batch.input_ids[0].tolist() == [*example(encoded, 1), PAD, PAD]
    assert batch.input_ids[1].tolist() == example(encoded, 0)
    assert batch.labels.tolist() == [1, 0] and batch.index.tolist() == [1, 0]
    kinds = [batch.input_ids, batch.attention_mask, batch.token_type_ids, batch.labels, batch.index]
    assert {tensor.dtype for tensor in kinds} == {torch.int64}
    wide = collate(encoded, np.array([0]), PAD, length=20)
    assert wide.input_ids.shape == (1, 20) and int(wide.attention_mask.sum()) == 5
    with pytest.raises(ValueError, match=r"expected length >= 11 .*got length=10"):
        collate(encoded, [2], PAD, length=10)
    assert collate(encoded, [], PAD).input_ids.shape == (0, 1)


def test_a_batch_shares_no_memory_with_its_set(tokenizer: Any) -> None:
    encoded = encode(of("sst2", ("the cup .",), ("the",)), tokenizer, 32)
    chosen = np.array([0, 1])
    batch = collate(encoded, chosen, PAD)
    batch.index.add_(7)
    batch.labels.add_(7)
    batch.input_ids.add_(7)
    assert encoded.labels.tolist() == chosen.tolist() == [0, 1] and encoded.tokens[0] == CLS


def test_scores_stay_float32_and_masked_lm_starts_unlabelled(tokenizer: Any) -> None:
    scored = load("stsb", "generated", pool_size=4, evaluation=2)["train"]
    assert collate(encode(scored, tokenizer, 32), [0, 1], PAD).labels.dtype == torch.float32
    batch = collate(encode(of("mlm", ("the cup .",)), tokenizer, 32), [0], PAD)
    assert batch.labels.tolist() == [[IGNORED] * 5]


def wide_batch(rows: int = 400, seq: int = 100) -> Batch:
    """Return rows of ordinary tokens between [CLS] and [SEP], a tenth of each row padding."""
    ids = torch.arange(rows * seq).reshape(rows, seq) % len(WORDS) + len(SPECIAL)
    ids[:, 0], ids[:, seq * 9 // 10 - 1], ids[:, seq * 9 // 10 :] = CLS, SEP, PAD
    mask = (ids != PAD).long()
    labels = torch.full_like(ids, IGNORED)
    return Batch(ids, mask, torch.zeros_like(ids), labels, torch.arange(rows))


def masked(batch: Batch, seed: int = 3, rate: float = 0.15) -> Batch:
    size = len(SPECIAL) + len(WORDS)
    generator = torch.Generator().manual_seed(seed)
    return mask_tokens(batch, MASK, size, range(len(SPECIAL)), generator, rate)


def close(count: float, trials: int, p: float) -> bool:
    """Return whether a binomial count is within Z standard deviations of its mean."""
    return abs(count - trials * p) < Z * sqrt(trials * p * (1 - p))


@pytest.mark.parametrize("rate", [0.15, 0.4])
def test_masking_statistics(rate: float) -> None:
    batch = wide_batch()
    out = masked(batch, rate=rate)
    chosen = out.labels != IGNORED
    ordinary = int((batch.input_ids >= len(SPECIAL)).sum())
    n = int(chosen.sum())
    shown, hidden = out.input_ids[chosen], batch.input_ids[chosen]
    assert close(n, ordinary, rate)
    assert close(int((shown == MASK).sum()), n, 0.8)
    # A random word is the token itself one time in len(WORDS).
    stay = 0.1 + 0.1 / len(WORDS)
    assert close(int((shown == hidden).sum()), n, stay)
    assert close(int(((shown != MASK) & (shown != hidden)).sum()), n, 0.2 - stay)
    assert torch.equal(out.labels[chosen], hidden)
    assert torch.equal(out.input_ids[~chosen], batch.input_ids[~chosen])


def test_specials_and_padding_are_never_chosen_nor_drawn() -> None:
    batch = wide_batch(50)
    out = masked(batch, rate=1.0)
    special = batch.input_ids < len(SPECIAL)
    assert bool((out.labels[special] == IGNORED).all())
    assert torch.equal(out.input_ids[special], batch.input_ids[special])
    assert bool((out.labels[~special] == batch.input_ids[~special]).all())
    drawn = out.input_ids[~special]
    assert set(drawn[drawn < len(SPECIAL)].tolist()) == {MASK}


def test_random_words_reach_the_whole_vocabulary() -> None:
    batch = wide_batch()
    out = masked(batch, rate=1.0)
    changed = (out.input_ids != MASK) & (out.input_ids != batch.input_ids)
    assert set(out.input_ids[changed].tolist()) == set(
        range(len(SPECIAL), len(SPECIAL) + len(WORDS))
    )


def test_masking_is_the_generators_and_leaves_the_input_alone() -> None:
    batch = wide_batch(20)
    before = batch.input_ids.clone()
    one, two, other = masked(batch, 3), masked(batch, 3), masked(batch, 4)
    assert torch.equal(one.input_ids, two.input_ids) and torch.equal(one.labels, two.labels)
    assert not torch.equal(one.labels, other.labels)
    assert torch.equal(batch.input_ids, before)
    assert torch.equal(one.attention_mask, batch.attention_mask)


def test_nothing_chosen_means_no_labels() -> None:
    out = masked(wide_batch(5), rate=0.0)
    assert bool((out.labels == IGNORED).all())
    with pytest.raises(ValueError, match=r"expected 0 <= rate <= 1, got rate=1.5"):
        masked(wide_batch(5), rate=1.5)


def test_epoch_order_is_a_seeded_permutation() -> None:
    one, two, other = (epoch_order(50, torch.Generator().manual_seed(s)) for s in (1, 1, 2))
    assert sorted(one.tolist()) == list(range(50))
    assert one.tolist() == two.tolist() != other.tolist()
    assert one.tolist() != list(range(50))
