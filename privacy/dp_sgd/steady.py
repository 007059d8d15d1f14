"""Steady bf16: products in which no example's digits depend on who else is in the batch.

A library picks its kernel by the number of rows, and another kernel adds up in another order. In
float32 that moves the last digits. In bf16, whose values have 8 bits, it moves whole gradients by
parts in a thousand, of every example of a batch at once, as soon as one joins. So within
`steady()`

- a Linear runs on blocks of exactly `ROWS` rows, filled up with zeros: one shape, one kernel;
- activations run on pieces of one size, or whole where that is the same;
- attention (`attend`) runs on blocks of `EXAMPLES` whose lengths, rounded up, are the same.

Everything else between them works on single values or single rows. That a kernel of one shape
treats all of its rows alike is looked at, once for each shape, and refused where it does not.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

ROWS = 512  # of a block
EXAMPLES = 8  # that attend in one product
STRIDE = 32  # lengths of attention are multiples of it
PIECE = 32_768  # values of a piece: no more are worth a second thread to torch
LANES = 64  # values that one instruction may hold: what is left over takes another way
ACTIVATIONS = (F.gelu, F.relu, F.silu, torch.tanh, torch.sigmoid)
NARROW = torch.bfloat16

_ACTIVE: ContextVar[bool] = ContextVar("steady", default=False)


def is_steady() -> bool:
    """Whether the forward pass at hand is a steady one."""
    return _ACTIVE.get()


@contextmanager
def steady() -> Iterator[None]:
    """Run the block's Linears in bf16, and whatever is named above steadily.

    Raises:
        RuntimeError: a Linear's weight asks for a gradient, which nothing here would form.
        ValueError: this machine's bf16 products depend on a row's place.
    """
    token = _ACTIVE.set(True)
    try:
        with _Steady():
            yield
    finally:
        _ACTIVE.reset(token)


class _Steady(TorchFunctionMode):
    """Sends Linears and activations the steady way."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is F.linear:
            return linear(*args, **kwargs)
        if func in ACTIVATIONS and args[0].dtype == NARROW and not _even(args[0]):
            return _Activation.apply(args[0], lambda values: func(values, *args[1:], **kwargs))  # type: ignore[no-untyped-call]
        return func(*args, **kwargs)


def linear(value: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """The output bf16 [..., out] of a Linear on values [..., in], all three cast to bf16."""
    if torch.is_grad_enabled() and weight.requires_grad:
        raise RuntimeError(
            "expected weights without a gradient of their own in a steady pass, got one"
        )
    narrow = weight.detach().to(NARROW)
    _look_at(*narrow.shape, str(narrow.device))
    rows = value.to(NARROW).reshape(-1, value.shape[-1])
    own = None if bias is None else bias.detach().to(NARROW)
    out: Tensor = _Linear.apply(rows, narrow, own)  # type: ignore[no-untyped-call]
    return out.view(*value.shape[:-1], len(narrow))


class _Linear(torch.autograd.Function):
    """A Linear and its input's gradient, block by block."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(weight)
        return in_blocks(rows, weight.T, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (weight,) = ctx.saved_tensors
        return in_blocks(grads[0].to(NARROW).contiguous(), weight), None, None


def in_blocks(rows: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    """Rows [row, in] times a matrix [in, out], plus a bias [out]: `ROWS` rows at a time."""
    out = rows.new_empty(len(rows), right.shape[1])
    for start in range(0, len(rows), ROWS):
        block, room = rows[start : start + ROWS], out[start : start + ROWS]
        if len(block) == ROWS:
            _multiply(block, right, bias, room)
            continue
        full, whole = rows.new_zeros(ROWS, rows.shape[1]), rows.new_empty(ROWS, right.shape[1])
        full[: len(block)] = block
        room.copy_(_multiply(full, right, bias, whole)[: len(block)])
    return out


def _multiply(block: Tensor, right: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
    """One product of a block, in one place for whoever asks how it treats its rows."""
    if bias is None:
        return torch.mm(block, right, out=out)
    return torch.addmm(bias, block, right, out=out)


def _even(values: Tensor) -> bool:
    """Whether one thread passes over values without any left over: the same way for each."""
    return torch.get_num_threads() == 1 and values.numel() % LANES == 0 and values.is_contiguous()


class _Activation(torch.autograd.Function):
    """A function of single values and its gradient, piece by piece."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, run: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.save_for_backward(value)
        ctx.run = run
        return in_pieces(run, value.contiguous())

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        (value,) = ctx.saved_tensors

        def back(piece: Tensor, grad: Tensor) -> Tensor:
            with torch.enable_grad():
                own = piece.detach().requires_grad_()
                return torch.autograd.grad(ctx.run(own), own, grad)[0]

        return in_pieces(back, value.contiguous(), grads[0].contiguous()), None


def in_pieces(run: Callable[..., Tensor], *values: Tensor) -> Tensor:
    """What `run` makes of tensors of one shape, given `PIECE` values of each at a time."""
    first = values[0]
    flat = [value.view(-1) for value in values]
    out = torch.empty_like(flat[0])
    for start in range(0, len(out), PIECE):
        own = [each[start : start + PIECE] for each in flat]
        count = len(own[0])
        if count < PIECE:
            own = [torch.cat([each, each.new_zeros(PIECE - count)]) for each in own]
        out[start : start + count] = run(*own)[:count]
    return out.view_as(first)


def attend(query: Tensor, key: Tensor, value: Tensor, real: Tensor, rate: float = 0.0) -> Tensor:
    """What queries [batch, heads, seq, head] gather, in the same shape, each example by itself.

    real [batch, seq]: where there is a token; rate: of dropout on the weights. Queries behind an
    example's own length, rounded up, gather zeros.
    """
    found: Tensor = _Attention.apply(query, key, value, real, rate)  # type: ignore[no-untyped-call]
    return found


class _Attention(torch.autograd.Function):
    """Softmax attention and its gradients, in blocks of examples of one length."""

    @staticmethod
    def forward(
        ctx: Any, query: Tensor, key: Tensor, value: Tensor, real: Tensor, rate: float
    ) -> Tensor:
        out, ctx.blocks, ctx.shape = torch.zeros_like(query), [], query.shape
        for room, own in _alike(real):
            block = [_taken(each, own, room) for each in (query, key, value)]
            q, k, v = block
            mask = q.new_full((EXAMPLES, room), torch.finfo(q.dtype).min)
            width = min(room, real.shape[1])
            mask[: len(own), :width].masked_fill_(real[own, :width], 0.0)
            mask = mask.repeat_interleave(query.shape[1], 0)[:, None]  # [example * head, 1, key]
            weights = (torch.bmm(q, k.mT) + mask).softmax(-1)
            keep = None if rate == 0 else F.dropout(torch.ones_like(weights), rate)
            dropped = weights if keep is None else weights * keep
            _put(out, own, torch.bmm(dropped, v))
            ctx.blocks.append((room, own, block, weights, keep))
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        found = [grads[0].new_zeros(ctx.shape) for _ in range(3)]
        for room, own, (q, k, v), weights, keep in ctx.blocks:
            grad = _taken(grads[0], own, room)
            at_weights = torch.bmm(grad, v.mT)
            dropped = weights if keep is None else weights * keep
            at_weights = at_weights if keep is None else at_weights * keep
            scores = torch._softmax_backward_data(at_weights, weights, -1, weights.dtype)
            parts = torch.bmm(scores, k), torch.bmm(scores.mT, q), torch.bmm(dropped.mT, grad)
            for out, part in zip(found, parts, strict=True):
                _put(out, own, part)
        return *found, None, None


def _alike(real: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Lengths, rounded up, and at most `EXAMPLES` examples that have it [example]."""
    ends = torch.arange(1, real.shape[1] + 1, device=real.device)
    rooms = -(-(real.long() * ends).amax(1).clamp(min=1) // STRIDE) * STRIDE
    for room in torch.unique(rooms).tolist():
        for own in (rooms == room).nonzero()[:, 0].split(EXAMPLES):
            yield room, own


def _taken(values: Tensor, own: Tensor, room: int) -> Tensor:
    """Rows [EXAMPLES * heads, room, head] of some examples' [batch, heads, seq, head], or zeros."""
    _, heads, seq, head = values.shape
    filled = len(own) == EXAMPLES and room <= seq
    make = values.new_empty if filled else values.new_zeros
    out = make((EXAMPLES, heads, room, head))
    out[: len(own), :, : min(room, seq)] = values[_places(own)][:, :, :room]
    return out.view(EXAMPLES * heads, room, head)


def _put(out: Tensor, own: Tensor, rows: Tensor) -> None:
    """Set some examples' values [batch, heads, seq, head] from `_taken` rows."""
    _, heads, seq, head = out.shape
    found = rows.view(EXAMPLES, heads, -1, head)[: len(own), :, :seq]
    out[_places(own), :, : found.shape[2]] = found


def _places(own: Tensor) -> Tensor | slice:
    """The same examples as a slice, which copies nothing, where they stand side by side."""
    start, end = int(own[0]), int(own[-1]) + 1
    return slice(start, end) if end - start == len(own) else own


@cache
def _look_at(width_out: int, width_in: int, device: str) -> None:
    """Look whether a block's rows, in other places and company, come out to the same bits.

    Raises:
        ValueError: they do not.
    """
    count = ROWS * (width_in + width_out) + width_in * width_out
    values = torch.linspace(-1.0, 1.0, count, device=device).mul_(1e3).sin_().to(NARROW)
    rows, grads, weight = values.split([ROWS * width_in, ROWS * width_out, width_in * width_out])
    rows, grads = rows.view(ROWS, width_in), grads.view(ROWS, width_out)
    weight = weight.view(width_out, width_in)
    places = torch.arange(ROWS, device=device).flip(0).roll(7)
    for own, right in ((rows, weight.T), (grads, weight)):

        def run(block: Tensor, right: Tensor = right) -> Tensor:
            return _multiply(block, right, None, block.new_empty(ROWS, right.shape[1]))

        whole, alone = run(own), torch.zeros_like(own)
        alone[3] = own[ROWS - 1]
        if not torch.equal(run(own[places]), whole[places]) or not torch.equal(
            run(alone)[3], whole[ROWS - 1]
        ):
            raise ValueError(
                "expected bf16 products in which a row's place does not matter, got others on this "
                f"machine for {width_in} x {width_out}: DP-SGD needs precision float32 here"
            )
