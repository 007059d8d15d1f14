"""Last layer of a lone copy of T: keys and values have a graph, the rest is made anew where read.

A head of a task reads the first token. Where G_Z is zero, nothing that the last layer does with a
token's own query has a gradient; so its backward pass is a stacked copy's, of a stack of one.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import create_bidirectional_mask

from fedbert.config import Config
from fedbert.plain_attention import plain_attention, plain_attention_pays, plain_mask
from fedbert.precision import autocast
from fedbert.split import Body, run_layers
from fedbert.stacked import Attention, LastLayer, Ragged, StackedPass, by_head, coins


@dataclass(frozen=True)
class Pass:
    """One copy's way through T: Z [batch, seq, hidden], and the way back from its gradient.

    few: the way back at the tokens that G_Z reaches; Z is then a leaf. None: Z has a graph.
    """

    z: Tensor
    few: StackedPass | None = None

    def backward(self, gradient: Tensor, config: Config) -> None:
        """Add the gradients of T and of A, given G_Z [batch, seq, hidden]."""
        z = self.z
        if self.few is not None:
            with autocast(config):
                z, gradient = self.few.tokens(gradient[None])
        if z.requires_grad:
            z.backward(gradient.to(z.dtype))

    def backward_from(self, loss: Tensor, config: Config) -> None:
        """Add the gradients of whatever a loss was made from, by way of Z."""
        loss.backward()
        if self.few is not None and self.z.grad is not None:
            self.backward(self.z.grad, config)


def forward_pass(
    body: Body, hidden: Tensor, attention_mask: Tensor, config: Config, few: bool
) -> Pass:
    """Return the pass of A [batch, seq, hidden] through T, whose values are the same either way.

    few: nothing stands against a graph of few tokens, if the task's head reads few.
    """
    coins_known = hidden.device.type == "cpu" or not has_dropout(body)  # drawn again in order
    few = few and not body.mean  # the mean reaches every token
    if not (few and coins_known and len(body.layers) and config.data.task != "mlm"):
        return Pass(body(hidden, attention_mask))
    done = run_copy(body.layers, hidden, attention_mask, body.config)
    (z,) = done.z.values
    return Pass(z.requires_grad_(), done)


def has_dropout(body: Body) -> bool:
    """Return whether the body's layers draw dropout masks."""
    rates = (body.config.hidden_dropout_prob, body.config.attention_probs_dropout_prob)
    return len(body.layers) > 0 and any(rate > 0 for rate in rates)


def run_copy(
    layers: nn.ModuleList, hidden: Tensor, attention_mask: Tensor, config: Any
) -> StackedPass:
    """Return Z [1, batch, seq, hidden] as `run_layers` makes it, bit for bit, and the way back.

    The layers draw dropout as they are set to; its coins in the last one are then drawn once more.
    """
    hidden = run_layers(layers[:-1], hidden, attention_mask, config)
    if plain_attention_pays():
        hidden = hidden.to(torch.bfloat16)
    layer: Any = layers[-1]
    draws = None
    if layer.training:
        draws = [torch.Generator().set_state(torch.get_rng_state())]
    own, (batch, seq, _) = layer.attention.self, hidden.shape
    heads = own.num_attention_heads
    key, value = (by_head(made(hidden)[None], heads) for made in (own.key, own.value))
    with torch.no_grad():
        z = _rest(layer, hidden, key, value, attention_mask)
    mask = torch.zeros_like(attention_mask, dtype=hidden.dtype)
    mask.masked_fill_(attention_mask == 0, torch.finfo(mask.dtype).min)
    square = (batch, heads, seq, seq)
    keep = coins(hidden, [square], config.attention_probs_dropout_prob, draws, (1, *square))
    first, second = (
        coins(hidden[None], [(batch, seq, hidden.shape[-1])], config.hidden_dropout_prob, draws)
        for _ in range(2)
    )
    parameters = {name: p[None] for name, p in layer.named_parameters()}
    attention = Attention(key, value, mask[:, None, None, :], keep)
    last = LastLayer(parameters, hidden[None], attention, (first, second), config)
    return StackedPass(Ragged(z[None], ((batch, seq),)), last)


def _rest(layer: Any, hidden: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor) -> Tensor:
    """Return an encoder layer's output [batch, seq, hidden], whose keys and values are there."""
    own = layer.attention.self
    query = by_head(own.query(hidden)[None], own.num_attention_heads)
    dropout = own.dropout.p if layer.training else 0.0
    if plain_attention_pays():
        mask, attend = plain_mask(attention_mask, hidden.dtype), plain_attention
    else:
        mask, attend = (
            create_bidirectional_mask(
                config=own.config, inputs_embeds=hidden, attention_mask=attention_mask
            ),
            sdpa_attention_forward,
        )
    context, _ = attend(own, query, key, value, mask, dropout=dropout, scaling=own.scaling)
    between = layer.attention.output(context.flatten(2), hidden)
    z: Tensor = layer.feed_forward_chunk(between)
    return z
