"""Stacked copies of T in one computation: parameters along a leading client axis.

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

from fedbert.plain_attention import plain_attention_pays


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


@dataclass(frozen=True)
class StackedPass:
    """The outcome of a forward pass: Z without a graph, and how to go back from its gradient.

    A head reads few tokens: the first, or the masked ones. Where G_Z is zero, all that the last
    layer does with a token's own query has no gradient. Therefore only its keys and values have a
    graph; the rest of it is computed anew, with a graph, for the other tokens alone.
    """

    z: Ragged
    last: "LastLayer | None"

    def tokens(self, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Return Z with a graph and G_Z, both at the tokens that matter [.., token, hidden].

        Every example gets as many tokens as the neediest; G_Z [client, batch, seq, hidden] is zero
        at those in excess.
        """
        if self.last is None:
            return self.z.values, gradient
        used = (gradient != 0).any(-1)  # [client, batch, seq]
        most = max(1, int(used.sum(2).max()))
        index = used.to(torch.uint8).argsort(dim=2, descending=True, stable=True)[..., :most]
        return self.last.at(index), _pick(gradient, index)


@dataclass(frozen=True)
class LastLayer:
    """What the last layer's output at single tokens is computed from."""

    layer: Mapping[str, Tensor]
    hidden: Tensor
    attention: "Attention"
    factors: "Factors"
    config: Any

    def at(self, index: Tensor) -> Tensor:
        """Return the output at the tokens [client, batch, token] of each example."""
        hidden = _pick(self.hidden, index)
        query = _linear(hidden, self.layer, "attention.self.query")
        context = self.attention.gather(query, index)
        first, second = (None if f is None else _pick(f, index) for f in self.factors)
        return _token_wise(self.layer, context, hidden, (first, second), self.config)


def _pick(values: Tensor, index: Tensor) -> Tensor:
    """Return the rows [client, batch, token, ...] of values [client, batch, seq, ...]."""
    return values.gather(2, index[..., None].expand(*index.shape, values.shape[-1]))


Factors = tuple[Tensor | None, Tensor | None]
"""Dropout factors behind attention and behind the feed-forward part; None: no dropout."""


def run_stacked(
    layers: Sequence[Mapping[str, Tensor]],
    hidden: Ragged,
    attention_mask: Ragged,
    config: Any,
    generators: Sequence[torch.Generator] | None,
) -> StackedPass:
    """Return Z of every copy, and the way back.

    layers: for each encoder layer, parameters by transformers' name within the layer, stacked
    [client, ...]. hidden [client, batch, seq, hidden]; attention_mask [client, batch, seq].
    generators: one per client, for dropout; None means no dropout.
    """
    values, last = hidden.values, None
    if plain_attention_pays():  # as the plain layers
        values = values.to(torch.bfloat16)
    mask = torch.zeros_like(attention_mask.values, dtype=values.dtype)
    mask.masked_fill_(attention_mask.values == 0, torch.finfo(mask.dtype).min)
    for number, layer in enumerate(layers):
        attention = Attention.of(layer, values, mask, config, generators, hidden.sizes)
        own = [(b, s, values.shape[-1]) for b, s in hidden.sizes]
        factors = (
            coins(values, own, config.hidden_dropout_prob, generators),
            coins(values, own, config.hidden_dropout_prob, generators),
        )
        if number == len(layers) - 1:
            last = LastLayer(layer, values, attention, factors, config)
        with torch.set_grad_enabled(last is None and torch.is_grad_enabled()):
            context = attention.gather(_linear(values, layer, "attention.self.query"))
            values = _token_wise(layer, context, values, factors, config)
    return StackedPass(Ragged(values, hidden.sizes), last)


@dataclass(frozen=True)
class Attention:
    """Keys and values [client * batch, heads, seq, head] of a layer, and how they are attended to.

    mask [client * batch, 1, 1, seq] is added to the scores; keep [client, batch, heads, query, key]
    are dropout factors, None without dropout.
    """

    key: Tensor
    value: Tensor
    mask: Tensor
    keep: Tensor | None

    @staticmethod
    def of(
        p: Mapping[str, Tensor],
        hidden: Tensor,
        mask: Tensor,
        config: Any,
        generators: Sequence[torch.Generator] | None,
        sizes: Sequence[tuple[int, int]],
    ) -> "Attention":
        """Return the attention over hidden [client, batch, seq, hidden]."""
        clients, batch, seq, _ = hidden.shape
        heads = config.num_attention_heads
        own = [(b, heads, s, s) for b, s in sizes]
        shape = (clients, batch, heads, seq, seq)
        return Attention(
            by_head(_linear(hidden, p, "attention.self.key"), heads),
            by_head(_linear(hidden, p, "attention.self.value"), heads),
            mask.view(clients * batch, 1, 1, seq),
            coins(hidden, own, config.attention_probs_dropout_prob, generators, shape),
        )

    def gather(self, query: Tensor, index: Tensor | None = None) -> Tensor:
        """Return what queries [client, batch, query, hidden] gather, in the same shape.

        index [client, batch, query]: which tokens ask; None: all of them, in order.
        """
        own = by_head(query, self.key.shape[1])
        if self.keep is None and not plain_attention_pays():
            context = F.scaled_dot_product_attention(own, self.key, self.value, attn_mask=self.mask)
        else:
            keep = self.keep
            if index is not None and keep is not None:
                where = index[:, :, None, :, None].expand(-1, -1, keep.shape[2], -1, keep.shape[-1])
                keep = keep.gather(3, where)
            scale = own.shape[-1] ** -0.5
            weights = (own @ self.key.transpose(2, 3) * scale + self.mask).softmax(-1)
            weights = weights if keep is None else weights * keep.flatten(0, 1)
            context = weights @ self.value
        return context.transpose(1, 2).reshape(query.shape)


def by_head(values: Tensor, heads: int) -> Tensor:
    """Return [client, batch, token, hidden] as [client * batch, heads, token, head]."""
    split: Tensor = values.flatten(0, 1).unflatten(-1, (heads, -1))
    return split.transpose(1, 2)


def _token_wise(
    p: Mapping[str, Tensor], context: Tensor, hidden: Tensor, factors: Factors, config: Any
) -> Tensor:
    """Return an encoder layer's output [client, ..., hidden] from attention's and its input."""
    eps = config.layer_norm_eps
    out = _dropped(_linear(context, p, "attention.output.dense"), factors[0])
    hidden = _norm(out + hidden, p, "attention.output.LayerNorm", eps)
    wide = ACT2FN[config.hidden_act](_linear(hidden, p, "intermediate.dense"))
    out = _dropped(_linear(wide, p, "output.dense"), factors[1])
    return _norm(out + hidden, p, "output.LayerNorm", eps)


def _dropped(x: Tensor, factor: Tensor | None) -> Tensor:
    return x if factor is None else x * factor


def _linear(x: Tensor, p: Mapping[str, Tensor], name: str) -> Tensor:
    """Return x [client, ..., in] through every client's own Linear."""
    weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
    if len(x) == 1:  # the gradient of a lone matrix then lies as the matrix does
        return F.linear(x, weight.squeeze(0), bias.squeeze(0))
    out = torch.baddbmm(bias.unsqueeze(1), x.reshape(len(x), -1, x.shape[-1]), weight.mT)
    return out.view(*x.shape[:-1], -1)


def _norm(x: Tensor, p: Mapping[str, Tensor], name: str, eps: float) -> Tensor:
    """Return x [client, ..., hidden] through every client's own LayerNorm."""
    weight, bias = p[f"{name}.weight"], p[f"{name}.bias"]
    plain = F.layer_norm(x.to(weight.dtype), x.shape[-1:], eps=eps)
    shape = (len(x), *[1] * (x.dim() - 2), -1)
    return torch.addcmul(bias.view(shape), plain, weight.view(shape)).to(x.dtype)


def coins(
    like: Tensor,
    sizes: Sequence[tuple[int, ...]],
    rate: float,
    generators: Sequence[torch.Generator] | None,
    shape: tuple[int, ...] | None = None,
) -> Tensor | None:
    """Return dropout factors, 0 or 1 / (1 - rate), each client's own draw; None: no dropout.

    They have the shape and type of `like`, or the shape given; sizes are each client's own.
    """
    if generators is None or rate == 0:
        return None
    keep = torch.zeros(shape or like.shape, dtype=like.dtype, device=like.device)
    for row, size, generator in zip(keep, sizes, generators, strict=True):
        place = tuple(slice(0, n) for n in size)
        draw = torch.empty(size, dtype=like.dtype, device=generator.device)
        row[place] = draw.bernoulli_(1 - rate, generator=generator).to(like.device)
    return keep.div_(1 - rate)
