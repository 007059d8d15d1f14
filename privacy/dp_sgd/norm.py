"""Per-example gradients of a LayerNorm: sums over an example's rows of G * x_hat and of G."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from privacy.dp_sgd.bounds import lengths, squares, widened, with_summing
from privacy.dp_sgd.layers import Layer
from privacy.dp_sgd.linear import ALL
from privacy.dp_sgd.workspace import Workspace


class Norm:
    """One use of a LayerNorm, on [batch, ..., width], or on rows [row, width] with an owner."""

    def __init__(
        self, layer: Layer, value: Tensor, workspace: Workspace, owner: Tensor | None = None
    ) -> None:
        """Hold the input and, in a ragged part, the example of each row."""
        self.layer, self.workspace, self.owner = layer, workspace, owner
        self.value: Tensor | None = value
        self.batch, self.reached = len(value), False
        self.weights: Tensor | None = None  # [batch, width], or [row, width] until settled
        self.biases: Tensor | None = None
        self.squared: Tensor | None = None
        self.uncancelled: Tensor | None = None  # the norms [batch] if no rows cancelled; or [row]

    def receive(self, grad: Tensor) -> None:
        """Take the gradient of the output, while it is in the cache."""
        value, self.value = self.value, None
        if value is None:
            raise RuntimeError(f"expected one gradient of the output of {self.layer.name}, got two")
        value = self.workspace.wide("value", value)
        grad = self.workspace.wide("grad", grad) if self.owner is None else widened(grad)
        module = cast(nn.LayerNorm, self.layer.module)
        batched = self.owner is None
        for_weight, for_bias = self.layer.weight is not None, self.layer.bias is not None
        row_lengths = torch.zeros((), dtype=torch.float64)
        if for_weight:
            products = self._normalized(value, module).mul_(grad)
            row_lengths = row_lengths + rows_of(products, module)
            self.weights = by_example(products, module) if batched else products.flatten(1).clone()
        if for_bias:
            row_lengths = row_lengths + rows_of(grad, module)
            self.biases = by_example(grad, module) if batched else grad.flatten(1)
        self.uncancelled = row_lengths.sum(1) if batched else row_lengths.flatten()
        if batched:
            self._square()

    def _normalized(self, value: Tensor, module: nn.LayerNorm) -> Tensor:
        """x_hat, in a kept buffer."""
        rows = (*value.shape[: -len(module.normalized_shape)], *[1] * len(module.normalized_shape))
        out = self.workspace.buffer("x_hat", value.shape, value)
        mean = self.workspace.buffer("mean", rows, value)
        rstd = self.workspace.buffer("rstd", rows, value)
        torch.ops.aten.native_layer_norm.out(
            value, module.normalized_shape, None, None, module.eps, out0=out, out1=mean, out2=rstd
        )
        return out

    def settle(self, batch: int) -> None:
        """Add up the rows of each example, now that the number of examples is known."""
        self.batch = batch
        if self.owner is not None:
            for name in ("weights", "biases"):
                rows = getattr(self, name)
                if rows is not None:
                    sums = rows.new_zeros(batch, rows.shape[1])
                    setattr(self, name, sums.index_add_(0, self.owner, rows))
            if self.uncancelled is not None:
                lone = self.uncancelled
                self.uncancelled = lone.new_zeros(batch).index_add_(0, self.owner, lone)
            self._square()

    def _square(self) -> None:
        parts = [part for part in (self.weights, self.biases) if part is not None]
        found = torch.stack([squares(part) for part in parts]).sum(0)
        if self.uncancelled is not None:
            self.squared = with_summing(found, self.uncancelled, parts[0].dtype)

    def add_sum(self, factors: Tensor, into: Mapping[str, Tensor], part: slice = ALL) -> None:
        """Add the sum over the examples of a part of factors[i] * g_i."""
        for name, rows in ((self.layer.weight, self.weights), (self.layer.bias, self.biases)):
            if name is not None and rows is not None:
                into[name].view(-1).addmv_(rows[part].T, factors[part])


def by_example(values: Tensor, module: nn.LayerNorm) -> Tensor:
    """Sums [batch, width] over the rows of each example of [batch, ..., *normalized_shape]."""
    width = module.weight.numel()
    return values.reshape(len(values), -1, width).sum(1)


def rows_of(values: Tensor, module: nn.LayerNorm) -> Tensor:
    """Lengths [batch, row] float64 of the rows of [batch, ..., *normalized_shape]."""
    width = module.weight.numel()
    rows = values.numel() // (width * max(len(values), 1))
    return lengths(values.reshape(len(values), rows, width))
