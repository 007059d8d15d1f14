"""Spoilt messages: what of a client's message is on its way once a fault has had it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np

from fedbert.faults.draws import Fault
from fedbert.messages import Array, ClientUpdate, RowValues, SmashedData, dense

M = TypeVar("M")

UNHEARD = ("absent", "leaves", "lost")
"""Faults of which nothing comes at a turn's end."""


@dataclass(frozen=True)
class Delivery(Generic[M]):
    """A message that comes, and the simulated seconds after which it does."""

    message: M
    delay: float = 0.0


def updates(
    fault: Fault, made: ClientUpdate, start: Mapping[str, Array]
) -> tuple[Delivery[ClientUpdate], ...]:
    """Return what comes of a client's update; start: the values that it was trained from."""
    if fault.kind in UNHEARD:
        return ()
    name = min(made.tensors)
    sent = made
    if fault.kind in CHANGED:
        changed = CHANGED[fault.kind](np.array(dense(made.tensors[name])))
        sent = replace(made, tensors=made.tensors | {name: changed})
    elif fault.kind == "foreign":
        sent = replace(made, tensors={f"another.{n}": v for n, v in made.tensors.items()})
    elif fault.kind == "stale":
        sent = replace(made, round=made.round - 1)
    elif fault.kind == "poisoned":
        turned: dict[str, Array | RowValues] = {
            n: _along(v, start[n], fault.factor) for n, v in made.tensors.items()
        }
        sent = replace(made, tensors=turned)
    times = 2 if fault.kind == "twice" else 1
    return (Delivery(sent, fault.delay),) * times


def messages(fault: Fault, made: SmashedData) -> tuple[Delivery[SmashedData], ...]:
    """Return what comes of a client's one message."""
    if fault.kind in UNHEARD:
        return ()
    values, sent = made.activations, made
    if fault.kind in CHANGED:
        sent = replace(made, activations=CHANGED[fault.kind](np.array(values)))
    elif fault.kind == "foreign":  # another layout: as wide again
        sent = replace(made, activations=np.concatenate([values, values], axis=2))
    elif fault.kind == "stale":
        sent = replace(made, round=made.round - 1)
    elif fault.kind == "poisoned":
        sent = replace(made, activations=_readonly(values * values.dtype.type(fault.factor)))
    times = 2 if fault.kind == "twice" else 1
    return (Delivery(sent, fault.delay),) * times


def _with(value: float) -> Callable[[Array], Array]:
    """Return a change of one value."""

    def change(values: Array) -> Array:
        values.flat[values.size // 2] = value
        return _readonly(values)

    return change


def _short(values: Array) -> Array:
    """Return all rows but the last."""
    return _readonly(values[:-1])


CHANGED: dict[str | None, Callable[[Array], Array]] = {
    "nan": _with(np.nan),
    "infinite": _with(np.inf),
    "misshaped": _short,
}


def _along(value: Array | RowValues, start: Array, factor: float) -> Array:
    """Return where a change would have come to, were it `factor` times as long."""
    own = dense(value)
    return _readonly((start + factor * (own.astype(np.float64) - start)).astype(own.dtype))


def _readonly(values: Array) -> Array:
    values.flags.writeable = False
    return values
