"""Pooling of hidden states: one vector for each example, and the mean as T's last step.

Where a model pools by "mean", T ends with a step without parameters: the first row of Z is the mean
over the rows that are no padding, so that H reads the first token's row under either pooling.
"""

from typing import Any, get_args

import torch
from torch import Tensor

from fedbert.setting_types import Pooling

POOLINGS: tuple[Pooling, ...] = get_args(Pooling)
SETTING = "classifier_pooling"
"""How transformers calls it in the config.json of models that know it."""
FEDBERT_ALONE = (
    "the head reads the mean of all tokens, which transformers' own classes do not: "
    "load it with fedbert"
)
"""What is said where a model is handed over whose classifier pools by the mean."""


def pools_by_mean(config: Any) -> bool:
    """Return whether a transformers configuration says that the head reads the mean."""
    return getattr(config, SETTING, "cls") == "mean"


def pooled(hidden: Tensor, attention_mask: Tensor, pooling: Pooling) -> Tensor:
    """Return a vector [batch, hidden] for each record's hidden states [batch, seq, hidden].

    "mean": over the tokens that are no padding; "cls": the first token's.
    """
    if pooling == "cls":
        return hidden[:, 0]
    weight = attention_mask[:, :, None].to(hidden.dtype)
    return (hidden * weight).sum(1) / weight.sum(1)


def with_mean(hidden: Tensor, attention_mask: Tensor) -> Tensor:
    """Return hidden states [batch, seq, hidden] whose first row is the mean of the real ones.

    It is summed in float64: no example's mean depends on how far its batch is padded. Hidden
    states of one row, which is their mean already, come back as they are.
    """
    mask = attention_mask[:, : hidden.shape[1]]
    mean = pooled(hidden.double(), mask, "mean").to(hidden.dtype)
    return torch.cat([mean[:, None], hidden[:, 1:]], dim=1)


def through_mean(gradient: Tensor, attention_mask: Tensor) -> Tensor:
    """Return the gradient of what `with_mean` was given, from that of what it returned."""
    mask = attention_mask[:, : gradient.shape[1], None].to(gradient.dtype)
    back = gradient.clone()
    back[:, :1] = 0
    return back.addcmul_(mask / mask.sum(1, keepdim=True), gradient[:, :1])
