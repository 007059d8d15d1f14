"""Precision that a training computes in: what was asked for, and what this processor gains by bf16.

`auto` is bf16 where the processor multiplies bf16 in hardware (AMX or AVX512-BF16) or the device
does, the model is wide enough for that to count, and a short look at its own shapes agrees; else
float32. The first two settle it: the look confirms a gain of several times, and is far from what it
asks for, so that one machine always answers alike. A training that is resumed keeps its answer.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from fedbert.config import Config
from fedbert.errors import InputError
from privacy.dp_sgd.bounds import products_in
from privacy.dp_sgd.steady import steady

KEPT = ("float32", "bf16")
"""What `auto` can come to."""
WIDE = 256  # hidden values of a token: below, casts cost what products save
GAIN = 0.8  # bf16 has to take less than this share of float32's time
ROWS, LOOKS, SECONDS = 1024, 5, 1.0  # tokens of a look, at most; looks, unless they take too long


def autocast(config: Config, private: bool = False) -> AbstractContextManager[object]:
    """Return the context of a forward pass: bf16 where asked for.

    private: of one whose examples' gradients are clipped each by itself. No example's digits may
    then depend on the others: see `privacy.dp_sgd.steady`.
    """
    if config.training.precision != "bf16":
        return nullcontext()
    kind = config.training.device.split(":")[0]
    narrow = torch.autocast(kind, dtype=torch.bfloat16)
    return _both(narrow, steady()) if private else narrow


@contextmanager
def _both(
    first: AbstractContextManager[object], second: AbstractContextManager[object]
) -> Iterator[None]:
    with first, second:
        yield


def products(config: Config, model: Any) -> AbstractContextManager[None]:
    """Return the context of an adversary's work: its products as narrow as the training's own.

    Matrices stay float32, and so do their sums; a training in float32 leaves everything as it is.
    """
    return products_in(settled(config, model)[0].training.precision == "bf16")


def settled(
    config: Config, model: Any, kept: Mapping[str, Any] | None = None
) -> tuple[Config, dict[str, str]]:
    """Return the configuration with the precision that its training computes in; and, for a
    record or a state, what `auto` came to: {} where the precision is named.

    model: the settings of the transformers model; kept: the plain values of a saved state, which
    name the precision that the training began in.

    Raises:
        InputError: for a kept precision that none can be.
    """
    if config.training.precision != "auto":
        return config, {}
    found: Any = (kept or {}).get("precision")
    if found is None:
        found = "bf16" if pays(config, model) else "float32"
    if found not in KEPT:
        raise InputError(f"expected precision {' or '.join(KEPT)} of the state, got {found!r}")
    return replace(config, training=replace(config.training, precision=found)), {"precision": found}


def in_words(config: Config, model: Any, kept: Mapping[str, Any] | None = None) -> tuple[str, ...]:
    """Return what `auto` came to, as a line; () where the precision is named."""
    if config.training.precision != "auto":
        return ()
    found = settled(config, model, kept)[1]["precision"]
    if kept is not None and "precision" in kept:
        return (f"precision auto: {found}, as this training began",)
    device = config.training.device
    if device != "cpu":
        has = "multiplies bf16" if device_has_bf16(device) else "does not multiply bf16"
        return (f"precision auto: {found} ({device} {has})",)
    return (f"precision auto: {found} ({why(config, model)})",)


def why(config: Config, model: Any) -> str:
    """Return on what ground `auto` came to its answer on this processor."""
    units = processor_units()
    if not units:
        return "no bf16 on this processor: neither AMX nor AVX512-BF16"
    if model.hidden_size < WIDE:
        return f"{units}, and {model.hidden_size} values of a token are too few to gain by it"
    share = measured(*_shape(config, model))
    return f"{units}: bf16 took {share:.1g} of float32's time in these shapes"


def pays(config: Config, model: Any) -> bool:
    """Return whether bf16 pays for a model with these settings on the device asked for."""
    if config.training.device != "cpu":
        return device_has_bf16(config.training.device)
    if not processor_units() or model.hidden_size < WIDE:
        return False
    return measured(*_shape(config, model)) < GAIN


def processor_units() -> str:
    """Return what multiplies bf16 in this processor: "AMX", "AVX512-BF16" or "" (nothing)."""
    amx, avx = (
        getattr(torch.cpu, name, lambda: False)
        for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    )
    if not torch.backends.mkldnn.is_available():
        return ""
    return "AMX" if amx() else "AVX512-BF16" if avx() else ""


def device_has_bf16(device: str) -> bool:
    """Return whether a device other than the processor multiplies bf16 itself."""
    if not torch.cuda.is_available():
        return False
    return torch.cuda.get_device_capability(torch.device(device)) >= (8, 0)


def _shape(config: Config, model: Any) -> tuple[int, int, int]:
    """Return tokens of a step, hidden and inner width, as far as a look needs them."""
    rows = min(ROWS, config.training.batch_size * config.data.max_length)
    return rows, model.hidden_size, model.intermediate_size


@cache
def measured(rows: int, hidden: int, wide: int) -> float:
    """Return bf16's time as a share of float32's: a feed-forward part, there and back.

    The best of several looks of each, in turn: whatever else runs only adds time.
    """
    x, first, second = (
        _values(*shape) for shape in ((rows, hidden), (wide, hidden), (hidden, wide))
    )

    def look(dtype: torch.dtype) -> float:
        began = time.thread_time()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=dtype == torch.bfloat16):
            out = F.linear(F.gelu(F.linear(x, first)), second)
        torch.autograd.grad(out.sum(), (x, first, second))
        return time.thread_time() - began

    return best_of(look, LOOKS, SECONDS)


def best_of(look: Callable[[torch.dtype], float], looks: int, most: float) -> float:
    """Return the best time in bf16 over the best in float32, after one look at each unmeasured.

    looks: of each, in turn; no more are begun once they took `most` seconds.
    """
    kinds = (torch.float32, torch.bfloat16)
    began, times = time.monotonic(), {kind: [look(kind)] for kind in kinds}
    for number in range(looks):
        for kind in kinds:
            taken = look(kind)
            times[kind] = [taken] if number == 0 else [*times[kind], taken]
        if time.monotonic() - began > most:
            break
    before, after = (min(times[kind]) for kind in kinds)
    return after / max(before, 1e-9)


def _values(*shape: int) -> Tensor:
    """Return values that no generator has to be asked for."""
    count = shape[0] * shape[1]
    return torch.linspace(-1.0, 1.0, count).view(shape).requires_grad_()
