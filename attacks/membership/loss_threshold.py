"""Loss threshold, the simplest membership attack: members are predicted with less loss."""

from dataclasses import dataclass

import numpy as np

from attacks.attack import Lacks
from attacks.signals import Signals


@dataclass(frozen=True)
class LossThreshold:
    """Scores a candidate by minus the released model's loss on it.

    Threat model: anyone who holds the released model and candidate examples with their labels.

    Reference: Yeom, Giacomelli, Fredrikson, Jha (2018), "Privacy risk in machine learning",
    section 3.2.
    """

    name: str = "loss threshold"
    view: str = "release"

    def missing(self, signals: Signals) -> Lacks | None:
        """Return None: the target's losses are always there."""
        return None

    def score(self, signals: Signals, generator: np.random.Generator) -> np.ndarray:
        """Return -loss [candidate]."""
        return -signals.candidates.losses
