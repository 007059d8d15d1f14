"""Running test of what releases show of canaries whose coins are known: is there as much noise?

A release is a sum under Gaussian noise. Canary j lies along a direction of its own, at right angles
to all others'. Its reading x_j is the release along that direction, in standard deviations of the
noise claimed, and k_j what the canary itself added, by its coin. Under the claim

    x - k  =  a + v Z,    Z standard normal [canary],    v >= 1,

and Z is independent of all that is past, of every coin, and of a. Nothing is asked of a: real
clients may move along the same directions, a sum may be clipped again, a canary may be clipped to
less or more, all coins may have a say in every value. For any point y that the past fixes

    E[ s^-n exp(-|x - k - y|^2 (s^-2 - 1) / 2) ]  =  exp(-|a - y|^2 (1 - s^2) / 2)  <=  1

at v = 1 for every share s < 1: the moment generating function of a noncentral chi-squared
variable of n degrees; for larger v it is less. So that is an e-value for each s and y. With y = 0
it grows where noise is smaller than claimed; with y = what was left of an earlier release, or minus
that, where its noise comes again. Whatever else moves along the directions costs power alone.

It needs no secret coin, and it rests on the noise that a claim names: a mechanism with the same
trade-off curve and another noise may fail it. What needs neither is `canary_guesses`.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from evaluation.metrics.change_bets import SharedBets
from evaluation.metrics.noise_e_values import SIZES, too_small

PAST = 32
"""So many releases of a party back."""
SIGNS = (1.0, -1.0)
NEAR, AGAIN = "near", "again"


@dataclass(frozen=True)
class Readings:
    """What one release shows of canaries, in standard deviations of the noise claimed.

    party: whose release; its canaries are the same ones in all of them. values [canary]: NaN where
    there is no reading. seen [canary]: the same by releases alone, where values were made with
    earlier coins. known [canary]: what each added, by its coin. coins [canary] bool: as they fell;
    fresh [canary] bool: for this release alone.
    """

    party: str
    values: np.ndarray
    seen: np.ndarray
    known: np.ndarray
    coins: np.ndarray
    fresh: np.ndarray


class ReadingsTest:
    """Wealth against the claim that noise of its size, drawn afresh, lies on canaries' readings.

    Guarantee: as `SharedBets`, over all releases and canaries together, if directions are
    orthonormal and the release has the claimed noise or larger one, independent of the past. Noise
    that is used again after more than `PAST` releases of a party is not looked for.
    """

    def __init__(self) -> None:
        """Begin with a wealth of 1 and nothing in the past."""
        self.shared = SharedBets({NEAR: len(SIZES), AGAIN: PAST * len(SIGNS) * len(SIZES)})
        self._past: dict[str, deque[np.ndarray]] = {}

    def update(self, readings: Readings) -> None:
        """Bet on one release."""
        left = readings.values - readings.known
        past = self._past.setdefault(readings.party, deque(maxlen=PAST))
        again = np.zeros((PAST, len(SIGNS), len(SIZES)))
        if past:
            earlier = np.stack(past)[:, None] * np.array(SIGNS)[:, None]  # [back, sign, canary]
            again[: len(past)] = _nearer(left - earlier)
        self.shared.update({NEAR: _nearer(left), AGAIN: again.ravel()})
        past.appendleft(left)

    def fault(self) -> str:
        """Return what the wealth speaks of most, in words."""
        kind = self.shared.best()
        best = int(np.argmax(self.shared.bets[kind].log_each))
        if kind == NEAR:
            told = "readings lie nearer to their coins than the noise claimed allows"
            return f"{told}, as under {SIZES[best]:g} of it"
        back = best // (len(SIGNS) * len(SIZES)) + 1
        return f"readings repeat those of {back} {'release' if back == 1 else 'releases'} before"

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """Return all wealth, none before the first bet, and numbers; of readings nothing."""
        steps = self.shared.bets[NEAR].steps
        numbers = {"steps": steps, "highest": self.shared.highest}
        return self.shared.arrays() if steps else {}, numbers

    def restore(self, arrays: Mapping[str, np.ndarray], values: Mapping[str, float]) -> None:
        """Set what `state` returned; earlier readings are not known any more."""
        if not values["steps"]:
            return
        steps = dict.fromkeys(self.shared.bets, int(values["steps"]))
        self.shared.restore(arrays, steps, values["highest"])


def _nearer(left: np.ndarray) -> np.ndarray:
    """Return bets [..., share] that what is left [..., canary] is smaller than claimed."""
    rows = left.reshape(-1, left.shape[-1])
    found = too_small(np.nansum(rows**2, axis=1), np.isfinite(rows).sum(axis=1))
    return found.reshape(*left.shape[:-1], len(SIZES))
