"""Running test of guesses at canaries' fresh coins: no more right than a release's claim allows.

Before a release every canary flips a new fair coin: it takes part, or not. Whoever knows all that
is past, past coins included, sees what the release and those after it are; for him the claim of one
release is a trade-off curve, of a Gaussian mechanism that of two normal ones mu apart (adaptive
composition: a curve holds for every past, and what follows a release follows from it; under
correlated noise the curve is that of all rounds for one participation). So the
coins of some releases in a row, given all before the first, are the coins of one run of a mechanism
under that curve, and so many right guesses have the probability that `one_run_gaussian.refuted`
speaks of. Nothing else is asked: directions may overlap, readings depend on each other and on all
coins, real clients move along them, a clip bind or not. Guesses may use what is released and
what is known from before the group, never a coin of its own.

A group's e-value at the level q is 1 - w + w / q where it refutes the curve at q, and 1 - w
where it does not: its mean is at most 1. Groups follow each other, so their product is a bet.

Reference: Steinke, Nasr, Jagielski (2023), "Privacy auditing with one (1) training run";
Mahloujifar, Melis, Chaudhuri (2024), "Auditing f-differential privacy in one run"; Dong, Roth, Su
(2022), "Gaussian differential privacy", theorem 3.2, for the composition.
"""

import math
from collections import deque
from collections.abc import Mapping

import numpy as np

from evaluation.metrics.canary_readings import PAST, SIGNS, Readings
from evaluation.metrics.change_bets import ChangeBets
from evaluation.metrics.one_run_gaussian import gaussian_least, refuted

GROUP = 100
"""So many coins at least are judged as one run."""
LEVELS = 10.0 ** -np.arange(1.0, 8.0)
"""At which a group may refute its curve; each is an alternative that is bet on."""
STAKE = 0.75
FEWEST = 4
"""Of fewer coins at once each is guessed by half of what a canary adds."""


class GuessTest:
    """Wealth against the claim that each release lies under the curve of two Gaussians mu apart.

    Guarantee: as `ChangeBets`, over all releases and canaries together, if the curve holds for
    every coin, given the past and all other coins.
    """

    def __init__(self, mu: float) -> None:
        """Begin with a wealth of 1."""
        self.mu, self.bets = mu, ChangeBets(len(LEVELS))
        self.right, self.count = 0, 0  # of the group at hand
        self.last = (0, 0)
        self._past: dict[str, deque[np.ndarray]] = {}  # before the group at hand
        self._own: list[tuple[str, np.ndarray]] = []

    def update(self, readings: Readings) -> None:
        """Guess the fresh coins of one release; bet once the group is large enough."""
        fresh = readings.fresh & np.isfinite(readings.seen)
        if not fresh.any():
            return
        earlier = [old[fresh] for old in self._past.get(readings.party, ())]
        guessed = guesses(readings.seen[fresh], earlier, self.mu)
        self.right += int((guessed == readings.coins[fresh]).sum())
        self.count += int(fresh.sum())
        self._own.append((readings.party, readings.values - readings.known))
        if self.count >= GROUP:
            self._bet()

    def rejected(self, alpha: float) -> bool:
        """Whether the wealth ever reached 1 / alpha."""
        return self.bets.rejected(alpha)

    def fault(self) -> str:
        """Return what the wealth speaks of, in words."""
        right, count = self.last
        told = f"{right} of the last {count} new coins guessed rightly"
        return f"{told}, more than the claim of one release allows"

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, float]]:
        """Return the wealth, none before the first bet; a group that is not full is forgotten."""
        numbers = {"steps": self.bets.steps, "highest": self.bets.highest}
        return {"guessed": self.bets.begun} if self.bets.steps else {}, numbers

    def restore(self, arrays: Mapping[str, np.ndarray], values: Mapping[str, float]) -> None:
        """Set what `state` returned."""
        if not values["steps"]:
            return
        self.bets.begun = np.array(arrays["guessed"], dtype=np.float64)
        self.bets.steps, self.bets.highest = int(values["steps"]), float(values["highest"])

    def _bet(self) -> None:
        least = gaussian_least(self.mu)
        won = [refuted(self.count, self.count, self.right, level, least) for level in LEVELS]
        payoffs = 1 - STAKE + STAKE * np.array(won) / LEVELS
        self.bets.update(np.log(payoffs))
        self.last, self.right, self.count = (self.right, self.count), 0, 0
        for party, left in self._own:
            self._past.setdefault(party, deque(maxlen=PAST)).appendleft(left)
        self._own = []


def guesses(values: np.ndarray, earlier: list[np.ndarray], mu: float) -> np.ndarray:
    """Return guesses [canary] bool at who took part, of readings alone.

    values [canary]: of this release. earlier: what was left of past ones, coins taken off. Of the
    readings and of their differences with, and sums of, each earlier one that which falls apart
    most into two is split there. Which one that is depends on no coin that is guessed.
    """
    if len(values) < FEWEST:
        return np.asarray(values >= mu / 2)
    known = [old for old in earlier if np.isfinite(old).all()]
    rows = np.stack([values, *(values - sign * old for old in known for sign in SIGNS)])
    order = np.sort(rows - rows.mean(axis=1, keepdims=True), axis=1)
    count = order.shape[1]
    below = np.arange(max(1, math.ceil(count / 4)), count - max(1, count // 4) + 1)
    sums = np.cumsum(order, axis=1)[:, below - 1]  # of those below; those above have minus it
    between = sums**2 * count / (below * (count - below))
    within = np.maximum((order**2).sum(axis=1, keepdims=True) - between, 0.0)
    total = np.maximum(within + between, 1e-300)
    row, place = np.unravel_index(int(np.argmin(within / total)), within.shape)
    threshold = order[row, below[place] - 1 : below[place] + 1].mean()
    return np.asarray(rows[row] - rows[row].mean() >= threshold)
