"""Entropy and modified entropy of the answer: members are answered more firmly."""

from dataclasses import dataclass

import numpy as np

from attacks.attack import Lacks, served
from attacks.signals import Signals

LACKING = Lacks(("logs",), "needs `logs`: probabilities of classes")


@dataclass(frozen=True)
class Entropy:
    """Scores a candidate by minus the entropy of the model's answer; the label is not needed.

    Threat model: anyone who can ask the released model for probabilities.

    Reference: Song and Mittal (2021), "Systematic evaluation of privacy risks of machine learning
    models", section 3.
    """

    name: str = "entropy"
    view: str = "release"

    def missing(self, signals: Signals) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        return LACKING if signals.candidates.logs is None else None

    def score(self, signals: Signals, generator: np.random.Generator) -> np.ndarray:
        """Return minus the entropy [candidate] in nats."""
        logs = served(signals.candidates.logs, self.missing(signals), self.name)
        entropy: np.ndarray = -(np.exp(logs) * logs).sum(1)
        return -entropy


@dataclass(frozen=True)
class ModifiedEntropy:
    """Scores by an entropy that counts firmness in a wrong answer against membership.

    Threat model: anyone who can ask the released model for probabilities, and knows the label.

    Reference: Song and Mittal (2021), section 4.2, with one threshold for all classes.
    """

    name: str = "modified entropy"
    view: str = "release"

    def missing(self, signals: Signals) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        return LACKING if signals.candidates.logs is None else None

    def score(self, signals: Signals, generator: np.random.Generator) -> np.ndarray:
        """Return minus the modified entropy [candidate]."""
        logs = served(signals.candidates.logs, self.missing(signals), self.name)
        labels = served(signals.candidates.labels, self.missing(signals), self.name)
        own = np.arange(logs.shape[1]) == labels[:, None]  # [candidate, class]
        others = np.log(np.maximum(-np.expm1(logs), np.finfo(np.float64).tiny))  # log(1 - p)
        p = np.exp(logs)
        right = -(-np.expm1(logs) * logs)[own]
        wrong = -np.where(own, 0.0, p * others).sum(1)
        total: np.ndarray = right + wrong
        return -total
