"""Directions of canary clients, at right angles to each other: each on values of its own.

Every value that is trained belongs to one canary, by chance, with a sign by chance; a canary's
direction is its signs over their length, and zero elsewhere. All are read in one pass.
"""

import math
from collections.abc import Mapping

import numpy as np
import torch

from fedbert.errors import expect
from fedbert.messages import Array
from fedbert.seeding import generator

ROOM = 20
"""A canary needs so many values: with fewer, one might have got none."""
MOST = 2**14
"""Twice the number of a canary has to fit into 16 bits."""


def check_room(count: int, values: int) -> None:
    """Raise InputError for more canaries than so many values have room for."""
    most = values // ROOM
    told = f"at most {most} canary clients, {ROOM} trained values each"
    expect(count <= most, told, "canaries", count)
    expect(count <= MOST, f"at most {MOST} canary clients in all", "canaries", count)


class Directions:
    """Unit directions of so many canaries over named parameters; the same every time for a seed.

    own, by name [value] int16: twice the number of the canary, and one more for a minus.
    """

    def __init__(self, seed: int, count: int, sizes: Mapping[str, int]) -> None:
        """Deal the values out; sizes: how many each parameter has.

        Raises:
            InputError: for more canaries than there is room for.
        """
        check_room(count, sum(sizes.values()))
        self.count, self.own = count, dict[str, np.ndarray]()
        self.sizes = {name: np.zeros(count) for name in sizes}  # values of each canary, by name
        for name, size in sizes.items():
            drawn = generator(seed, "canary clients", name)
            own = torch.randint(2 * count, (size,), generator=drawn, dtype=torch.int16).numpy()
            self.own[name] = own
            self.sizes[name] += np.bincount(own >> 1, minlength=count)
        self.total = np.maximum(sum(self.sizes.values()), 1.0)

    def part(self, number: int, name: str) -> Array:
        """Return a canary's direction on one parameter [value] float32."""
        own = self.own[name]
        length = math.sqrt(self.total[number])
        found = (own == 2 * number).astype(np.float32) - (own == 2 * number + 1)
        return np.asarray(found / np.float32(length))

    def sums(self, name: str, values: Array) -> np.ndarray:
        """Return the scalar products of one parameter [value] with all directions [canary]."""
        own = self.own[name]
        signed = np.where(own & 1, -values.ravel(), values.ravel())
        return np.bincount(own >> 1, signed, self.count) / np.sqrt(self.total)
