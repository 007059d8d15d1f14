"""Per-example gradients of an Embedding, and of a table that is the decoder's weight as well.

A table's gradient for one example has a row per token id that occurs: the sum of the output
gradients at its positions. So |g_i|^2 is the sum of the inner products of those pairs of positions
that hold the same id; nothing of the table's size is ever formed per example. Positions of
`padding_idx` get no gradient, as in torch.
"""

from collections.abc import Iterable, Mapping
from typing import cast

import torch
from torch import Tensor, nn

from privacy.dp_sgd.bounds import TINY, gamma, lengths, loose, with_summing
from privacy.dp_sgd.layers import Layer
from privacy.dp_sgd.linear import ALL
from privacy.dp_sgd.workspace import Workspace, as_rows


class Lookup:
    """One use of an Embedding on ids [batch, ...]."""

    def __init__(self, layer: Layer, value: Tensor, workspace: Workspace) -> None:
        """Hold the ids."""
        self.layer, self.workspace = layer, workspace
        self.batch, self.reached = len(value), False
        self.ids = value.flatten(1) if value.ndim > 1 else value.unsqueeze(1)  # [batch, position]
        self.grad: Tensor | None = None  # [batch, position, hidden]
        self.squared: Tensor | None = None
        self.uncancelled: Tensor | None = None  # the norms [batch] if nothing cancelled
        self.error: Tensor | None = None  # of `squared`, at most; None once it is in

    def receive(self, grad: Tensor) -> None:
        """Take the gradient [batch, ..., hidden] of the output."""
        self.grad = grad
        same = self.ids[:, :, None] == self.ids[:, None, :]
        counted = self._counted()
        if counted is not None:
            same &= counted[:, :, None]
        pairs = self.workspace.gram(grad)  # [batch, position, position]
        self.squared = torch.where(same, pairs, 0.0).sum((1, 2), dtype=torch.float64)
        self.uncancelled = pairs.diagonal(dim1=1, dim2=2).double().sqrt().sum(1)
        count = grad.shape[-1] + 8
        self.error = 2.0 * gamma(count, grad.dtype) * self.uncancelled.square() + (
            2.0 * count * self.ids.shape[1] ** 2 * TINY
        )

    def settle(self) -> None:
        """Form again what cancelled too much for float32, and add what rounding may do."""
        if self.error is None or self.squared is None or self.uncancelled is None:
            return
        if self.grad is None:
            raise RuntimeError(f"expected rows kept for {self.layer.name}")
        again = loose(self.squared, self.error)
        self.squared = (self.squared + self.error).clamp(min=0.0)
        rows, counted = as_rows(self.grad), self._counted()
        for i in again.nonzero()[:, 0].tolist():
            grad = rows[i].double()
            if counted is not None:
                grad = grad * counted[i][:, None]
            _, place = torch.unique(self.ids[i], return_inverse=True)
            sums = torch.zeros_like(grad).index_add_(0, place, grad)
            found, uncancelled = sums.square().sum().sqrt(), lengths(grad).sum()
            rounding = gamma(sums.numel(), torch.float64)
            self.squared[i] = (found * (1.0 + rounding) + rounding * uncancelled).square()
        self.squared = with_summing(self.squared, self.uncancelled, rows.dtype)
        self.error = None

    def _counted(self) -> Tensor | None:
        """Which positions [batch, position] have a gradient; None for all."""
        padding = cast(nn.Embedding, self.layer.module).padding_idx
        return None if padding is None else self.ids != padding

    def add_sum(self, factors: Tensor, into: Mapping[str, Tensor], part: slice = ALL) -> None:
        """Add the sum over the examples of a part of factors[i] * g_i."""
        if self.grad is None or self.layer.weight is None:
            return
        out = into[self.layer.weight]
        padding = cast(nn.Embedding, self.layer.module).padding_idx
        as_it_was = None if padding is None else out[padding].clone()
        rows = self.workspace.scaled(self.grad, factors)[part]
        out.index_add_(0, self.ids[part].flatten(), rows.flatten(0, 1))
        if padding is not None and as_it_was is not None:
            out[padding] = as_it_was

    def cross(self, decoder: Iterable[tuple[Tensor, Tensor]]) -> Tensor:
        """Twice the inner product [batch] float64 of this gradient and the tied decoder's.

        Of every example come the decoder's inputs x [row, hidden] and output gradients
        a [row, vocab]; the inner product is the sum over rows j and positions t of
        a[j, id_t] * (x_j . g_t).
        """
        if self.grad is None:
            raise RuntimeError(f"expected a gradient of the output of {self.layer.name}")
        counted = self._counted()
        found = []
        for i, (grad, (value, logits)) in enumerate(zip(as_rows(self.grad), decoder, strict=True)):
            at_ids = logits[:, self.ids[i]].double()  # [row, position]
            products = at_ids.mul_(value.double() @ grad.double().T)
            if counted is not None:
                products *= counted[i]
            found.append(products.sum())
        return 2.0 * torch.stack(found)
