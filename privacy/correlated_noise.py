"""Noise correlated over rounds, drawn round by round; what is past of it is a secret."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from privacy.banded_factorisation import column_norms, round_variances
from privacy.dp_ftrl import DPFTRL
from privacy.randomness.draws import Draws


@dataclass(frozen=True)
class RoundNoise:
    """The noise on the sum of one round: `scale` times `values` [value], float64, not rounded.

    std: its standard deviation on each value.
    """

    values: Tensor
    scale: float
    std: float

    def part(self, start: int, stop: int) -> Tensor:
        """The noise on some of the values, [stop - start]."""
        return self.values[start:stop] * self.scale


class CorrelatedNoise:
    """C^-1 Z of `DPFTRL`, a row for each round, from the last rows and a fresh Z.

    It holds as many rows as there are bands, but for one. Whoever has them can take the noise off
    the models that were sent, so that they are kept nowhere: no snapshot, no checkpoint.
    A training that goes on in another process draws all of them again (`replay`), where the key of
    its noise can be made again; else it goes on without them (`begin`): C then falls into two
    blocks, whose columns are no longer than before and as far apart, so that each block is a
    mechanism of its own, and a client's rounds in both are counted.
    """

    def __init__(self, mechanism: DPFTRL, values: int) -> None:
        """Start before the first round, for sums of so many values."""
        self._mechanism, self._size = mechanism, values
        self._past: deque[Tensor] = deque(maxlen=mechanism.bands - 1)  # the last round's first
        self._norms = column_norms(mechanism.coefficients, mechanism.rounds)
        self.begin(0)

    def begin(self, round_: int) -> None:
        """Go on before a round without the noise of earlier ones."""
        self._past.clear()
        self.round = round_
        own, rounds = self._mechanism.coefficients, self._mechanism.rounds
        self._variances = round_variances(own, rounds, round_)

    def replay(self, round_: int, draws: Callable[[int], Draws]) -> None:
        """Go on before a round as if all rounds before it had been noised here.

        draws: those of each of these rounds, as they were then.
        """
        self.begin(0)
        if self._mechanism.bands == 1:
            self.begin(round_)
        while self.round < round_:
            self.of(self.round, draws(self.round))

    def of(self, round_: int, draws: Draws) -> RoundNoise:
        """The noise of a round, of draws that nothing else has drawn from.

        Raises:
            ValueError: it is not the round that comes next, or beyond the last one.
        """
        last = self._mechanism.rounds - 1
        if round_ != self.round or round_ > last:
            told = f"round {self.round} next, of 0 to {last}"
            raise ValueError(f"expected noise of {told}, got round={round_}")
        first, *others = self._mechanism.coefficients
        fresh = draws.gaussian((self._size,))
        for weight, row in zip(others, self._past, strict=False):  # fewer in the first rounds
            fresh.add_(row, alpha=-weight)
        fresh.div_(first)
        self._past.appendleft(fresh)
        self.round += 1
        std = self._mechanism.noise_std
        scale = std * float(self._norms[round_])
        return RoundNoise(fresh, scale, std * float(self._variances[round_]) ** 0.5)
