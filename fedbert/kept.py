"""Kept A: what a frozen E made of a client's examples, and a store of it over several trainings."""

import hashlib
import os
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from fedbert.data.batches import Encoded

STORE_BYTES = 5 * 10**8
"""The least that a process keeps from training to training, beside what the one at work holds."""


def store_bytes() -> int:
    """Return how much a process keeps from training to training: an eighth of the memory."""
    try:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # a system that does not say
        return STORE_BYTES
    return max(STORE_BYTES, memory // 8)


def wide(a: Tensor) -> Tensor:
    """Return values that bf16 holds as float32: noise is not rounded to so few bits."""
    return a.float() if a.dtype == torch.bfloat16 else a


@dataclass(frozen=True)
class Kept:
    """What E made of a client's examples, without padding.

    rows [row + 1, hidden]: those of example i from first[i] on, a row of zeros last. lengths
    [example]: how many each has.
    """

    rows: Tensor
    first: Tensor
    lengths: Tensor

    def of(self, index: Tensor, width: int) -> Tensor:
        """Return the rows of some examples [batch, width, hidden], zeros behind them."""
        at, _ = self.places(index, width)
        return wide(self.rows.index_select(0, at.flatten()).unflatten(0, at.shape))

    def places(self, index: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """Return which rows are those of some examples [batch, width], and which are real."""
        lengths, first = self.lengths[index], self.first[index]
        place = torch.arange(width, device=self.rows.device)
        real = place < lengths[:, None]
        return torch.where(real, first[:, None] + place, len(self.rows) - 1), real


@dataclass
class KeptStore:
    """Kept A of the trainings of one process: cells that differ in the defence alone share it.

    It goes by content: the values of E, the examples, and how they were computed. So what is found
    has the bytes that computing it again would have. What was not asked for longest goes first, so
    that all takes at most so many bytes (`most`).
    """

    most: int
    _held: OrderedDict[bytes, Kept] = field(default_factory=OrderedDict)

    def get(self, key: bytes, make: Callable[[], Kept]) -> Kept:
        """Return what is held under a key, or make it and hold it while there is room."""
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        found = make()
        if found.rows.nbytes <= self.most:
            self._held[key] = found
        while sum(each.rows.nbytes for each in self._held.values()) > self.most:
            self._held.popitem(last=False)
        return found

    def clear(self) -> None:
        """Hold nothing."""
        self._held.clear()


def digest_of(parameters: Iterable[Tensor], how: object) -> bytes:
    """Return a digest of the values of E and of how it is used."""
    found = hashlib.sha256(repr(how).encode())
    for value in parameters:
        found.update(repr((value.dtype, tuple(value.shape))).encode())
        found.update(value.detach().cpu().contiguous().numpy().tobytes())
    return found.digest()


def key_of(encoder: bytes, encoded: Encoded) -> bytes:
    """Return the key of some examples under an encoder of this digest."""
    found = hashlib.sha256(encoder)
    for part in (encoded.tokens, encoded.token_types, encoded.offsets):
        found.update(np.ascontiguousarray(part).tobytes())
    return found.digest()
