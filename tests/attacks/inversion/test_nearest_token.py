import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch.utils._python_dispatch import TorchDispatchMode

from attacks.attack import Knowledge
from attacks.inversion.nearest_token import NearestToken
from fedbert.data.batches import Batch
from fedbert.errors import InputError
from fedbert.messages import SmashedData
from fedbert.split import SplitBert
from tests.attacks import worlds

ATTACK = NearestToken()
ANY = torch.Generator()


def known(split: SplitBert, **mechanism: Any) -> Knowledge:
    return Knowledge(embedding=split.embedding_tables(), **mechanism)


def recovered(split: SplitBert, examples: Batch, **mechanism: Any) -> float:
    """Return the share of tokens that the attack recovers when it knows the mechanism."""
    knowledge = known(split, **mechanism)
    names = {"clip_unit": "unit"}
    message = worlds.smashed(split, examples, **{names.get(k, k): v for k, v in mechanism.items()})
    [guess] = ATTACK.reconstruct([message], knowledge, ANY)
    mask = examples.attention_mask.numpy() == 1
    assert (guess[~mask] == 0).all()
    return float((guess == examples.input_ids.numpy())[mask].mean())


def brute_force(split: SplitBert, message: SmashedData, knowledge: Knowledge) -> np.ndarray:
    """Return the nearest words by going through all candidates, one token at a time."""
    found = np.zeros(message.attention_mask.shape, dtype=np.int64)
    masked = knowledge.dropout > 0 and knowledge.noise_std == 0
    for b, s in zip(*np.nonzero(message.attention_mask), strict=True):
        row = torch.tensor(message.activations[b, s]).double()
        rows = worlds.all_rows(split, s)  # [type, vocab, hidden]
        bound = math.inf if knowledge.clip_norm is None else knowledge.clip_norm
        if masked:
            rows = rows * (row != 0) / (1 - knowledge.dropout)
        else:
            bound *= math.sqrt(1 - knowledge.dropout)
        rows = rows * (bound / rows.norm(dim=-1, keepdim=True)).clamp(max=1)
        found[b, s] = int((rows - row).norm(dim=-1).min(0).values.argmin())
    return found


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
@pytest.mark.parametrize("types", [1, 2])
@pytest.mark.parametrize(
    "mechanism",
    [
        {},
        {"clip_norm": 3.0},  # clips all rows
        {"clip_norm": 4.2},  # clips some
        {"noise_std": 1.0},
        {"clip_norm": 4.2, "noise_std": 0.8},
        {"dropout": 0.1},
        {"dropout": 0.5, "clip_norm": 4.2},
        {"dropout": 0.3, "clip_norm": 4.2, "noise_std": 0.5},
    ],
    ids=str,
)
def test_agrees_with_going_through_all_candidates(
    architecture: str, types: int, mechanism: dict[str, Any]
) -> None:
    split = worlds.model(architecture, type_vocab_size=types)
    examples = worlds.batch(split, count=12, seq=10, seed=1)
    message = worlds.smashed(split, examples, **mechanism)
    knowledge = known(split, **mechanism)
    [guess] = ATTACK.reconstruct([message], knowledge, ANY)
    np.testing.assert_array_equal(guess, brute_force(split, message, knowledge))


def test_a_bound_between_two_types_norms_clips_both_alike() -> None:
    """One type's rows reach the bound and the other's do not: their scores stay comparable."""
    split = worlds.model(type_vocab_size=2)
    norms = torch.stack([worlds.all_rows(split, s).norm(dim=-1) for s in range(6)])
    first, second = norms.amax(dim=(0, 2)).tolist()  # [seq, type, vocab] to [type]
    bound = (first + second) / 2
    assert abs(first - second) > 0.01
    knowledge = known(split, clip_norm=bound, noise_std=1.0)
    message = worlds.smashed(
        split, worlds.batch(split, 40, 6, seed=2), clip_norm=bound, noise_std=1.0
    )
    [guess] = ATTACK.reconstruct([message], knowledge, ANY)
    np.testing.assert_array_equal(guess, brute_force(split, message, knowledge))


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
@pytest.mark.parametrize("clip_norm", [None, 2.0])
def test_without_noise_everything_is_recovered(architecture: str, clip_norm: float | None) -> None:
    split = worlds.model(architecture, hidden_size=32, vocab_size=500)
    mechanism = {} if clip_norm is None else {"clip_norm": clip_norm}
    assert recovered(split, worlds.batch(split, 20, 20, seed=2), **mechanism) == 1.0
    dropped = recovered(split, worlds.batch(split, 20, 20, seed=2), dropout=0.1, **mechanism)
    assert dropped >= 0.99


def test_heavy_dropout_without_noise_needs_the_mask() -> None:
    """Half of 16 coordinates are gone: the nearest mean alone recovers two thirds of the tokens."""
    split = worlds.model(vocab_size=300)
    examples = worlds.batch(split, 20, 20, seed=2)
    assert recovered(split, examples, dropout=0.5) >= 0.99
    message = worlds.smashed(split, examples, dropout=0.5)
    unaware = ATTACK.reconstruct([message], known(split), ANY)[0]
    mask = examples.attention_mask.numpy() == 1
    assert (unaware == examples.input_ids.numpy())[mask].mean() < 0.9


@pytest.mark.parametrize("extra", [{}, {"dropout": 0.1}, {"noise_std": 0.02}])
@pytest.mark.parametrize("clip_norm", [4.0, 1000.0])
def test_a_clip_per_sequence_is_undone(extra: dict[str, Any], clip_norm: float) -> None:
    split = worlds.model(hidden_size=32, vocab_size=300)
    examples = worlds.batch(split, 20, 20, seed=4)
    share = recovered(split, examples, clip_norm=clip_norm, clip_unit="sequence", **extra)
    assert share >= 0.99


@pytest.mark.parametrize(
    ("sigma", "expected", "spread"),
    [(0.7, 1.0, 0.0), (1, 0.996, 0.0026), (1.5, 0.797, 0.021), (2, 0.417, 0.019), (3, 0.13, 0.009)],
)
def test_reaches_the_maximum_likelihood_ceiling(
    sigma: float, expected: float, spread: float
) -> None:
    """Two-sided; a false alarm has probability 2e-5 for each sigma, so 1e-4 for all five.

    `spread` is the standard deviation between random models with 3000 tokens each, measured over
    twelve of them; the reference is one model, this is the mean of four, rounding is 0.0005.
    """
    shares = []
    for seed in range(4):
        split = worlds.model(
            moved=False,
            seed=seed,
            vocab_size=2000,
            hidden_size=128,
            max_position_embeddings=64,
        )
        examples = worlds.batch(split, count=100, seq=30, seed=seed, ragged=False)
        assert abs(float(split.bottom(examples).detach().norm(dim=-1).mean()) - 11.3) < 0.05
        shares.append(recovered(split, examples, noise_std=sigma))
    tolerance = stats.norm.isf(1e-5) * spread * math.sqrt(1 + 1 / 4) + 0.0005
    assert abs(np.mean(shares) - expected) <= tolerance


@pytest.mark.parametrize("wrong", [2 / 3, 3 / 2])
def test_the_ceiling_tells_a_wrong_noise_scale(wrong: float) -> None:
    """At 2/3 and 3/2 of sigma 1.5 the share is far from the ceiling: 0.99 and 0.3."""
    split = worlds.model(moved=False, vocab_size=2000, hidden_size=128, max_position_embeddings=64)
    examples = worlds.batch(split, count=100, seq=30, seed=1, ragged=False)
    assert abs(recovered(split, examples, noise_std=1.5 * wrong) - 0.797) > 0.15


def test_neither_padding_nor_its_place_matters() -> None:
    split = worlds.model("bert")
    examples = worlds.batch(split, 6, 8, seed=6)
    left = Batch(*(x if x.ndim == 1 else x.flip(1) for x in vars(examples).values()))
    assert recovered(split, left) == 1.0
    message = worlds.smashed(split, examples)
    rows = message.activations.copy()
    rows[message.attention_mask == 0] = np.nan  # never looked at
    blank = SmashedData(0, 0, 0, rows, message.attention_mask)
    both = ATTACK.reconstruct([message, blank], known(split), ANY)
    np.testing.assert_array_equal(both[0], both[1])


def test_messages_of_different_lengths_come_back_in_order() -> None:
    split = worlds.model()
    examples = [worlds.batch(split, 3, seq, seed=seq) for seq in (4, 9, 2)]
    messages = [worlds.smashed(split, each) for each in examples]
    together = ATTACK.reconstruct(messages, known(split), ANY)
    for guess, each in zip(together, examples, strict=True):
        real = each.input_ids.numpy() * each.attention_mask.numpy()
        np.testing.assert_array_equal(guess, real)
    assert ATTACK.reconstruct([], known(split), ANY) == []


def test_the_lowest_of_equal_words_is_taken() -> None:
    split = worlds.model()
    with torch.no_grad():
        words = split.bottom.embeddings.word_embeddings.weight
        words[30:40] = words[20]
    examples = worlds.batch(split, 10, 12, seed=7)
    [guess] = ATTACK.reconstruct([worlds.smashed(split, examples)], known(split), ANY)
    truth = examples.input_ids.numpy()
    wanted = np.where((truth >= 30) & (truth < 40), 20, truth) * examples.attention_mask.numpy()
    np.testing.assert_array_equal(guess, wanted)


@pytest.mark.parametrize("mechanism", [{}, {"dropout": 0.5}])
def test_chunks_change_nothing_and_bound_every_tensor(
    mechanism: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """No [tokens, vocab], [positions, vocab] or [vocab, positions, hidden] tensor is formed."""

    class Sizes(TorchDispatchMode):
        largest = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            out = func(*args, **(kwargs or {}))
            outs = out if isinstance(out, (tuple, list)) else (out,)
            sizes = [x.numel() for x in outs if isinstance(x, torch.Tensor)]
            Sizes.largest = max([Sizes.largest, *sizes])
            return out

    split = worlds.model(vocab_size=3000, max_position_embeddings=512)
    examples = worlds.batch(split, count=2, seq=512, seed=8)
    message = worlds.smashed(split, examples, **mechanism)
    whole = ATTACK.reconstruct([message], known(split, **mechanism), ANY)[0]
    for name in ("parts.look_up.TOKENS_AT_ONCE", "parts.look_up.POSITIONS_AT_ONCE",
                 "nearest_token.MASKED_TOKENS_AT_ONCE"):  # fmt: skip
        monkeypatch.setattr(f"attacks.inversion.{name}", 16)
    with Sizes():
        parts = ATTACK.reconstruct([message], known(split, **mechanism), ANY)[0]
    np.testing.assert_array_equal(whole, parts)
    assert 16 * 3000 <= Sizes.largest <= 2 * 16 * 3000


def test_misfits_are_refused() -> None:
    split = worlds.model(max_position_embeddings=24)
    knowledge = known(split)
    wide = SmashedData(0, 0, 0, np.zeros((1, 4, 17), np.float32), np.ones((1, 4), np.int64))
    long = SmashedData(0, 0, 0, np.zeros((1, 25, 16), np.float32), np.ones((1, 25), np.int64))
    for message, words in [(wide, "expected activations"), (long, "expected position < 24")]:
        with pytest.raises(InputError, match=words):
            ATTACK.reconstruct([message], knowledge, ANY)


@pytest.mark.parametrize(
    "bad", [{"clip_norm": 0.0}, {"noise_std": -1.0}, {"dropout": 1.0}, {"clip_unit": "client"}]
)
def test_impossible_mechanisms_are_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"got {next(iter(bad))}="):
        Knowledge(**bad)
