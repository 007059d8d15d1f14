"""Random words turned into Gaussian and Laplace values in float64, with tails of their own.

Each value is the inverse of its distribution function at one word. A word that falls beyond the
edge, where a 64-bit word is too coarse, stands for the whole tail: further words say where in it.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri_exp

from privacy.randomness.key_stream import Words
from privacy.randomness.tails import DIGITS, STAGES, TAIL_LOG

Floats = NDArray[np.float64]

GAUSSIAN_EDGE = 1.0 - 2.0**-9  # of |2 p - 1|: 2**-9 of all values lie beyond
LAPLACE_EDGE = 2.0**-10  # of the survival function
_SQRT2 = math.sqrt(2.0)


def words(source: Words, count: int) -> NDArray[np.uint64]:
    """Return so many random words."""
    found = np.empty(count, dtype=np.uint64)
    source.fill(found)
    return found


def log_uniform(source: Words, count: int) -> Floats:
    """Return logarithms of uniform numbers in (0, 1), as exact where they are tiny as elsewhere.

    The exponent is the number of zeros before the first one in a row of coin flips; the digits
    come from a word of their own.
    """
    zeros, pending = np.zeros(count), np.arange(count)
    for _ in range(STAGES):
        flips = words(source, len(pending)) >> np.uint64(64 - DIGITS)
        zeros[pending] += DIGITS - np.frexp(flips.astype(np.float64))[1]
        pending = pending[flips == 0]
        if not len(pending):
            break
    mantissa = (words(source, count) >> np.uint64(12)) * 2.0**-DIGITS + 0.5  # [0.5, 1)
    logs: Floats = np.log(mantissa) - zeros * math.log(2.0)
    return logs


def gaussian_into(out: Floats, scale: float, source: Words, room: NDArray[np.uint64]) -> None:
    """Overwrite `out` with Gaussian values of standard deviation `scale`; room: as many words."""
    source.fill(room)
    np.multiply(room.view(np.int64), 2.0**-63, out=out)  # uniform in [-1, 1]
    beyond = np.flatnonzero(np.abs(out, out=room.view(np.float64)) > GAUSSIAN_EDGE)
    signs = out[beyond]
    values = torch.from_numpy(out)
    torch.erfinv(values, out=values)
    np.multiply(out, _SQRT2 * scale, out=out)
    if len(beyond):
        tail = -ndtri_exp(log_uniform(source, len(beyond)) + TAIL_LOG) * scale
        out[beyond] = np.copysign(tail, signs)


def laplace_into(out: Floats, scale: float, source: Words, room: NDArray[np.uint64]) -> None:
    """Overwrite `out` with Laplace values of this scale (mean absolute value); room: words."""
    source.fill(room)
    np.multiply(room.view(np.int64), 2.0**-63, out=out)  # uniform in [-1, 1], its sign the value's
    size = np.abs(out, out=room.view(np.float64))  # survival of the absolute value
    beyond = np.flatnonzero(size < LAPLACE_EDGE)
    size[beyond] = 1.0
    values = torch.from_numpy(size)
    torch.log(values, out=values)
    if len(beyond):
        size[beyond] = log_uniform(source, len(beyond)) + TAIL_LOG
    np.multiply(size, -scale, out=size)
    np.copysign(size, out, out=out)
