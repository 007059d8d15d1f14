"""Per-example gradients of a LayerNorm: sums over an example's rows of G * x_hat and of G."""

from collections.abc import Mapping
from typing import cast

import torch
from torch import Tensor, nn

from privacy.dp_sgd.layers import Layer
from privacy.dp_sgd.linear import squares
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

    def receive(self, grad: Tensor) -> None:
        """Take the gradient of the output, while it is in the cache."""
        value, self.value = self.value, None
        if value is None:
            raise RuntimeError(f"expected one gradient of the output of {self.layer.name}, got two")
        module = cast(nn.LayerNorm, self.layer.module)
        batched = self.owner is None
        if self.layer.weight is not None:
            products = self._normalized(value, module).mul_(grad)
            self.weights = by_example(products, module) if batched else products.flatten(1).clone()
        if self.layer.bias is not None:
            self.biases = by_example(grad, module) if batched else grad.flatten(1)
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
            self._square()

    def _square(self) -> None:
        parts = [squares(part) for part in (self.weights, self.biases) if part is not None]
        self.squared = torch.stack(parts).sum(0)

    def add_sum(self, factors: Tensor, into: Mapping[str, Tensor]) -> None:
        """Add sum_i factors[i] * g_i."""
        for name, part in ((self.layer.weight, self.weights), (self.layer.bias, self.biases)):
            if name is not None and part is not None:
                into[name].view(-1).addmv_(part.T, factors)


def by_example(values: Tensor, module: nn.LayerNorm) -> Tensor:
    """Sums [batch, width] over the rows of each example of [batch, ..., *normalized_shape]."""
    width = module.weight.numel()
    return values.reshape(len(values), -1, width).sum(1)
