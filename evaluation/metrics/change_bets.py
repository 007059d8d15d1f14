"""Bets that may begin at any step: wealth against a claim that holds until something breaks.

For every alternative there is a bet that begins at step s, for every s, of weight 1 / (s (s + 1)):
together 1. Before it begins a bet is worth 1; then it is multiplied by the step's e-value. So a
fault that comes late has not cost the wealth of the sound steps before it. Each bet is a
supermartingale under the claim, and so is their mean, whose probability of *ever* reaching
1 / alpha is at most alpha (Ville 1939).

Reference: Shin, Ramdas, Rinaldo (2024), "E-detectors: a nonparametric framework for sequential
change detection", for sums over when a change began; with weights that sum to 1 it is an e-process.
"""

import math
from collections.abc import Mapping

import numpy as np

from fedbert.errors import expect


class ChangeBets:
    """The wealth of bets on several alternatives, each of which may begin to hold at any step.

    Guarantee: if, given the past, every e-value has a mean of at most 1, then `log_wealth` reaches
    log(1 / alpha) at any step of any number with a probability of at most alpha.
    """

    def __init__(self, alternatives: int) -> None:
        """Begin before the first step, with a wealth of 1."""
        expect(alternatives > 0, "at least one alternative", "alternatives", alternatives)
        self.steps = 0
        self.begun = np.full(alternatives, -np.inf)  # [alternative]: log wealth of begun bets
        self.highest = 0.0

    @property
    def log_each(self) -> np.ndarray:
        """The logarithm of the wealth on each alternative [alternative]."""
        not_begun = -math.log(self.steps + 1)
        return np.asarray(np.logaddexp(self.begun, not_begun))

    @property
    def log_wealth(self) -> float:
        """The logarithm of the mean wealth over alternatives."""
        return float(np.logaddexp.reduce(self.log_each) - math.log(len(self.begun)))

    def update(self, log_e: np.ndarray) -> None:
        """Take in a step's e-values [alternative], as logarithms; 0 where there is no bet.

        Raises:
            InputError: for another number of them, or one that is not a number.
        """
        expect(log_e.shape == self.begun.shape, f"{len(self.begun)} e-values", "e-values", log_e)
        expect(not np.isnan(log_e).any(), "e-values", "e-values", "NaN")
        self.steps += 1
        weight = -math.log(self.steps * (self.steps + 1))
        self.begun = np.logaddexp(self.begun, weight) + log_e
        self.highest = max(self.highest, self.log_wealth)

    def rejected(self, alpha: float) -> bool:
        """Whether the wealth ever reached 1 / alpha."""
        return self.highest >= math.log(1 / alpha)


class SharedBets:
    """Several kinds of bets that share one wealth, each kind an equal part of it from the start.

    Guarantee: as `ChangeBets`, for all kinds together: a mean of supermartingales is one.
    """

    def __init__(self, kinds: Mapping[str, int]) -> None:
        """Begin with a wealth of 1; kinds: how many alternatives each has."""
        self.bets = {kind: ChangeBets(count) for kind, count in kinds.items()}
        self.highest = 0.0

    @property
    def log_wealth(self) -> float:
        """The logarithm of the wealth now."""
        each = [bets.log_wealth for bets in self.bets.values()]
        return float(np.logaddexp.reduce(each) - math.log(len(each)))

    def update(self, log_e: Mapping[str, np.ndarray]) -> None:
        """Take in a step's e-values [alternative] of some kinds, as logarithms."""
        for kind, each in log_e.items():
            self.bets[kind].update(each)
        self.highest = max(self.highest, self.log_wealth)

    def rejected(self, alpha: float) -> bool:
        """Whether the wealth ever reached 1 / alpha."""
        return self.highest >= math.log(1 / alpha)

    def best(self) -> str:
        """Return the kind that the wealth speaks of most."""
        return max(self.bets, key=lambda kind: self.bets[kind].log_wealth)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the wealth of all begun bets by kind."""
        return {kind: bets.begun for kind, bets in self.bets.items()}

    def restore(
        self, arrays: Mapping[str, np.ndarray], steps: Mapping[str, int], highest: float
    ) -> None:
        """Set what `arrays` returned, after so many steps of each kind."""
        for kind, bets in self.bets.items():
            bets.begun = np.array(arrays[kind], dtype=np.float64)
            bets.steps = int(steps[kind])
        self.highest = float(highest)
