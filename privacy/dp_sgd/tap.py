"""Gradient tap: see the gradient of a tensor as it passes, and make sure that one passes."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class _Tap(torch.autograd.Function):
    """Passes a value that needs no gradient on as one that does, and hands over the gradient."""

    @staticmethod
    def forward(
        ctx: Any, value: Tensor, start: Tensor, receive: Callable[[Tensor], None]
    ) -> Tensor:
        """Return the value; `start` requires a gradient and gets none."""
        ctx.receive = receive
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        """Hand over the gradient; it ends here."""
        ctx.receive(grads[0])
        return None, None, None


def tap(value: Tensor, receive: Callable[[Tensor], None]) -> Tensor:
    """The value, whose gradient `receive` is given in the backward pass.

    Where nothing before it needs a gradient (frozen parameters), the backward pass begins here.
    """
    if value.requires_grad:
        value.register_hook(receive)
        return value
    start = torch.empty(0, dtype=value.dtype, device=value.device, requires_grad=True)
    tapped: Tensor = _Tap.apply(value, start, receive)  # type: ignore[no-untyped-call]
    return tapped
