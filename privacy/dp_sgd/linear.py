"""Per-example gradients of a Linear: G^T A for its weight, the sum of G's rows for its bias.

A [batch, row, in] is the input and G [batch, row, out] the gradient of the output, one block of
rows per example. Neither of the two ways needs more than one forward and one backward pass:

- direct: form G_i^T A_i for every example as the gradient passes, keep it, add it up weighted;
- Gram: |G_i^T A_i|^2 = sum over pairs of rows (A_i A_i^T + 1) * (G_i G_i^T), the 1 for the bias,
  and the weighted sum is one product over all rows.
"""

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor

from privacy.dp_sgd.layers import Layer
from privacy.dp_sgd.workspace import Workspace, as_rows

# An element of a kept per-example gradient costs as much time as this many elements of a Gram
# product (measured on one core), and may take this much more memory than A and G do.
COST_OF_DIRECT = 27.0
MEMORY_OF_DIRECT = 1.75


def prefers_direct(rows: int, width_in: int, width_out: int) -> bool:
    """Whether to keep per-example gradients; by shape alone, so that runs repeat bit for bit."""
    area, both = width_in * width_out, width_in + width_out
    return rows * rows * both > COST_OF_DIRECT * area and area <= MEMORY_OF_DIRECT * rows * both


class BatchedLinear:
    """One use of a Linear whose input's first axis is the batch."""

    def __init__(self, layer: Layer, value: Tensor, workspace: Workspace) -> None:
        """Hold the input [batch, ..., in]."""
        self.layer, self.workspace = layer, workspace
        self.batch, self.reached = len(value), False
        self.value: Tensor | None = value
        self.grad: Tensor | None = None
        self.weights: Tensor | None = None  # [batch, out, in], or [batch, in, out] if flipped
        self.flipped = False
        self.biases: Tensor | None = None  # [batch, out]
        self.squared: Tensor | None = None

    def receive(self, grad: Tensor) -> None:
        """Take the gradient [batch, ..., out] of the output, while it is in the cache."""
        kept = self.value
        if kept is None:
            raise RuntimeError(f"expected one gradient of the output of {self.layer.name}, got two")
        value, rows = as_rows(kept), as_rows(grad)
        direct = prefers_direct(value.shape[1], value.shape[2], rows.shape[2])
        if self.layer.weight is None or (direct and not self.layer.tied):
            self._receive_direct(value, rows)
            self.value = None
        elif value.shape[1] == 1:
            self._receive_single(value, rows)
            self.grad = grad
        else:
            gram = self.workspace.gram(kept, plus_one=self.layer.bias is not None)
            pairs = self.workspace.buffer("pairs", gram.shape, rows)
            torch.bmm(rows, rows.transpose(1, 2), out=pairs).mul_(gram)
            self.squared = pairs.sum((1, 2), dtype=torch.float64)
            self.grad = grad

    def _receive_direct(self, value: Tensor, grad: Tensor) -> None:
        self.squared = torch.zeros(len(grad), dtype=torch.float64, device=grad.device)
        if self.layer.bias is not None:
            self.biases = grad.sum(1)
            self.squared += squares(self.biases)
        if self.layer.weight is not None:
            self.flipped = grad.shape[2] > value.shape[2]  # long rows are faster
            left, right = (value, grad) if self.flipped else (grad, value)
            shape = (len(grad), left.shape[2], right.shape[2])
            self.weights = self.workspace.buffer(self.layer.weight, shape, grad)
            torch.bmm(left.transpose(1, 2), right, out=self.weights)
            self.squared += squares(self.weights.view(len(grad), -1))

    def _receive_single(self, value: Tensor, grad: Tensor) -> None:
        inputs = squares(value.squeeze(1))
        self.squared = squares(grad.squeeze(1)) * (inputs + (self.layer.bias is not None))

    def examples(self) -> Iterator[tuple[Tensor, Tensor]]:
        """A_i [row, in] and G_i [row, out] of every example of a tied decoder."""
        if self.value is None or self.grad is None:
            raise RuntimeError(f"expected rows kept for {self.layer.name}, which is not tied")
        return zip(as_rows(self.value), as_rows(self.grad), strict=True)

    def add_sum(self, factors: Tensor, into: Mapping[str, Tensor]) -> None:
        """Add sum_i factors[i] * g_i."""
        if self.biases is not None and self.layer.bias is not None:
            into[self.layer.bias].addmv_(self.biases.T, factors)
        if self.weights is not None and self.layer.weight is not None:
            flat, out = self.weights.view(len(factors), -1), into[self.layer.weight]
            if self.flipped:
                out += torch.mv(flat.T, factors).view(self.weights.shape[1:]).T
            else:
                out.view(-1).addmv_(flat.T, factors)
        if self.grad is None or self.value is None or self.layer.weight is None:
            return
        value, grad = as_rows(self.value), as_rows(self.grad)
        if value.shape[2] <= grad.shape[2]:
            left = grad.reshape(-1, grad.shape[2])
            into[self.layer.weight].addmm_(left.T, self.workspace.scaled(self.value, factors))
            if self.layer.bias is not None:
                by_row = factors.repeat_interleave(grad.shape[1])
                into[self.layer.bias].addmv_(left.T, by_row)
        else:
            left = self.workspace.scaled(self.grad, factors)
            into[self.layer.weight].addmm_(left.T, value.reshape(-1, value.shape[2]))
            if self.layer.bias is not None:
                into[self.layer.bias] += left.sum(0)


class RaggedLinear:
    """One use of a Linear on rows [row, in] of which `counts[i]` in a row belong to example i."""

    def __init__(self, layer: Layer, value: Tensor, owner: Tensor) -> None:
        """Hold the input [row, in] and the example of each row."""
        self.layer, self.value, self.owner = layer, value, owner
        self.grad: Tensor | None = None
        self.squared: Tensor | None = None
        self.counts: list[int] = []
        self.reached = False

    def receive(self, grad: Tensor) -> None:
        """Take the gradient [row, out] of the output."""
        self.grad = grad

    def settle(self, batch: int) -> None:
        """Compute the squared norms, now that the number of examples is known."""
        self.counts = torch.bincount(self.owner, minlength=batch).tolist()
        found = [self._square(a, g) for a, g in self.examples()]
        self.squared = torch.stack(found).double()

    def _square(self, value: Tensor, grad: Tensor) -> Tensor:
        """|g_i|^2 from rows A_i [row, in] and G_i [row, out]."""
        if self.layer.weight is None:
            return grad.sum(0).square().sum()
        gram = value @ value.T
        if self.layer.bias is not None:
            gram += 1.0
        return (gram * (grad @ grad.T)).sum()

    def examples(self) -> Iterator[tuple[Tensor, Tensor]]:
        """A_i [row, in] and G_i [row, out] of every example."""
        if self.grad is None:
            raise RuntimeError(f"expected a gradient of the output of {self.layer.name}")
        return zip(
            torch.split(self.value, self.counts),
            torch.split(self.grad, self.counts),
            strict=True,
        )

    def add_sum(self, factors: Tensor, into: Mapping[str, Tensor]) -> None:
        """Add sum_i factors[i] * g_i."""
        if self.grad is None:
            return
        by_row = factors[self.owner]
        if self.layer.bias is not None:
            into[self.layer.bias].addmv_(self.grad.T, by_row)
        if self.layer.weight is not None:
            into[self.layer.weight].addmm_(self.grad.T, self.value * by_row[:, None])


def squares(rows: Tensor) -> Tensor:
    """The squared L2 norms [batch] float64 of rows [batch, value]."""
    norms: Tensor = torch.linalg.vector_norm(rows, dim=1)
    return norms.double().square()
