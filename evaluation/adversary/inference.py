"""A model's answers on batches, for `evaluation.metrics.tasks` to judge."""

from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fedbert.config import InputError
from fedbert.data.batches import IGNORED, Batch
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
