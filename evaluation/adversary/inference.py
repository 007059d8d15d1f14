"""Inference: a model's answers on batches, for `evaluation.metrics.tasks` to judge."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.membership.label_only import altered
from attacks.signals import Answers, answers_of
from fedbert.data.batches import IGNORED, Batch, Encoded, collate, mask_tokens
from fedbert.errors import InputError
from fedbert.prepare import Prepared
from fedbert.seeding import generator, numpy_rng
from fedbert.split import SplitBert, answering


def predict(model: SplitBert, batches: Iterable[Batch]) -> np.ndarray:
    """Return the model's answers in the batches' order, without dropout; its mode is as before.

    Classes: ids [example] int64; scores: [example] float64; masked-LM: [sequence, 3] float64, per
    sequence the masked tokens, how many of them are predicted, and their summed loss in nats.

    Raises:
        InputError: for no batches, or an answer that is not finite.
    """
    found = []
    with answering(model):
        for batch in batches:
            found.append(_answers(model, batch.to(model.device)).cpu().numpy())
    if not found:
        raise InputError("expected at least one batch, got batches=[]")
    return np.concatenate(found)


def _answers(model: SplitBert, batch: Batch) -> Tensor:
    """Return the answers to one batch."""
    if model.head.kind == "mlm":
        return _masked_lm(model, batch)
    logits = _finite(model.logits(batch))
    return logits.squeeze(-1).double() if model.head.kind == "regression" else logits.argmax(-1)


def _masked_lm(model: SplitBert, batch: Batch) -> Tensor:
    """Return masked count, right count and summed loss [sequence, 3]; H runs where needed alone."""
    masked = batch.labels != IGNORED  # [sequence, seq]
    logits = _finite(model.head(model.hidden(batch)[masked]))  # [masked, vocab]
    truth = batch.labels[masked]
    right = (logits.argmax(-1) == truth).double()
    nats = F.cross_entropy(logits, truth, reduction="none").double()
    each = torch.stack((torch.ones_like(nats), right, nats), 1)  # [masked, 3]
    sums = torch.zeros(len(masked), 3, dtype=torch.float64, device=each.device)
    return sums.index_add(0, masked.nonzero()[:, 0], each)


def _finite(logits: Tensor) -> Tensor:
    """Return the logits, checked."""
    if not torch.isfinite(logits).all():
        bad = int((~torch.isfinite(logits)).sum())
        raise InputError(f"expected finite logits, got non_finite={bad} of {logits.numel()}")
    return logits


BATCH = 64


def by_length(encoded: Encoded, chosen: np.ndarray) -> np.ndarray:
    """Return the chosen examples, shortest first: batches of one length waste no padding."""
    return chosen[np.argsort(encoded.lengths[chosen], kind="stable")]


def batches(
    prepared: Prepared, encoded: Encoded, chosen: np.ndarray, seed: int, label: str
) -> Iterator[Batch]:
    """Yield chosen examples in order; masked-LM is masked the same way for every defence."""
    v = prepared.vocabulary
    for start in range(0, len(chosen), BATCH):
        batch = collate(encoded, chosen[start : start + BATCH], v.pad)
        if prepared.task.kind == "mlm":
            draws = generator(seed, "mask", label, start)
            batch = mask_tokens(batch, v.mask, v.size, v.special, draws)
        yield batch


def classes_on(
    model: SplitBert, prepared: Prepared, examples: np.ndarray, seed: int, copies: int
) -> np.ndarray | None:
    """Return the classes [1 + copies, example] that a model gives to examples of the pool, and to
    so many altered copies of each; None where it gives none. That many queries each.
    """
    if prepared.task.kind != "classification":
        return None
    own, every = prepared.pool.take(examples), np.arange(len(examples))
    found = []
    for number in range(1 + copies):
        asked = own
        if number:
            rng = numpy_rng(seed, "altered copy", number)
            asked = altered(own, prepared.vocabulary.special, number, rng)
        order = by_length(asked, every)
        answer = predict(model, batches(prepared, asked, order, seed, "classes"))
        found.append(answer[np.argsort(order)].astype(np.int64))
    return np.stack(found)


def copies_of(attacks: Iterable[Any]) -> int:
    """Return the most altered copies of a candidate that any of these attacks asks about."""
    return max((getattr(each, "copies", 0) for each in attacks), default=0)


MASKINGS = 8  # of a masked-LM example: its loss is their mean


def answers_on(model: SplitBert, prepared: Prepared, examples: np.ndarray, seed: int) -> Answers:
    """Return a model's answers on examples of the pool, in their order.

    Masked-LM: the mean over MASKINGS maskings, the same ones for every model.
    """
    order = np.argsort(prepared.pool.lengths[examples], kind="stable")
    back = np.argsort(order)
    maskings = MASKINGS if prepared.task.kind == "mlm" else 1
    found = []
    for number in range(maskings):
        label = "candidates" if number == 0 else f"candidates {number}"
        shown = batches(prepared, prepared.pool, examples[order], seed, label)
        found.append(answers_of(model, shown))
    first = found[0]
    return Answers(
        np.mean([each.losses for each in found], axis=0)[back],
        None if first.logs is None else first.logs[back],
        None if first.labels is None else first.labels[back],
    )
