"""Several copies of T in one computation: parameters stacked along a leading client axis.

Equal to running each copy by itself, up to float rounding; dropout masks included, because every
copy draws its own from its own generator, in the order in which the plain layers would.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.activations import ACT2FN


@dataclass(frozen=True)
class Ragged:
    """One stacked batch: values [client, batch, seq, ...] and every client's own (batch, seq)."""

    values: Tensor
    sizes: tuple[tuple[int, int], ...]


def stack(tensors: Sequence[Tensor]) -> Ragged:
    """Return tensors [batch, seq, ...] of several clients as one, padded with zeros."""
    sizes = tuple((t.shape[0], t.shape[1]) for t in tensors)
    if len(set(sizes)) == 1:
        return Ragged(torch.stack(list(tensors)), sizes)
    batch, seq = (max(size[i] for size in sizes) for i in (0, 1))
    values = tensors[0].new_zeros((len(tensors), batch, seq, *tensors[0].shape[2:]))
    for row, tensor in zip(values, tensors, strict=True):
        row[: tensor.shape[0], : tensor.shape[1]] = tensor
    return Ragged(values, sizes)


def unstack(ragged: Ragged) -> list[Tensor]:
    """Return every client's own tensor [batch, seq, ...]; inverse of `stack`."""
    return [row[:b, :s] for row, (b, s) in zip(ragged.values, ragged.sizes, strict=True)]


def run_stacked(
    layers: Sequence[Mapping[str, Tensor]],
    hidden: Ragged,
    attention_mask: Ragged,
    config: Any,
    generators: Sequence[torch.Generator] | None,
) -> Ragged:
    """Return Z of every copy.

    layers: for each encoder layer, parameters by transformers' name within the layer, stacked
    [client, ...]. hidden [client, batch, seq, hidden]; attention_mask [client, batch, seq].
    generators: one per client, for dropout; None means no dropout.
    """
    mask = torch.zeros_like(attention_mask.values, dtype=hidden.values.dtype)
    mask.masked_fill_(attention_mask.values == 0, torch.finfo(mask.dtype).min)
    values = hidden.values
    for layer in layers:
        values = _layer(layer, values, mask, config, generators, hidden.sizes)
    return Ragged(values, hidden.sizes)


def _layer(
    p: Mapping[str, Tensor],
    hidden: Tensor,
    mask: Tensor,
    config: Any,
    generators: Sequence[torch.Generator] | None,
    sizes: Sequence[tuple[int, int]],
) -> Tensor:
    """Return one encoder layer's output [client, batch, seq, hidden]."""
    clients, batch, seq, width = hidden.shape
    heads = config.num_attention_heads
    drop, eps = config.hidden_dropout_prob, config.layer_norm_eps

    def split_heads(name: str) -> Tensor:  # [client * batch, heads, seq, head]
        out = _linear(hidden, p, f"attention.self.{name}")
        return out.view(clients * batch, seq, heads, width // heads).transpose(1, 2)

    query, key, value = (split_heads(name) for name in ("query", "key", "value"))
    bias = mask.view(clients * batch, 1, 1, seq)
    rate = config.attention_probs_dropout_prob
    if generators is None or rate == 0:
        context = F.scaled_dot_product_attention(query, key, value, attn_mask=bias)
    else:
        weights = (query @ key.transpose(2, 3) * (width // heads) ** -0.5 + bias).softmax(-1)
        square = [(b, heads, s, s) for b, s in sizes]
        keep = _keep(weights.view(clients, batch, heads, seq, seq), square, rate, generators)
        context = (weights * keep.view_as(weights)) @ value
    context = context.transpose(1, 2).reshape(clients, batch, seq, width)

    own = [(b, s, width) for b, s in sizes]
    out = _linear(context, p, "attention.output.dense")
    out = out if generators is None else out * _keep(out, own, drop, generators)
    hidden = _norm(out + hidden, p, "attention.output.LayerNorm", eps)
    wide = ACT2FN[config.hidden_act](_linear(hidden, p, "intermediate.dense"))
    out = _linear(wide, p, "output.dense")
    out = out if generators is None else out * _keep(out, own, drop, generators)
    return _norm(out + hidden, p, "output.LayerNorm", eps)


def _linear(x: Tensor, p: Mapping[str, Tensor], name: str) -> Tensor:
    """Return x [client, batch, seq, in] through every client's own Linear."""
    weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
    clients, batch, seq, width = x.shape
    flat = x.reshape(clients, batch * seq, width)
    out = torch.baddbmm(bias.unsqueeze(1), flat, weight.transpose(1, 2))
    return out.view(clients, batch, seq, -1)


def _norm(x: Tensor, p: Mapping[str, Tensor], name: str, eps: float) -> Tensor:
    """Return x [client, batch, seq, hidden] through every client's own LayerNorm."""
    plain = F.layer_norm(x, x.shape[-1:], eps=eps)
    weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
    return torch.addcmul(bias[:, None, None], plain, weight[:, None, None])


def _keep(
    x: Tensor,
    sizes: Sequence[tuple[int, ...]],
    rate: float,
    generators: Sequence[torch.Generator],
) -> Tensor:
    """Return dropout factors of x's shape: 0 or 1 / (1 - rate), each client's own draw."""
    if rate == 0:
        return torch.ones((), dtype=x.dtype, device=x.device)
    keep = torch.zeros(x.shape, dtype=x.dtype, device=x.device)
    for row, size, generator in zip(keep, sizes, generators, strict=True):
        place = tuple(slice(0, n) for n in size)
        draw = torch.empty(size, dtype=x.dtype, device=generator.device)
        row[place] = draw.bernoulli_(1 - rate, generator=generator).to(x.device)
    return keep.div_(1 - rate)
