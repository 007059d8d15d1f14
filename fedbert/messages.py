"""Messages that cross between the parties: frozen records, one channel, and its listeners."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast

import numpy as np
import torch
from torch import Tensor

Array = np.ndarray


@dataclass(frozen=True)
class RowValues:
    """A dense array [row, column] of which a simulation stores only the rows that a client touched.

    Row r is values[i] where rows[i] = r, and factor * base[r] elsewhere (weight decay alone). The
    modelled adversary sees the dense array: `dense` makes it, and bytes are counted as dense.
    """

    rows: Array  # [touched]
    values: Array  # [touched, column]
    base: Array  # [row, column]
    factor: float

    @property
    def nbytes(self) -> int:
        """Return the bytes of the dense array."""
        return self.base.nbytes

    def dense(self) -> Array:
        """Return the array itself [row, column], read-only."""
        full: Array = self.base * self.base.dtype.type(self.factor)
        full[self.rows] = self.values
        full.flags.writeable = False
        return full


def dense(value: Array | RowValues) -> Array:
    """Return the dense array that a value stands for."""
    return value.dense() if isinstance(value, RowValues) else value


@dataclass(frozen=True)
class SmashedData:
    """Client to server: A = E(x). `step` is the client's own running step number."""

    client: int
    round: int
    step: int
    activations: Array  # [batch, seq, hidden]
    attention_mask: Array  # [batch, seq]


@dataclass(frozen=True)
class SentLabels:
    """Client to server, by strategy one_message: the label of each record that was sent."""

    client: int
    round: int
    labels: Array  # [record] int64 classes or float32 scores


@dataclass(frozen=True)
class HiddenStates:
    """Server to client: Z = T(A)."""

    client: int
    round: int
    step: int
    hidden: Array  # [batch, seq, hidden]


@dataclass(frozen=True)
class HiddenGradient:
    """Client to server: G_Z = dL/dZ."""

    client: int
    round: int
    step: int
    gradient: Array  # [batch, seq, hidden]


@dataclass(frozen=True)
class SmashedGradient:
    """Server to client: G_A = dL/dA."""

    client: int
    round: int
    step: int
    gradient: Array  # [batch, seq, hidden]


@dataclass(frozen=True)
class ExampleNorms:
    """Server to client, under DP-SGD: squared L2 norms of each example's gradient of T.

    It carries no guarantee of its own: the server could work it out from what it was sent anyway.
    """

    client: int
    round: int
    step: int
    squared_norms: Array  # [batch]


@dataclass(frozen=True)
class ClipFactors:
    """Client to server, under DP-SGD: what each example's gradient is scaled by, at most 1.

    It carries no guarantee: a factor below 1 says how large the whole gradient of that example was.
    """

    client: int
    round: int
    step: int
    factors: Array  # [batch]


@dataclass(frozen=True)
class ClientUpdate:
    """Client to aggregator: the values that the client's local steps arrived at.

    The aggregator knows where they started, so this is the client's update; sending values keeps
    a round of one client exact. `weight` is the number of examples that the client holds,
    or 1 under noise of the client's own, beside which nothing may tell of it;
    `moments` are the optimiser's, where the run hands them on.
    """

    client: int
    round: int
    weight: int
    tensors: dict[str, Array | RowValues]
    moments: dict[str, Array] = field(default_factory=dict)


@dataclass(frozen=True)
class ClientParts:
    """Aggregator (or the previous client) to client: the values to start the round from.

    `moments` are the optimiser's, where the run hands them on; else empty. `fixed` are the names of
    values that no training changes: the client has them with the model, and they do not cross.
    """

    client: int
    round: int
    tensors: dict[str, Array]
    moments: dict[str, Array] = field(default_factory=dict)
    fixed: frozenset[str] = frozenset()


Message = (
    SmashedData
    | SentLabels
    | HiddenStates
    | HiddenGradient
    | SmashedGradient
    | ExampleNorms
    | ClipFactors
    | ClientUpdate
    | ClientParts
)

M = TypeVar("M", bound=Message)

KINDS: dict[type, str] = {
    SmashedData: "smashed",
    SentLabels: "labels",
    HiddenStates: "hidden",
    HiddenGradient: "hidden_gradient",
    SmashedGradient: "smashed_gradient",
    ExampleNorms: "example_norms",
    ClipFactors: "clip_factors",
    ClientUpdate: "client_update",
    ClientParts: "client_parts",
}


def to_array(tensor: Tensor) -> Array:
    """Return a read-only copy of a tensor's values: what crosses shares no memory with a party."""
    values = tensor.detach().to("cpu")
    if values.dtype == torch.bfloat16:
        values = values.float()
    array = values.numpy().copy()
    array.flags.writeable = False
    return array


def handed(tensor: Tensor) -> Array:
    """Return a tensor that its party lets go of as a read-only array, without a copy."""
    array: Array = tensor.detach().to("cpu").numpy()
    array.flags.writeable = False
    return array


def to_tensor(array: Array, device: str = "cpu") -> Tensor:
    """Return a tensor of a message's values, in memory of its own."""
    return torch.tensor(array, device=device)


def size_in_bytes(message: Message) -> int:
    """Return the bytes of a message's arrays that cross (its payload, without any framing)."""
    fixed = message.fixed if isinstance(message, ClientParts) else frozenset()
    total = 0
    for value in vars(message).values():
        arrays = value if isinstance(value, dict) else {"": value}
        crossing = [array for name, array in arrays.items() if name not in fixed]
        total += sum(a.nbytes for a in crossing if isinstance(a, np.ndarray | RowValues))
    return total


class Listener(Protocol):
    """Something that may look at every message that crosses."""

    def hear(self, message: Message) -> None:
        """Take note of a message."""


class Guard(Protocol):
    """A mechanism at work on one kind of message."""

    def __call__(self, message: Message) -> Message:
        """Return what crosses in the message's place."""


class Channel:
    """The one place where messages cross: lets a mechanism act, counts bytes, lets others hear.

    guards: for a kind of message (a name of KINDS), what acts on it before it crosses. Smashed data
    and updates are protected by the party that makes them: gradients pass back through the clip.
    """

    def __init__(
        self,
        listeners: Iterable[Listener] = (),
        guards: Mapping[str, Guard] | None = None,
        check: Callable[[Message], None] | None = None,
    ) -> None:
        """Make a channel with its listeners and guards; check: what refuses a broken message."""
        self.listeners = tuple(listeners)
        self.check = check
        self.guards = dict(guards or {})
        self.bytes: Counter[str] = Counter()

    def send(self, message: M) -> M:
        """Return what arrives: the message, or what a guard put in its place."""
        kind = KINDS[type(message)]
        if self.check is not None:
            self.check(message)
        if kind in self.guards:
            message = cast(M, self.guards[kind](message))
        self.bytes[kind] += size_in_bytes(message)
        for listener in self.listeners:
            listener.hear(message)
        return message
