"""Arrival check of messages: shapes and finite numbers, before any party computes with them."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from fedbert.config import Config
from fedbert.errors import InputError
from fedbert.messages import (
    KINDS,
    Array,
    ClientParts,
    ClientUpdate,
    ClipFactors,
    ExampleNorms,
    HiddenStates,
    Message,
    RowValues,
    SentLabels,
    SmashedData,
    to_array,
)
from fedbert.receiving import NAMES, SHAPE, TYPE, VALUES, RefusedError
from fedbert.split import SplitBert
from privacy.dp_sgd.mechanism import DPSGD

Shape = tuple[int, ...]
LARGEST = 1e30
"""The largest value of a message, in size: a difference of two is still a number."""


class Wrong(NamedTuple):
    """What is wrong with a message: the reason, as records name it, and in words."""

    why: str
    told: str


class Arrivals:
    """Refuses a message that is not as the protocol has it, naming client, message and round."""

    def __init__(
        self,
        width: int,
        parameters: Mapping[str, Shape],
        most: float = 1.0,
        kind: np.dtype | None = None,
    ) -> None:
        """Expect smashed data of a width, and updates of these parameters by name.

        most: what no clip factor may exceed. kind: of an update's values; None: any floats.
        """
        self.width, self.parameters, self.most = width, dict(parameters), most
        self.kind = kind
        self.smashed: dict[int, Shape] = {}  # of each client's running step

    def __call__(self, message: Message) -> None:
        """Take note of a message.

        Raises:
            RefusedError: for other names, shapes or types, or a value that is no number to use.
        """
        wrong = self._wrong(message)
        if wrong is not None:
            raise RefusedError(wrong.why, f"{where(message)}: {wrong.told}")

    def _wrong(self, message: Message) -> Wrong | None:
        """Return what is wrong with a message; None if nothing."""
        if isinstance(message, ClientParts):  # what the round before ended with, checked there
            return None
        if isinstance(message, ClientUpdate):
            return self._update(message)
        if isinstance(message, SentLabels):
            return _shaped(message.labels, self.smashed.get(message.client, ())[:1])
        values = _values(message)
        if isinstance(message, SmashedData):
            expected = (*message.attention_mask.shape, self.width)
            if len(expected) == 3:
                self.smashed[message.client] = expected
        else:
            expected = self.smashed.get(message.client, ())
        if isinstance(message, ExampleNorms | ClipFactors):
            expected = expected[:1]
        reason = _shaped(values, expected) or _usable(values)
        if isinstance(message, ClipFactors) and reason is None and len(values):
            fine = float(values.min()) >= 0 and float(values.max()) <= self.most
            told = f"expected factors from 0 to {self.most:g}, got others"
            return None if fine else Wrong(VALUES, told)
        return reason

    def _update(self, message: ClientUpdate) -> Wrong | None:
        names = set(self.parameters)
        if set(message.tensors) != names:
            odd = sorted(set(message.tensors) ^ names)
            told = f"expected {len(names)} parameters, got others: {', '.join(odd[:3])}"
            return Wrong(NAMES, told)
        for name, value in message.tensors.items():
            rows = isinstance(value, RowValues)
            whole = value.base if isinstance(value, RowValues) else value
            values = value.values if isinstance(value, RowValues) else value
            reason = _shaped(whole, self.parameters[name])
            if isinstance(value, RowValues):
                part = (len(value.rows), *self.parameters[name][1:])
                reason = reason or _shaped(values, part)
            reason = reason or _usable(values, self.kind)
            if reason is not None:
                return Wrong(reason.why, f"{name}{' (rows)' if rows else ''}: {reason.told}")
        for name, moment in message.moments.items():
            reason = self._moment(name, moment)
            if reason is not None:
                return Wrong(reason.why, f"{name}: {reason.told}")
        return None

    def _moment(self, name: str, moment: Array) -> Wrong | None:
        """Return what is wrong with a moment that is handed on."""
        parameter, _, which = name.rpartition("/")
        if parameter not in self.parameters:
            return Wrong(NAMES, "expected a moment of a parameter")
        expected = () if which == "step" else self.parameters[parameter]
        return _shaped(moment, expected) or _usable(moment)


def arrivals(split: SplitBert, config: Config, private: DPSGD | None = None) -> Arrivals:
    """Return the check of a training's messages; private: what clips its gradients."""
    with_body = config.training.strategy in ("centralised", "fedavg")
    frozen = config.model.freeze_embeddings
    bottom = {id(p) for p in split.bottom.parameters()} if frozen else set()
    named = {n: p for n, p in split.client_names.items() if id(p) not in bottom}
    named |= split.body_names if with_body else {}
    shapes = {name: tuple(parameter.shape) for name, parameter in named.items()}
    most = 1.0 if private is None else private.largest_factor
    kinds = {to_array(parameter[:0]).dtype for parameter in named.values()}
    kind = kinds.pop() if len(kinds) == 1 else None
    return Arrivals(split.whole.config.hidden_size, shapes, most, kind)


def where(message: Message) -> str:
    """Return who sent what to whom, and when: rounds count from 1."""
    kind = KINDS[type(message)].replace("_", " ")
    return f"round {message.round + 1}, client {message.client}, message {kind!r}"


def misshaped(values: Array, expected: Sequence[int]) -> str | None:
    """Return that values have another shape than expected; None if they have it."""
    if values.shape == tuple(expected):
        return None
    return f"expected shape {_shape(expected)}, got {_shape(values.shape)}"


def infinite(values: Array) -> str | None:
    """Return that values are NaN or infinite; None if none is. How many is told nobody.

    >>> infinite(np.array([1.0, np.nan, np.inf]))
    'expected finite values, got some that are NaN or infinite'
    """
    if not np.issubdtype(values.dtype, np.floating):
        return f"expected floating-point values, got {values.dtype}"
    with np.errstate(all="ignore"):
        if np.isfinite(np.vdot(values, values)):  # one pass, without a mask
            return None
    told = "expected finite values, got some that are NaN or infinite"
    return None if np.isfinite(values).all() else told


def _shaped(values: Array, expected: Sequence[int]) -> Wrong | None:
    """Return that values have another shape than expected; None if they have it."""
    told = misshaped(values, expected)
    return None if told is None else Wrong(SHAPE, told)


def _usable(values: Array, kind: np.dtype | None = None) -> Wrong | None:
    """Return that values are of another type than expected, or no numbers to compute with."""
    if not np.issubdtype(values.dtype, np.floating) or (kind and values.dtype != kind):
        expected = f"{kind} values" if kind else "floating-point values"
        return Wrong(TYPE, f"expected {expected}, got {values.dtype}")
    with np.errstate(all="ignore"):
        if float(np.vdot(values, values)) <= LARGEST**2:  # one pass, without a mask
            return None
    told = infinite(values)
    if told is None and float(np.abs(values).max()) > LARGEST:
        told = f"expected values up to {LARGEST:g} in size, got larger ones"
    return None if told is None else Wrong(VALUES, told)


def refuse_diverged(round_: int, losses: Iterable[float], values: Mapping[str, Array]) -> None:
    """Raise InputError if after a round something of a training is no longer finite."""
    if not np.isfinite(list(losses)).all():
        told = "expected finite losses, got some that are NaN or infinite"
        raise InputError(f"round {round_}: the training diverged: {told}")
    for name, value in values.items():
        if np.issubdtype(value.dtype, np.floating) and (reason := infinite(value)) is not None:
            raise InputError(f"round {round_}: the training diverged: {name}: {reason}")


def _values(message: Any) -> Array:
    """Return the array of a message of a step."""
    if isinstance(message, SmashedData):
        return message.activations
    if isinstance(message, HiddenStates):
        return message.hidden
    if isinstance(message, ExampleNorms):
        return message.squared_norms
    found: Array = message.factors if isinstance(message, ClipFactors) else message.gradient
    return found


def _shape(shape: Sequence[int]) -> str:
    return f"[{', '.join(map(str, shape))}]"
