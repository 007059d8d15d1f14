"""Randomised response on labels before anything is trained on them: label differential privacy."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from privacy.checks import positive, whole
from privacy.events import PureEvent
from privacy.mechanism import Cost, Unit
from privacy.randomness.draws import Draws
from privacy.risk import Risk, Target, pure_epsilon

LEAST_RATE = 2.0**-53


@dataclass(frozen=True)
class RandomisedResponse:
    """Keeps each class label with probability e^epsilon / (e^epsilon + labels - 1).

    Otherwise it becomes one of the others, each as likely as the next. No mechanism of messages:
    it acts on a client's labels, once, before the training.

    Guarantee: pure epsilon (delta 0), replace one example's label, for whoever sees only what was
    computed from the randomised labels; the texts are not covered. Each example is randomised once
    and its answer kept: answers drawn afresh for every epoch add up.

    | input | outcome |
    |---|---|
    | `epsilon` zero, negative, infinite or NaN; `labels` no integer of at least 2 | `ValueError` |
    | a label outside 0 .. labels - 1, as an ignored position's -100 | `ValueError` |
    | labels that are not a vector of integers | `ValueError` |
    | no labels | no labels |
    | an epsilon so large that a change is rarer than 2**-53 | a change has just that rate |

    Reference: Warner (1965), "Randomized response"; Kairouz, Oh, Viswanath (2016), "Extremal
    mechanisms for local differential privacy", section 4.
    """

    epsilon: float
    labels: int

    def __post_init__(self) -> None:
        """Check every field."""
        positive("epsilon", self.epsilon)
        whole("labels", self.labels)
        if self.labels < 2:
            raise ValueError(f"expected labels >= 2, got labels={self.labels}")

    @classmethod
    def calibrated(cls, target: Target, labels: int) -> "RandomisedResponse":
        """The mechanism that meets the target: an epsilon is its own, as labels are drawn once.

        Of a risk the epsilon follows in closed form.

        >>> round(RandomisedResponse.calibrated(1.0, labels=2).keep_probability, 4)
        0.7311
        """
        epsilon = pure_epsilon(target) if isinstance(target, Risk) else target
        return cls(epsilon=epsilon, labels=labels)

    @property
    def unit(self) -> Unit:
        """A label: that of one example."""
        return "label"

    @property
    def keep_probability(self) -> float:
        """The probability, at most 1, that a label stays what it is."""
        return 1.0 / (1.0 + (self.labels - 1) * math.exp(-self.epsilon))

    def randomise(self, labels: NDArray[np.int64], draws: Draws) -> NDArray[np.int64]:
        """The labels `[example]`, each kept or replaced, as a new array.

        The probability of a change is rounded up, never down.

        Raises:
            ValueError: labels are not `[example]` of integers, or one is no class.
        """
        labels = np.asarray(labels)
        if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(
                f"expected labels [example] of integers, "
                f"got shape={list(labels.shape)} dtype={labels.dtype}"
            )
        wrong = labels[(labels < 0) | (labels >= self.labels)]
        if wrong.size:
            raise ValueError(f"expected labels in 0..{self.labels - 1}, got label={wrong[0]}")
        weight = (self.labels - 1) * math.exp(-self.epsilon)
        rate = math.nextafter(weight / (1.0 + weight), 1.0)
        changed = draws.bernoulli(max(rate, LEAST_RATE), labels.shape)
        shift = 1 + draws.integers(self.labels - 1, labels.shape)  # to one of the others, evenly
        kept = labels.astype(np.int64)
        return np.where(changed, (kept + shift) % self.labels, kept)

    def cost(self) -> Cost:
        """One pure release of one example's label, replace-one."""
        return Cost(PureEvent(self.epsilon), "label", "replace-one")
