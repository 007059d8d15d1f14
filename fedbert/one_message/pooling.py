"""Pooling of a record's hidden states to one vector."""

from typing import Literal, get_args

from torch import Tensor

Pooling = Literal["mean", "cls"]
POOLINGS: tuple[Pooling, ...] = get_args(Pooling)


def pooled(hidden: Tensor, attention_mask: Tensor, pooling: Pooling) -> Tensor:
    """Return a vector [batch, hidden] for each record's hidden states [batch, seq, hidden].

    "mean": over the tokens that are no padding; "cls": the first token's.
    """
    if pooling == "cls":
        return hidden[:, 0]
    weight = attention_mask[:, :, None].to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1)
