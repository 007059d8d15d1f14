"""Per-example gradients of a Linear: G^T A for its weight, the sum of G's rows for its bias.

A [batch, row, in] is the input and G [batch, row, out] the gradient of the output, one block of
rows per example. Neither of the two ways needs more than one forward and one backward pass:

- direct: form G_i^T A_i for every example as the gradient passes, keep it, add it up weighted;
- Gram: |G_i^T A_i|^2 = sum over pairs of rows (A_i A_i^T + 1) * (G_i G_i^T), the 1 for the bias,
  and the weighted sum is one product over all rows.

Squared norms are upper bounds (`privacy.dp_sgd.bounds`).
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from privacy.dp_sgd.bounds import (
    TINY,
    add_product,
    cut,
    exact_square,
    gamma,
    inner_products,
    lengths,
    loose,
    products_in,
    squares,
    widened,
    with_summing,
)
from privacy.dp_sgd.layers import Layer
from privacy.dp_sgd.workspace import Workspace, as_rows

# An element of a kept per-example gradient costs as much time as this many elements of a Gram
# product (measured on one core), and may take this much more memory than A and G do.
COST_OF_DIRECT = 27.0
MEMORY_OF_DIRECT = 1.75
ALL = slice(0, None)


def prefers_direct(rows: int, width_in: int, width_out: int) -> bool:
    """Whether to keep per-example gradients; by shape alone, so that runs repeat bit for bit."""
    area, both = width_in * width_out, width_in + width_out
    return rows * rows * both > COST_OF_DIRECT * area and area <= MEMORY_OF_DIRECT * rows * both


class BatchedLinear:
    """One use of a Linear whose input's first axis is the batch."""

    def __init__(
        self, layer: Layer, value: Tensor, workspace: Workspace, narrow: bool = False
    ) -> None:
        """Hold the input [batch, ..., in]; narrow: it and the gradient hold bf16 values."""
        self.layer, self.workspace, self.narrow = layer, workspace, narrow
        self.batch, self.reached = len(value), False
        self.value: Tensor | None = value
        self.grad: Tensor | None = None
        self.weights: Tensor | None = None  # [batch, out, in], or [batch, in, out] if flipped
        self.flipped = False
        self.biases: Tensor | None = None  # [batch, out]
        self.squared: Tensor | None = None
        self.uncancelled: Tensor | None = None  # the norms [batch] if nothing cancelled
        self.error: Tensor | None = None  # of `squared`, at most; None once it is in

    def receive(self, grad: Tensor) -> None:
        """Take the gradient [batch, ..., out] of the output, while it is in the cache."""
        kept = self.value
        if kept is None:
            raise RuntimeError(f"expected one gradient of the output of {self.layer.name}, got two")
        value, rows = as_rows(kept), as_rows(self.workspace.wide("grad", grad))
        direct = prefers_direct(value.shape[1], value.shape[2], rows.shape[2])
        if self.layer.weight is None or (direct and not self.layer.tied):
            self._receive_direct(value, rows)
            self.value = None
        elif value.shape[1] == 1:
            self._receive_single(value, rows)
            self.grad = grad
        else:
            self._receive_gram(kept, rows)
            self.grad = grad

    def _receive_gram(self, kept: Tensor, grad: Tensor) -> None:
        gram = self.workspace.gram(kept, self.layer.bias is not None, self.narrow)
        pairs = self.workspace.buffer("pairs", gram.shape, grad)
        with products_in(self.narrow):
            torch.bmm(grad, grad.transpose(1, 2), out=pairs)
        count = kept.shape[-1] + grad.shape[2] + 8
        diagonals = (m.diagonal(dim1=1, dim2=2).double() for m in (gram, pairs))
        inputs, grads = ((d + count * TINY).sqrt() for d in diagonals)  # lengths of rows
        found = pairs.mul_(gram).sum((1, 2), dtype=torch.float64)
        self.uncancelled = (inputs * grads).sum(1)
        lost = inputs.sum(1).square() + grads.sum(1).square() + grads.shape[1] ** 2
        self.error = 2.0 * gamma(count, grad.dtype) * self.uncancelled.square() + (
            2.0 * count * TINY * lost
        )
        self.squared = found

    def settle(self) -> None:
        """Form again what cancelled too much for float32, and add what rounding may do."""
        if self.error is None or self.squared is None or self.uncancelled is None:
            return
        if self.value is None or self.grad is None:
            raise RuntimeError(f"expected rows kept for {self.layer.name}")
        again = loose(self.squared, self.error)
        self.squared = (self.squared + self.error).clamp(min=0.0)
        value, grad = as_rows(self.value), as_rows(self.grad)
        for i in again.nonzero()[:, 0].tolist():
            plus_one = self.layer.bias is not None
            self.squared[i] = exact_square(value[i], grad[i], plus_one)
        dtype = torch.float32 if self.narrow else grad.dtype
        self.squared = with_summing(self.squared, self.uncancelled, dtype, self.narrow)
        self.error = None

    def _receive_direct(self, value: Tensor, grad: Tensor) -> None:
        value = self.workspace.wide("value", value)
        self.squared = torch.zeros(len(grad), dtype=torch.float64, device=grad.device)
        if self.layer.bias is not None:
            self.biases = grad.sum(1)
            self.squared += squares(self.biases)
        if self.layer.weight is not None:
            self.flipped = grad.shape[2] > value.shape[2]  # long rows are faster
            left, right = (value, grad) if self.flipped else (grad, value)
            shape = (len(grad), left.shape[2], right.shape[2])
            self.weights = self.workspace.buffer(self.layer.weight, shape, grad)
            with products_in(self.narrow):
                torch.bmm(left.transpose(1, 2), right, out=self.weights)
            self.squared += squares(self.weights.view(len(grad), -1))
        inputs = torch.zeros_like(self.squared)
        if self.layer.weight is not None:
            inputs += squares(value.flatten(1))
        if self.layer.bias is not None:
            inputs += value.shape[1]
        uncancelled = (inputs * squares(grad.flatten(1))).sqrt()  # Cauchy and Schwarz over rows
        self.squared = with_summing(self.squared, uncancelled, grad.dtype)

    def _receive_single(self, value: Tensor, grad: Tensor) -> None:
        inputs = squares(widened(value).squeeze(1))
        squared = squares(grad.squeeze(1)) * (inputs + (self.layer.bias is not None))
        self.squared = with_summing(squared, squared.sqrt(), grad.dtype, self.narrow)

    def examples(self) -> Iterator[tuple[Tensor, Tensor]]:
        """A_i [row, in] and G_i [row, out] of every example of a tied decoder."""
        if self.value is None or self.grad is None:
            raise RuntimeError(f"expected rows kept for {self.layer.name}, which is not tied")
        return zip(as_rows(self.value), as_rows(self.grad), strict=True)

    def add_sum(self, factors: Tensor, into: Mapping[str, Tensor], part: slice = ALL) -> None:
        """Add the sum over the examples of a part of factors[i] * g_i."""
        if self.biases is not None and self.layer.bias is not None:
            into[self.layer.bias].addmv_(self.biases[part].T, factors[part])
        if self.weights is not None and self.layer.weight is not None:
            flat, out = self.weights.view(len(factors), -1)[part], into[self.layer.weight]
            if self.flipped:
                out += torch.mv(flat.T, factors[part]).view(self.weights.shape[1:]).T
            else:
                out.view(-1).addmv_(flat.T, factors[part])
        if self.grad is None or self.value is None or self.layer.weight is None:
            return
        value, grad = as_rows(self.value), as_rows(self.grad)
        if value.shape[2] <= grad.shape[2]:
            left = self.workspace.wide("grad", grad)[part].reshape(-1, grad.shape[2])
            right = self.workspace.scaled(self.value, factors, self.narrow)[part].flatten(0, 1)
            if self.layer.bias is not None:
                by_row = factors[part].repeat_interleave(grad.shape[1])
                into[self.layer.bias].addmv_(left.T, by_row)
        else:
            left = self.workspace.scaled(self.grad, factors, self.narrow)[part].flatten(0, 1)
            right = self.workspace.wide("value", value)[part].reshape(-1, value.shape[2])
            if self.layer.bias is not None:
                into[self.layer.bias] += left.sum(0)
        add_product(into[self.layer.weight], left, right, self.narrow)


class RaggedLinear:
    """One use of a Linear on rows [row, in] of which `counts[i]` in a row belong to example i."""

    def __init__(self, layer: Layer, value: Tensor, owner: Tensor, narrow: bool = False) -> None:
        """Hold the input [row, in] and the example of each row; narrow: as of `BatchedLinear`."""
        self.layer, self.value, self.owner, self.narrow = layer, value, owner, narrow
        self.grad: Tensor | None = None
        self.squared: Tensor | None = None
        self.counts: list[int] = []
        self.reached = False

    def receive(self, grad: Tensor) -> None:
        """Take the gradient [row, out] of the output."""
        self.grad = widened(grad)

    def settle(self, batch: int) -> None:
        """Compute the squared norms, now that the number of examples is known."""
        self.counts = torch.bincount(self.owner, minlength=batch).tolist()
        found = [self._square(a, g) for a, g in self.examples()]
        self.squared = torch.stack(found)

    def _square(self, value: Tensor, grad: Tensor) -> Tensor:
        """|g_i|^2 from rows A_i [row, in] and G_i [row, out], and no less."""
        plus_one = self.layer.bias is not None
        if self.layer.weight is None:
            value = value[:, :0]
        inputs = (lengths(value).square() + plus_one).sqrt()
        uncancelled = (inputs * lengths(grad)).sum()
        (gram, deep), (pairs, wide) = inner_products(value), inner_products(grad)
        squared = ((gram + 1.0 if plus_one else gram) * pairs).sum(dtype=torch.float64)
        error = gamma(deep + wide + 8, grad.dtype) * uncancelled.square()
        if bool(loose(squared, error)):
            squared, error = exact_square(value, grad, plus_one), torch.zeros_like(error)
        squared = (squared + error).clamp(min=0.0)
        return with_summing(squared, uncancelled, grad.dtype, self.narrow)

    def examples(self) -> Iterator[tuple[Tensor, Tensor]]:
        """A_i [row, in] and G_i [row, out] of every example."""
        if self.grad is None:
            raise RuntimeError(f"expected a gradient of the output of {self.layer.name}")
        return zip(
            torch.split(self.value, self.counts),
            torch.split(self.grad, self.counts),
            strict=True,
        )

    def add_sum(self, factors: Tensor, into: Mapping[str, Tensor], part: slice = ALL) -> None:
        """Add the sum over the examples of a part of factors[i] * g_i."""
        if self.grad is None:
            return
        first = sum(self.counts[: part.start])
        rows = slice(first, first + sum(self.counts[part]))
        grad, by_row = self.grad[rows], factors[self.owner[rows]]
        if self.layer.bias is not None:
            into[self.layer.bias].addmv_(grad.T, by_row)
        if self.layer.weight is not None:
            scaled = self.value[rows] * by_row[:, None]
            right = cut(scaled) if self.narrow else scaled
            add_product(into[self.layer.weight], grad, right, self.narrow)
