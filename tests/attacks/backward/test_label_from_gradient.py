"""Labels from G_Z: against autograd over every class, and with a real client."""

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy.stats import binomtest

from attacks.backward.label_from_gradient import HeadKnowledge, LabelFromGradient
from fedbert.data.batches import Batch, collate
from fedbert.errors import InputError
from fedbert.messages import HiddenGradient, HiddenStates, Message, to_array
from fedbert.split import SplitBert, cut
from fedbert.trainer import train
from tests.fedbert import tiny

ARCHITECTURES = ("bert", "roberta")
CLASSES = {"two": 2, "three": 3}


def overheard(
    split: SplitBert,
    kind: str,
    count: int = 60,
    noise_std: float = 0.0,
    clip_norm: float | None = None,
    mean_over: str = "batch",
) -> tuple[list[Message], Batch]:
    """Return one step's messages, G_Z by autograd on H's own loss, and the batch."""
    batch = collate(tiny.encoded(kind, count), range(count), tiny.PAD)
    split.body.eval()
    z = split.hidden(batch).detach().requires_grad_()
    each = split.head.losses(z, batch.labels)
    (each.mean() if mean_over == "batch" else each.sum()).backward()
    assert z.grad is not None
    gradient = z.grad
    if clip_norm is not None:
        norms = torch.linalg.vector_norm(gradient, dim=(1, 2), keepdim=True)
        gradient = gradient * (clip_norm / norms.clamp(min=1e-30)).clamp(max=1.0)
    rng = torch.Generator().manual_seed(4)
    gradient = gradient + noise_std * torch.randn(gradient.shape, generator=rng)
    messages = [HiddenGradient(1, 2, 3, to_array(gradient)), HiddenStates(1, 2, 3, to_array(z))]
    return messages, batch


def labels(messages: list[Message], knowledge: HeadKnowledge) -> np.ndarray:
    rng = torch.Generator().manual_seed(0)
    [found] = LabelFromGradient().labels(messages, knowledge, rng)
    return found


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("mean_over", ["batch", "sequence"])
@pytest.mark.parametrize("clip_norm", [None, 1e-3])
def test_every_label_without_noise(
    architecture: str, kind: str, mean_over: str, clip_norm: float | None
) -> None:
    split = tiny.split_model(architecture, kind)
    messages, batch = overheard(split, kind, clip_norm=clip_norm, mean_over=mean_over)
    found = labels(messages, HeadKnowledge(split.head, clip_norm=clip_norm, mean_over=mean_over))
    np.testing.assert_array_equal(found, batch.labels.numpy())
    assert found.dtype == np.int64 and len(np.unique(found)) == CLASSES[kind]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("mean_over", ["batch", "sequence"])
def test_every_score_without_noise(architecture: str, mean_over: str) -> None:
    split = tiny.split_model(architecture, "score")
    messages, batch = overheard(split, "score", mean_over=mean_over)
    found = labels(messages, HeadKnowledge(split.head, mean_over=mean_over))
    np.testing.assert_allclose(found, batch.labels.numpy(), atol=1e-5)
    assert found.dtype == np.float32


def test_a_clipped_score_is_known_to_lie_beyond_the_answer() -> None:
    split = tiny.split_model("bert", "score")
    messages, batch = overheard(split, "score", clip_norm=1e-3)
    predicted = split.logits(batch)[:, 0].detach().numpy()
    found = labels(messages, HeadKnowledge(split.head, clip_norm=1e-3))
    true = batch.labels.numpy()
    assert (np.sign(found - predicted) == np.sign(true - predicted)).all()
    assert (np.abs(true - predicted) >= np.abs(found - predicted) - 1e-5).all()
    assert np.abs(true - found).max() > 0.1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("clip_norm", [None, 5e-3])
def test_under_noise_the_most_likely_class_is_that_of_brute_force(
    architecture: str, clip_norm: float | None
) -> None:
    split = tiny.split_model(architecture, "three")
    noise, count = 4e-3, 40
    messages, batch = overheard(split, "three", count, noise, clip_norm)
    gradient, states = messages
    assert isinstance(gradient, HiddenGradient) and isinstance(states, HiddenStates)
    found = labels(messages, HeadKnowledge(split.head, noise, clip_norm))
    head: Any = tiny.twin(split.head).double()
    apart = np.zeros((count, 3))
    for k in range(3):
        z = torch.tensor(states.hidden).double().requires_grad_()
        F.cross_entropy(head(z), torch.full((count,), k)).backward()
        assert z.grad is not None
        rows = z.grad[:, 0].numpy()
        if clip_norm is not None:
            norms = np.linalg.norm(rows, axis=1, keepdims=True)
            rows = rows * np.minimum(1.0, clip_norm / norms)
        apart[:, k] = np.square(rows - gradient.gradient[:, 0]).sum(1)
    np.testing.assert_array_equal(found, apart.argmin(1))
    assert 0.4 < (found == batch.labels.numpy()).mean() < 1


def test_in_pure_noise_labels_are_guessed_at_chance() -> None:
    """Labels are fair coins; false-alarm rate 1e-4."""
    split = tiny.split_model("bert", "two", dropout=0.1)
    messages, batch = overheard(split, "two", 400, noise_std=1e3)
    found = labels(messages, HeadKnowledge(split.head, 1e3))
    hits = int((found == batch.labels.numpy()).sum())
    assert binomtest(hits, 400, 0.5).pvalue > 1e-4
    assert 0 < found.mean() < 1


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("kind", [*CLASSES, "score"])
@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_a_real_clients_step(architecture: str, kind: str, dropout: float) -> None:
    """With dropout, only most labels: the client's mask is unknown."""
    config = tiny.config_of(kind, architecture=architecture, rounds=1, local_steps=1, batch_size=64)
    prepared = tiny.prepared_for(config, kind, dropout, count=64)
    transcript = tiny.Recorder()
    sent = cut(tiny.twin(prepared.split.whole), 0)
    train(config, prepared, tiny.NO_DEFENCE, listeners=[transcript])
    found = labels(transcript.messages, HeadKnowledge(sent.head))
    true = prepared.clients[0].batch(0).labels.numpy()
    if kind == "score":
        assert np.corrcoef(found, true)[0, 1] > (0.85 if dropout else 1 - 1e-9)
    else:
        assert (found == true).mean() >= (0.95 if dropout else 1.0)


def test_repeats_itself_and_leaves_everything_alone() -> None:
    split = tiny.split_model("roberta", "three", dropout=0.2)
    messages, _ = overheard(split, "three")
    split.head.train()
    split.head.zero_grad()
    state = torch.random.get_rng_state()
    first, second = (labels(messages, HeadKnowledge(split.head)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert torch.equal(state, torch.random.get_rng_state()) and split.head.training
    assert all(p.grad is None and p.dtype == torch.float32 for p in split.head.parameters())


@pytest.mark.parametrize("kind", [*CLASSES, "score"])
def test_a_batch_without_examples_has_no_labels(kind: str) -> None:
    split = tiny.split_model("bert", kind)
    zeros = np.zeros((0, 1, tiny.HIDDEN), np.float32)
    messages: list[Message] = [HiddenStates(0, 0, 0, zeros), HiddenGradient(0, 0, 0, zeros)]
    assert labels(messages, HeadKnowledge(split.head)).shape == (0,)


def test_what_is_lacking_is_named() -> None:
    attack, rng = LabelFromGradient(), torch.Generator()
    words = HeadKnowledge(tiny.split_model("bert", "mlm-tied").head)
    for knowledge, text in ((HeadKnowledge(), "`head`"), (words, "mlm")):
        assert text in attack.missing(knowledge).words
        with pytest.raises(InputError, match="expected knowledge"):
            attack.labels([], knowledge, rng)
    split = tiny.split_model("bert", "two")
    messages, _ = overheard(split, "two", 4)
    assert attack.missing(HeadKnowledge(split.head)) is None
    with pytest.raises(InputError, match="expected HiddenStates"):
        attack.labels(messages[:1], HeadKnowledge(split.head), rng)


@pytest.mark.parametrize(
    "settings",
    [
        {"noise_std": -1.0},
        {"clip_norm": 0.0},
        {"clip_unit": "record"},
        {"mean_over": "client"},
        {"mask_rate": 0.0},
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(settings))):
        HeadKnowledge(**settings)
