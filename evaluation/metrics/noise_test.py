"""Running test of the noise itself: large enough, on every value, drawn afresh; any-time valid."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from evaluation.metrics.change_bets import SharedBets
from evaluation.metrics.noise_e_values import (
    BARE,
    SIZES,
    alike,
    bare_limit,
    too_small,
    without_noise,
)

SKETCH = 256
"""The first so many values of a parameter are held against those of earlier releases."""
PAST = 32
"""So many releases back; with several parties, theirs are counted too."""
ALL = "all values"
KINDS = {
    "size": "noise smaller than claimed",
    "bare": "values without noise",
    "rounds": "noise used before, in an earlier release",
    "tensors": "noise used before, in another parameter of the same release",
}


@dataclass(frozen=True)
class NoisePart:
    """The noise on one parameter in one release, in standard deviations of the claim.

    squares, sized: the sum of squares of so many values that are independent of the past. hits,
    counted: values within `limit` of zero, of how many. sketch [value]: the first values, or
    none where they are not known.
    """

    squares: float
    sized: int
    hits: int
    counted: int
    limit: float
    sketch: np.ndarray

    @classmethod
    def of(cls, noise: np.ndarray, rounding: float) -> "NoisePart":
        """Return what is read of noise [value], each value of which is independent of the past."""
        limit = bare_limit(noise.size, rounding)
        hits = int((np.abs(noise) <= limit).sum())
        squares = float(noise @ noise)
        return cls(squares, noise.size, hits, noise.size, limit, noise[:SKETCH].copy())


class NoiseTest:
    """Wealth against the claim that a training's noise is as it should be.

    Four kinds of bets share it: on the size, on values without noise, on noise that was used before
    in time, or in another parameter; each on every parameter and on all together, and each from
    any release on.

    Guarantee: as `ChangeBets`: sound noise, or larger one, reaches 1 / alpha with a probability of
    at most alpha over all releases together. Noise that is used again after more than `PAST`
    releases, beyond the first values of a parameter alone, or shifted, is not looked for.
    """

    def __init__(self, names: Sequence[str]) -> None:
        """Begin; names: of all parameters that may be noised."""
        self.names = tuple(names)
        own = len(self.names)
        self._pairs = np.triu_indices(own, 1)
        sizes = {
            "size": (own + 1) * len(SIZES),
            "bare": (own + 1) * (1 + len(BARE)),
            "rounds": (own + 1) * PAST,
            "tensors": max(1, len(self._pairs[0])),
        }
        self.shared = SharedBets(sizes)
        self.bets = self.shared.bets
        self._past = {name: deque[np.ndarray](maxlen=PAST) for name in self.names}

    @property
    def log_wealth(self) -> float:
        """The logarithm of the wealth now."""
        return self.shared.log_wealth

    @property
    def highest(self) -> float:
        """The logarithm of the highest wealth so far."""
        return self.shared.highest

    @property
    def releases(self) -> int:
        """How many releases were looked at."""
        return self.bets["size"].steps

    def update(self, parts: Mapping[str, NoisePart]) -> None:
        """Bet on one release, by parameter; one that is not in it is not bet on."""
        there = [name for name in self.names if name in parts]
        at = np.array([self.names.index(name) for name in there], dtype=np.int64)
        own = [parts[name] for name in there]
        self.shared.update(
            {
                "size": self._sizes(own, at),
                "bare": self._bare(own, at),
                "rounds": self._rounds(parts),
                "tensors": self._tensors(parts),
            }
        )
        for name in there:
            if len(parts[name].sketch):
                self._past[name].append(parts[name].sketch)

    def rejected(self, alpha: float) -> bool:
        """Whether the wealth ever reached 1 / alpha."""
        return self.shared.rejected(alpha)

    def fault(self) -> str:
        """Return what the wealth speaks of most, in words."""
        kind = self.shared.best()
        best = int(np.argmax(self.bets[kind].log_each))
        if kind == "tensors":
            pair = [self.names[int(side[best])] for side in self._pairs]
            return f"{KINDS[kind]} ({' and '.join(pair)})"
        place = best // (len(self.bets[kind].begun) // (len(self.names) + 1))
        return f"{KINDS[kind]} ({[*self.names, ALL][place]})"

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """Return all wealth, as arrays and numbers; of the noise itself nothing."""
        return self.shared.arrays(), {"releases": self.releases, "highest": self.highest}

    def restore(self, arrays: Mapping[str, np.ndarray], values: Mapping[str, float]) -> None:
        """Set what `state` returned; earlier noise is not known any more."""
        steps = dict.fromkeys(self.bets, int(values["releases"]))
        self.shared.restore(arrays, steps, values["highest"])

    def _sizes(self, own: Sequence[NoisePart], at: np.ndarray) -> np.ndarray:
        squares, counts = (np.zeros(len(self.names) + 1) for _ in range(2))
        squares[at] = [each.squares for each in own]
        counts[at] = [each.sized for each in own]
        squares[-1], counts[-1] = squares.sum(), counts.sum()
        return too_small(squares, counts).ravel()

    def _bare(self, own: Sequence[NoisePart], at: np.ndarray) -> np.ndarray:
        log_e = np.zeros((len(self.names) + 1, 1 + len(BARE)))
        if own:
            hits, counts, limits = (
                np.array([getattr(each, name) for each in own], dtype=np.float64)
                for name in ("hits", "counted", "limit")
            )
            log_e[at] = without_noise(hits, counts, limits)
            log_e[-1] = log_e[at].sum(axis=0)  # independent: their product
        return log_e.ravel()

    def _rounds(self, parts: Mapping[str, NoisePart]) -> np.ndarray:
        log_e = np.zeros((len(self.names) + 1, PAST))
        for row, name in enumerate(self.names):
            new = parts[name].sketch if name in parts else np.zeros(0)
            if not len(new) or not self._past[name]:
                continue
            old = np.stack(self._past[name])[::-1]  # [release back, value]
            counts = np.full(len(old), len(new))
            found = alike(old @ new, np.full(len(old), new @ new), (old**2).sum(axis=1), counts)
            log_e[row, : len(old)] = found
        log_e[-1] = log_e[:-1].sum(axis=0)  # independent: their product
        return log_e.ravel()

    def _tensors(self, parts: Mapping[str, NoisePart]) -> np.ndarray:
        if len(self.names) < 2:
            return np.zeros(1)
        rows, there = (np.zeros((len(self.names), SKETCH)) for _ in range(2))
        for row, name in enumerate(self.names):
            if name in parts:
                sketch = parts[name].sketch
                rows[row, : len(sketch)], there[row, : len(sketch)] = sketch, 1.0
        long = np.square(rows) @ there.T  # [parameter, other]: as far as the other goes
        return alike(
            *(each[self._pairs] for each in (rows @ rows.T, long, long.T, there @ there.T))
        )
