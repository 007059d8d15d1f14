"""Memory that is kept from step to step, and products that several layers share.

A fresh large tensor costs page faults at every step, often more than the arithmetic in it.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from privacy.dp_sgd.bounds import products_in

# Bytes; what is kept to keep other memory should itself be small.
LARGEST_PIN = 4 * 2**20


class Workspace:
    """Kept buffers, and the last Gram matrix and the last scaled tensor, by identity."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._buffers: dict[str, Tensor] = {}
        self._gram: tuple[Tensor, bool, Tensor] | None = None
        self._scaled: tuple[Tensor, Tensor, Tensor] | None = None
        self._wide: dict[str, tuple[Tensor, Tensor]] = {}
        self._pin: Tensor | None = None
        self._last_pin: Tensor | None = None  # through the whole of this step

    def pin(self, seen: Tensor) -> None:
        """Keep one tensor of the step: the one at the highest address.

        A step lets go of all its tensors at once. The allocator would then give their memory back
        to the system, page by page, and ask for it again in the next step, at several per cent of
        its time. It cannot where the tensor on top stays.
        """
        if seen.nbytes > LARGEST_PIN:
            return
        if self._pin is None or seen.data_ptr() > self._pin.data_ptr():
            self._pin = seen

    def buffer(self, key: str, shape: Sequence[int], like: Tensor) -> Tensor:
        """A contiguous tensor of this shape, its values arbitrary; the key's last one is lost."""
        size = prod(shape)
        kept = self._buffers.get(key)
        if (
            kept is None
            or len(kept) < size
            or kept.dtype != like.dtype
            or kept.device != like.device
        ):
            kept = self._buffers[key] = torch.empty(size, dtype=like.dtype, device=like.device)
        return kept[:size].view(*shape)

    def wide(self, key: str, values: Tensor) -> Tensor:
        """The same values, those of bf16 in float32 in a kept buffer: the key's last one is lost.

        The very same tensor asked for twice in a row is converted once.
        """
        if values.dtype != torch.bfloat16:
            return values
        last = self._wide.get(key)
        if last is not None and last[0] is values:
            return last[1]
        found = self.buffer(key, values.shape, torch.empty(0, device=values.device)).copy_(values)
        self._wide[key] = (values, found)
        return found

    def gram(self, values: Tensor, plus_one: bool = False, narrow: bool = False) -> Tensor:
        """Inner products [batch, row, row] of the rows of values [batch, row, ...], plus one.

        The very same tensor asked for twice in a row (the input of query, key and value; the
        gradient of the three embeddings) is multiplied once. Read only. narrow: all are bf16.
        """
        if self._gram is not None:
            last, one, found = self._gram
            if last is values and one == plus_one:
                return found
        rows = as_rows(self.wide("value", values))
        with products_in(narrow):
            found = torch.bmm(rows, rows.transpose(1, 2))
        if plus_one:
            found.add_(1.0)
        self._gram = (values, plus_one, found)
        return found

    def scaled(self, values: Tensor, factors: Tensor, narrow: bool = False) -> Tensor:
        """Rows [batch, row, width] of values [batch, row, ...], each times its example's factor.

        Valid until the next call; the same two tensors twice in a row are multiplied once. narrow:
        the products are rounded to bf16.
        """
        if self._scaled is not None:
            last, by, found = self._scaled
            if last is values and by is factors:
                return found
        rows = as_rows(values)
        out = self.buffer("scaled", rows.shape, factors)
        torch.mul(rows, factors[:, None, None], out=out)
        if narrow:
            out.copy_(out.bfloat16())
        self._scaled = (values, factors, out)
        return out

    def forget(self) -> None:
        """Let go of the step's tensors; the buffers stay, and what pins the memory."""
        self._gram = self._scaled = None
        self._wide = {}

    def next_step(self) -> None:
        """Hold the last step's pin through this one, which finds its own."""
        self._last_pin, self._pin = self._pin, None


def as_rows(values: Tensor) -> Tensor:
    """The values as [batch, row, width]; [batch, width] has one row per example."""
    if values.ndim == 2:
        return values.unsqueeze(1)
    return values if values.ndim == 3 else values.flatten(1, -2)
