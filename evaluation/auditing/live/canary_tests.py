"""Tests of single releases by canaries: readings that lie too near, fresh coins guessed too well.

Both hear of the same releases and have half of a level each. Readings are bet on after every
release, guesses after every group of coins: two wealths, as what is known in between differs.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from evaluation.metrics.canary_guesses import GuessTest
from evaluation.metrics.canary_readings import Readings, ReadingsTest


class CanaryTests:
    """Wealths against the claim of single releases, as canaries show it.

    Guarantee: sound releases come to a fault with a probability of at most `alpha`, ever.
    """

    def __init__(self, claimed: float, alpha: float) -> None:
        """Begin; claimed: the noise multiplier of the claim about one release."""
        self.alpha = alpha
        self.readings, self.guesses = ReadingsTest(), GuessTest(1 / claimed)

    @property
    def log_wealth(self) -> float:
        """The logarithm of the larger wealth now."""
        return max(self.readings.shared.log_wealth, self.guesses.bets.log_wealth)

    def update(self, readings: Readings) -> None:
        """Bet on one release."""
        self.readings.update(readings)
        self.guesses.update(readings)

    def fault(self) -> str | None:
        """Return what is found, in words, with the evidence; None: nothing."""
        half = self.alpha / 2
        for highest, found in (
            (self.readings.shared.highest, self.readings.fault),
            (self.guesses.bets.highest, self.guesses.fault),
        ):
            if highest >= math.log(1 / half):
                power, least = highest / math.log(10), -math.log10(half)
                return f"{found()}; evidence 10^{power:.1f}, where 10^{least:.1f} stops a training"
        return None

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """Return both wealths, as arrays and numbers; of readings and coins nothing."""
        (arrays, readings), (more, guesses) = self.readings.state(), self.guesses.state()
        return arrays | more, {"readings": readings, "guesses": guesses}

    def restore(self, arrays: Mapping[str, np.ndarray], values: Mapping[str, Any]) -> None:
        """Set what `state` returned."""
        self.readings.restore(arrays, values["readings"])
        self.guesses.restore(arrays, values["guesses"])
