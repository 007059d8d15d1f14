"""Draws from one stream: Gaussian, Laplace, Gamma, directions, coins, integers, orders."""

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from privacy.checks import positive, whole
from privacy.randomness.key_stream import CHUNK, Words
from privacy.randomness.transforms import Floats, gaussian_into, laplace_into, words

Shape = tuple[int, ...]
Fill = Callable[[Floats, float, Words, NDArray[np.uint64]], None]


class Draws:
    """Independent draws, each from words that no other draw has seen; for one thread at a time.

    Noise comes as float64 tensors on the CPU, coins and orders as numpy arrays.
    """

    __slots__ = ("_room", "_source")

    def __init__(self, source: Words) -> None:
        """Draw from a stream of words, which nothing else may read."""
        self._source = source
        self._room = np.empty(0, dtype=np.uint64)

    def gaussian(self, shape: Shape, std: float = 1.0) -> Tensor:
        """Return Gaussian values; at most `tails.largest("gaussian")` standard deviations."""
        return self._filled(shape, self.gaussian_into, std)

    def laplace(self, shape: Shape, scale: float = 1.0) -> Tensor:
        """Return Laplace values of this mean absolute value."""
        return self._filled(shape, self.laplace_into, scale)

    def gaussian_into(self, out: Floats, std: float) -> None:
        """Overwrite a contiguous float64 vector with Gaussian values."""
        positive("std", std)
        self._fill(out, std, gaussian_into)

    def laplace_into(self, out: Floats, scale: float) -> None:
        """Overwrite a contiguous float64 vector with Laplace values."""
        positive("scale", scale)
        self._fill(out, scale, laplace_into)

    def _filled(self, shape: Shape, fill: Callable[[Floats, float], None], scale: float) -> Tensor:
        found = torch.empty(shape, dtype=torch.float64, device="cpu")
        fill(found.view(-1).numpy(), scale)
        return found

    def _fill(self, out: Floats, scale: float, fill: Fill) -> None:
        if self._room.size < min(CHUNK, out.size):
            self._room = np.empty(min(CHUNK, out.size), dtype=np.uint64)
        for start in range(0, out.size, CHUNK):
            part = out[start : start + CHUNK]
            fill(part, scale, self._source, self._room[: part.size])

    def gamma(self, shape: Shape, alpha: float, rate: float = 1.0) -> Tensor:
        """Return Gamma values of shape parameter `alpha` >= 1 and mean alpha / rate.

        Reference: Marsaglia and Tsang (2000), "A simple method for generating gamma variables".
        """
        positive("alpha", alpha)
        positive("rate", rate)
        if alpha < 1:
            raise ValueError(f"expected alpha >= 1, got alpha={alpha}")
        third = alpha - 1.0 / 3.0
        found = np.empty(math.prod(shape))
        pending = np.arange(found.size)
        while pending.size:
            normal = self.gaussian(pending.shape).numpy()
            roots = 1.0 + normal / math.sqrt(9.0 * third)
            cubes = roots * roots * roots
            inside = cubes > 0
            safe = np.where(inside, cubes, 1.0)
            height = normal**2 / 2 + third * (1.0 - safe + np.log(safe))
            kept = inside & (self._log_uniform(pending.size) < height)
            found[pending[kept]] = third * cubes[kept]
            pending = pending[~kept]
        return torch.from_numpy(found / rate).view(shape)

    def _log_uniform(self, count: int) -> Floats:
        """Return -|Laplace|: the logarithm of a uniform number."""
        return -self.laplace((count,)).abs_().numpy()

    def sphere(self, rows: int, values: int) -> Tensor:
        """Return directions `[row, value]`, each uniform on the unit sphere."""
        normal = self.gaussian((rows, values))
        return normal.div_(torch.linalg.vector_norm(normal, dim=1, keepdim=True))

    def uniform(self, shape: Shape) -> Floats:
        """Return numbers in [0, 1) on a grid of 2**-53."""
        return (self._words(shape) >> np.uint64(11)).astype(np.float64) * 2.0**-53

    def bernoulli(self, probability: float, shape: Shape) -> NDArray[np.bool_]:
        """Return coins, each true with exactly this probability (a float64 taken at its word).

        Raises:
            ValueError: a probability that is not within [0, 1].
        """
        if not 0 <= probability <= 1:
            raise ValueError(f"expected 0 <= probability <= 1, got probability={probability}")
        if probability in (0, 1):
            return np.full(shape, bool(probability))
        scaled = Fraction(probability) * 2**64
        least = np.uint64(math.floor(scaled))
        found = self._words(shape)
        coins: NDArray[np.bool_] = np.asarray(found < least)
        ties = np.asarray(found == least)
        rest = float(scaled - math.floor(scaled))
        if rest and ties.any():  # once in 2**64: the digits beyond the first 64 decide
            coins[ties] = self.bernoulli(rest, (int(ties.sum()),))
        return coins

    def integers(self, below: int, shape: Shape) -> NDArray[np.int64]:
        """Return integers 0 .. below - 1, each as likely as the next: words too large are redrawn.

        Raises:
            ValueError: `below` is no integer from 1 to 2**63.
        """
        whole("below", below)
        if not 1 <= below <= 2**63:
            raise ValueError(f"expected 1 <= below <= 2**63, got below={below}")
        last = np.uint64(2**64 - 2**64 % below - 1)  # below divides last + 1
        found = self._words(shape)
        while (over := found > last).any():
            found[over] = words(self._source, int(over.sum()))
        return (found % np.uint64(below)).astype(np.int64)

    def permutation(self, count: int) -> NDArray[np.int64]:
        """Return 0 .. count - 1 in an order, each order as likely as the next.

        It is the order of as many different words; where two are the same, all are drawn again.
        """
        whole("count", count)
        while True:
            keys = words(self._source, count)
            order = np.argsort(keys, kind="stable")
            if not (np.diff(keys[order]) == 0).any():
                return order.astype(np.int64)

    def choice(self, count: int, chosen: int) -> NDArray[np.int64]:
        """Return `chosen` different ones of 0 .. count - 1, in random order.

        Raises:
            ValueError: more are to be chosen than there are.
        """
        whole("chosen", chosen)
        if chosen > count:
            raise ValueError(f"expected chosen <= {count}, got chosen={chosen}")
        return self.permutation(count)[:chosen]

    def _words(self, shape: Shape) -> NDArray[np.uint64]:
        return words(self._source, math.prod(shape)).reshape(shape)
