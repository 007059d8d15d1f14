"""Head H of a split model: what turns hidden states into predictions and a loss."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fedbert.errors import InputError


class FirstToken(nn.Module):
    """Pooler without parameters, of a head that reads the mean."""

    def forward(self, hidden: Tensor) -> Tensor:
        """Return the first row [batch, hidden] of Z [batch, seq, hidden]."""
        return hidden[:, 0]


class Head(nn.Module):
    """H: what turns hidden states into predictions and a loss.

    kind: "mlm" (cross-entropy at masked positions, and the head runs at those alone: the loss is
    the same), "classification" (cross-entropy) or "regression" (squared error).
    """

    def __init__(self, modules: Mapping[str, nn.Module], kind: str) -> None:
        """Hold the head's modules, applied in order; a "pooler" or "classifier" reads token 0."""
        super().__init__()
        self.steps = nn.ModuleDict(dict(modules))
        self.kind = kind

    def forward(self, hidden: Tensor) -> Tensor:
        """Return logits [batch, labels], or [..., vocab] for masked-LM, of Z [..., hidden]."""
        for step in self.steps.values():
            hidden = step(hidden)
        return hidden

    def losses(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Return a loss per example [batch]; masked-LM: per masked position [masked], in order."""
        if self.kind == "mlm":
            masked = labels != -100
            return F.cross_entropy(_full(self(hidden[masked])), labels[masked], reduction="none")
        logits = _full(self(hidden))
        if self.kind == "regression":
            return F.mse_loss(logits.squeeze(-1), labels.to(logits.dtype), reduction="none")
        return F.cross_entropy(logits, labels, reduction="none")

    def example_losses(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Return a loss per example [batch]; masked-LM: the mean over its masked positions."""
        return self.by_example(self.losses(hidden, labels), labels)

    def by_example(self, each: Tensor, labels: Tensor) -> Tensor:
        """Return a loss per example [batch] of what `losses` returned for these labels.

        Replacing an example moves the gradient of its own rows alone. In the mean over all masked
        positions of a batch (`loss`), an example with many of them makes the gradients of all
        others small.
        """
        if self.kind != "mlm":
            return each
        masked = labels != -100
        sums = torch.zeros(len(masked), dtype=each.dtype, device=each.device)
        sums = sums.index_add(0, masked.nonzero()[:, 0], each)
        return sums / masked.sum(1).clamp(min=1)

    def loss(self, hidden: Tensor, labels: Tensor) -> Tensor:
        """Return the mean loss; zero with zero gradients, H's too, where no position is masked."""
        return mean_of(self.losses(hidden, labels))


def mean_of(each: Tensor) -> Tensor:
    """Return the mean of losses; zero of none, with zero gradients."""
    return each.mean() if len(each) else each.sum()


def _full(logits: Tensor) -> Tensor:
    """Return logits in float32 where they come in bf16: a loss is a sum."""
    return logits.float() if logits.dtype == torch.bfloat16 else logits


def head_of(whole: Any, base: Any) -> Head:
    """Return the head of a transformers model for masked-LM or for sequence classification."""
    if hasattr(whole, "cls"):
        return Head({"cls": whole.cls}, "mlm")
    if hasattr(whole, "lm_head"):
        return Head({"lm_head": whole.lm_head}, "mlm")
    if not hasattr(whole, "classifier"):
        raise InputError(f"expected a masked-LM or classification head, got {type(whole).__name__}")
    kind = "regression" if whole.config.num_labels == 1 else "classification"
    if whole.config.model_type == "roberta":
        return Head({"classifier": whole.classifier}, kind)
    first = FirstToken() if base.pooler is None else base.pooler
    return Head({"pooler": first, "dropout": whole.dropout, "classifier": whole.classifier}, kind)
