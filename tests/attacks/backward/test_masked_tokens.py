"""Masked words from G_Z: against autograd over every word, and with a real client."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import binom
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM

from attacks.backward.label_from_gradient import HeadKnowledge
from attacks.backward.masked_tokens import MaskedTokens
from fedbert.data.batches import collate, mask_tokens
from fedbert.errors import InputError
from fedbert.messages import (
    HiddenGradient,
    HiddenStates,
    Message,
    SmashedData,
    to_array,
)
from fedbert.split import SplitBert, cut
from fedbert.trainer import train
from tests.fedbert import tiny

ARCHITECTURES = ("bert", "roberta")


def clipped(rows: Tensor, bound: float, axes: Any) -> Tensor:
    norms = torch.linalg.vector_norm(rows, dim=axes, keepdim=True)
    return rows * (bound / norms.clamp(min=1e-30)).clamp(max=1.0)


def overheard(
    split: SplitBert,
    count: int = 24,
    noise_std: float = 0.0,
    clip_norm: float | None = None,
    clip_unit: str = "token",
    mean_over: str = "batch",
    rate: float = 0.15,
) -> tuple[list[Message], np.ndarray]:
    """Return one step's messages, G_Z by autograd on H's own loss, and the masked words."""
    batch = collate(tiny.encoded("mlm-tied", count), range(count), tiny.PAD)
    rng = torch.Generator().manual_seed(5)
    batch = mask_tokens(batch, tiny.MASK, tiny.VOCAB, range(5), rng, rate)
    z = split.hidden(batch).detach().requires_grad_()
    if mean_over == "batch":
        split.head.loss(z, batch.labels).backward()
    else:
        split.head.example_losses(z, batch.labels).sum().backward()
    assert z.grad is not None
    gradient = z.grad
    if clip_norm is not None:
        gradient = clipped(gradient, clip_norm, -1 if clip_unit == "token" else (1, 2))
    gradient = gradient + noise_std * torch.randn(gradient.shape, generator=rng)
    truth = batch.labels.where(batch.labels >= 0, 0).numpy()
    states = to_array(z)
    return [
        SmashedData(0, 0, 3, np.zeros_like(states), to_array(batch.attention_mask)),
        HiddenStates(0, 0, 3, states),
        HiddenGradient(0, 0, 3, to_array(gradient)),
    ], truth


def recovered(
    messages: Sequence[Message], knowledge: HeadKnowledge, everywhere: bool = False
) -> np.ndarray:
    rng = torch.Generator().manual_seed(0)
    [found] = MaskedTokens(everywhere).reconstruct(messages, knowledge, rng)
    return found


def wide(kind: str = "plain") -> SplitBert:
    """Return a model wider than the sketch; "sharp": H is sure of many of its words."""
    config = BertConfig(
        vocab_size=300,
        hidden_size=48,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        pad_token_id=tiny.PAD,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        whole: Any = BertForMaskedLM(config).eval()
        with torch.no_grad():
            for parameter in whole.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
            if kind == "sharp":
                whole.cls.predictions.decoder.weight.mul_(20)
    return cut(whole, 0)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", ["mlm-tied", "mlm-untied"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"mean_over": "sequence"},
        {"clip_norm": 0.01, "clip_unit": "token"},
        {"clip_norm": 0.02, "clip_unit": "sequence"},
        {"clip_norm": 0.05, "clip_unit": "sequence", "mean_over": "sequence"},
    ],
)
def test_every_position_and_word_without_noise(
    architecture: str, kind: str, settings: dict[str, Any]
) -> None:
    split = tiny.split_model(architecture, kind)
    messages, truth = overheard(split, **settings)
    assert (truth > 0).sum() > 10
    knowledge = HeadKnowledge(split.head, **settings)
    np.testing.assert_array_equal(recovered(messages, knowledge), truth)
    np.testing.assert_array_equal(recovered(messages[1:], knowledge), truth)  # no attention mask


@pytest.mark.parametrize("kind", ["plain", "sharp"])
@pytest.mark.parametrize(
    "settings", [{}, {"clip_norm": 0.01, "clip_unit": "sequence"}, {"clip_norm": 0.01}]
)
def test_a_head_wider_than_the_sketch_and_one_that_is_sure(
    kind: str, settings: dict[str, Any]
) -> None:
    split = wide(kind)
    messages, truth = overheard(split, **settings)
    gradient = messages[-1]
    assert isinstance(gradient, HiddenGradient)
    knowledge = HeadKnowledge(split.head, **({"clip_unit": "token"} | settings))
    shown = (gradient.gradient != 0).any(2)
    np.testing.assert_array_equal(recovered(messages, knowledge), np.where(shown, truth, 0))
    assert shown[truth > 0].mean() > 0.9


def by_autograd(
    split: SplitBert, state: np.ndarray, count: float, bound: float | None
) -> np.ndarray:
    """Return what G_Z would be at a position for every word [vocab, hidden], in float64."""
    head = tiny.twin(split.head).double()
    z = torch.tensor(state).double().repeat(tiny.VOCAB, 1).requires_grad_()
    F.cross_entropy(head(z), torch.arange(tiny.VOCAB), reduction="sum").backward()  # row by row
    assert z.grad is not None
    rows = z.grad / count
    return (rows if bound is None else clipped(rows, bound, -1)).numpy()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("bound", [None, 0.02])
@pytest.mark.parametrize("mean_over", ["batch", "sequence"])
def test_likelihood_ratio_and_maximum_likelihood_are_those_of_brute_force(
    architecture: str, bound: float | None, mean_over: str
) -> None:
    split, noise, rate = tiny.split_model(architecture, "mlm-tied"), 4e-3, 0.3
    if mean_over == "sequence":
        noise, bound = 0.05, bound and bound * 10
    messages, truth = overheard(split, 8, noise, bound, "token", mean_over, rate)
    sent, states, gradient = messages
    assert isinstance(sent, SmashedData) and isinstance(states, HiddenStates)
    assert isinstance(gradient, HiddenGradient)
    known = HeadKnowledge(split.head, noise, bound, "token", mean_over, mask_rate=rate)
    found, everywhere = recovered(messages, known), recovered(messages, known, everywhere=True)
    real = sent.attention_mask == 1
    kept = 0
    for i, j in zip(*np.nonzero(real), strict=True):
        over = real if mean_over == "batch" else real[i]
        rows = by_autograd(split, states.hidden[i, j], max(1.0, rate * over.sum()), bound)
        seen = gradient.gradient[i, j].astype(np.float64)
        logs = (np.square(seen).sum() - np.square(seen - rows).sum(1)) / (2 * noise**2)
        best, second = np.argsort(-logs)[:2]
        odds = np.log(np.exp(logs).mean()) + np.log(rate / (1 - rate))
        if logs[best] - logs[second] < 1e-3 or abs(odds) < 1e-3:
            continue
        kept += 1
        assert everywhere[i, j] == best
        assert found[i, j] == (best if odds > 0 else 0)
    assert kept > 40
    assert 0 < (found > 0).sum() < kept
    assert (found[~real] == 0).all() and (everywhere[~real] == 0).all()
    assert (found == truth)[truth > 0].mean() > 0.2


@pytest.mark.parametrize("clip_norm", [None, 0.01])
def test_little_noise_hides_little(clip_norm: float | None) -> None:
    split = tiny.split_model("bert", "mlm-tied")
    settings: dict[str, Any] = {"noise_std": 3e-4, "clip_norm": clip_norm, "clip_unit": "sequence"}
    messages, truth = overheard(split, **settings)
    found = recovered(messages, HeadKnowledge(split.head, **settings))
    assert (found == truth)[truth > 0].mean() > 0.9
    assert ((found > 0) == (truth > 0)).mean() > 0.98


def test_in_pure_noise_nothing_is_called_masked_and_words_are_guessed_at_chance() -> None:
    """False-alarm rate at most 1e-4: a guess that knows nothing hits one of 45 words, or none."""
    split = tiny.split_model("bert", "mlm-tied")
    messages, truth = overheard(split, 60, noise_std=1e3, rate=0.5)
    knowledge = HeadKnowledge(split.head, noise_std=1e3)
    assert (recovered(messages, knowledge) == 0).all()
    masked = truth > 0
    guessed = recovered(messages, knowledge, everywhere=True)
    assert (guessed == truth)[masked].sum() <= binom.isf(1e-4, masked.sum(), 1 / 45)
    assert len(np.unique(guessed[masked])) > 5


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_real_clients_first_steps_give_every_masked_word_away(architecture: str) -> None:
    """Dropout is on; noise on A would change nothing. The later step's H is known only nearly."""
    config = tiny.config_of("mlm-tied", architecture=architecture, rounds=1, learning_rate=1e-3)
    prepared, transcript = tiny.prepared_for(config, "mlm-tied"), tiny.Recorder()
    sent = cut(tiny.twin(prepared.split.whole), 0)
    train(config, prepared, tiny.NO_DEFENCE, listeners=[transcript])
    rng = torch.Generator().manual_seed(0)
    found = MaskedTokens().reconstruct(transcript.messages, HeadKnowledge(sent.head), rng)
    for step, words in enumerate(found):
        labels = prepared.clients[0].batch(step).labels.numpy()
        np.testing.assert_array_equal(words > 0, labels >= 0)
        np.testing.assert_array_equal(words, np.where(labels >= 0, labels, 0))
    assert len(found) == 2


def test_batches_without_examples_and_without_masked_words_have_no_words() -> None:
    split = tiny.split_model("bert", "mlm-tied")
    for shape in ((0, 1, tiny.HIDDEN), (2, 3, tiny.HIDDEN)):
        for noise in (0.0, 1.0):
            zeros = np.zeros(shape, np.float32)
            messages = [HiddenStates(0, 0, 0, zeros), HiddenGradient(0, 0, 0, zeros)]
            found = recovered(messages, HeadKnowledge(split.head, noise))
            assert found.shape == shape[:2] and found.dtype == np.int64 and (found == 0).all()


def test_the_head_and_the_messages_are_left_as_they_were() -> None:
    split = tiny.split_model("roberta", "mlm-tied")
    split.head.train()
    before = {n: p.clone() for n, p in split.head.named_parameters()}
    messages, _ = overheard(split)
    state = torch.random.get_rng_state()
    split.head.zero_grad()
    for noise in (0.0, 0.1):
        first, second = (recovered(messages, HeadKnowledge(split.head, noise)) for _ in range(2))
        np.testing.assert_array_equal(first, second)
    assert torch.equal(state, torch.random.get_rng_state()) and split.head.training
    for name, parameter in split.head.named_parameters():
        assert torch.equal(parameter, before[name]) and parameter.grad is None
        assert parameter.dtype == torch.float32


def test_what_is_lacking_is_named() -> None:
    attack, rng = MaskedTokens(), torch.Generator()
    assert "`head`" in attack.missing(HeadKnowledge()).words
    classifier = HeadKnowledge(tiny.split_model("bert", "two").head)
    assert "classification" in attack.missing(classifier).words
    split = tiny.split_model("bert", "mlm-tied")
    known = HeadKnowledge(split.head)
    assert attack.missing(known) is None
    messages, _ = overheard(split)
    for knowledge in (HeadKnowledge(), classifier):
        with pytest.raises(InputError, match="expected knowledge"):
            attack.reconstruct(messages, knowledge, rng)
    with pytest.raises(InputError, match="expected HiddenStates"):
        attack.reconstruct(messages[2:], known, rng)
    with pytest.raises(InputError, match="expected HiddenStates"):
        attack.reconstruct([HiddenStates(0, 1, 3, messages[1].hidden), messages[2]], known, rng)
