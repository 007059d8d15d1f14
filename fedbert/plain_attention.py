"""Plain attention of bf16 on a processor: scores, softmax and sum as products of their own."""

from collections.abc import Iterable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface

from privacy.dp_sgd.steady import attend, is_steady

NAME = "fedbert_plain"


def plain_attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float = 1.0,
    **_: Any,
) -> tuple[Tensor, None]:
    """Return what queries [batch, heads, seq, head] gather [batch, seq, heads, head].

    attention_mask [batch, 1, 1, seq] is added to the scores; None: every token is real. In a steady
    pass it is the mask itself [batch, seq].
    """
    if is_steady():
        real = cast(Tensor, attention_mask).bool()
        found = attend(query * scaling, key, value, real, dropout if module.training else 0.0)
        return found.transpose(1, 2).contiguous(), None
    weights = torch.matmul(query * scaling, key.transpose(2, 3))
    if attention_mask is not None:
        weights = weights + attention_mask
    weights = F.dropout(weights.softmax(-1), dropout, module.training)
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, plain_attention)


def plain_attention_pays() -> bool:
    """Return whether the forward pass at hand is one in bf16 on a processor.

    There torch's fused attention is slower than its parts: its backward pass takes in bf16 ten
    times what it takes in float32 (torch 2.13).
    """
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16


def run_plainly(
    layers: Iterable[Any], hidden: Tensor, attention_mask: Tensor, config: Any
) -> Tensor:
    """Return hidden states [batch, seq, hidden], bf16, after these encoder layers.

    They are bf16 between the layers, too: no product then waits for a cast.
    """
    hidden = hidden.to(torch.bfloat16)
    mask = attention_mask if is_steady() else plain_mask(attention_mask, hidden.dtype)
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        for layer in layers:
            hidden = layer(hidden, mask)
    finally:
        config._attn_implementation = before
    return hidden


def plain_mask(attention_mask: Tensor, dtype: torch.dtype) -> Tensor | None:
    """Return what to add to the scores [batch, 1, 1, seq]; None where every token is real."""
    real = attention_mask.bool()
    if bool(real.all()):
        return None
    mask = torch.zeros(real.shape, dtype=dtype, device=real.device)
    return mask.masked_fill_(~real, torch.finfo(dtype).min)[:, None, None, :]
