"""Guessing at random: what every membership attack is to be better than."""

from dataclasses import dataclass

import numpy as np

from attacks.attack import Lacks
from attacks.signals import Signals


@dataclass(frozen=True)
class RandomGuess:
    """Scores every candidate by a number drawn evenly from 0 to 1, whatever is known of it.

    A baseline: its AUC is 0.5 up to chance, and its interval is what as many candidates allow.

    Threat model: anyone; nothing is needed.
    """

    name: str = "random guess"
    view: str = "release"

    def missing(self, signals: Signals) -> Lacks | None:
        """Return None: nothing is needed."""
        return None

    def score(self, signals: Signals, generator: np.random.Generator) -> np.ndarray:
        """Return draws [candidate] from the uniform distribution on [0, 1)."""
        return generator.random(len(signals.candidates.losses))
