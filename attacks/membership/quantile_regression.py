"""Quantile regression: how sure may the target be of an example without having seen it?"""

from dataclasses import dataclass

import numpy as np

from attacks.attack import Lacks, served
from attacks.signals import Answers, Signals


@dataclass(frozen=True)
class QuantileRegression:
    """Scores by how far the target's confidence lies above a quantile predicted from the example.

    The one auxiliary model is linear in the example's features, fitted by pinball loss to the
    target's confidences on a population that was not trained on; two quantiles give the scale.

    Threat model: anyone who can ask the released model for confidences, and has examples that were
    not trained on; no model of the same kind is trained.

    Reference: Bertran, Tang, Kearns, Morgenstern, Roth, Wu (2023), "Scalable membership inference
    attacks via quantile regression", section 3.
    """

    middle: float = 0.5
    upper: float = 0.9
    name: str = "quantile regression"
    view: str = "release"

    def missing(self, signals: Signals) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        if signals.population is None or signals.population.features is None:
            words = "needs `population`, with features: examples that were not trained on"
            return Lacks(("population",), words)
        least = 5 * (_design(signals.population).shape[1])
        if len(signals.population.losses) < least:
            got = len(signals.population.losses)
            words = f"needs `population`: {least} examples for as many features, got {got}"
            return Lacks(("population",), words)
        return None

    def score(self, signals: Signals, generator: np.random.Generator) -> np.ndarray:
        """Return distances above the upper quantile, in the predicted spread [candidate]."""
        known = served(signals.population, self.missing(signals), self.name)
        fitted = [
            _design(signals.candidates) @ pinball_fit(_design(known), known.confidences, quantile)
            for quantile in (self.middle, self.upper)
        ]
        spread = fitted[1] - fitted[0]
        floor = max(float(np.median(np.abs(spread))) / 4, 1e-6)  # the two may come close or cross
        above: np.ndarray = (signals.candidates.confidences - fitted[1]) / np.maximum(spread, floor)
        return above


def pinball_fit(design: np.ndarray, values: np.ndarray, quantile: float) -> np.ndarray:
    """Return the weights [column] that minimise the pinball loss, by linear programming.

    design [example, column], values [example]. The loss of a residual r = value - fitted is
    quantile * r above and (quantile - 1) * r below.

    Reference: Koenker and Bassett (1978).
    """
    from scipy import optimize, sparse

    n, columns = design.shape
    above = sparse.eye_array(n)
    costs = np.concatenate((np.zeros(columns), np.full(n, quantile), np.full(n, 1 - quantile)))
    system = sparse.hstack([sparse.csr_array(design), above, -above], format="csc")
    bounds = [(None, None)] * columns + [(0, None)] * (2 * n)
    found = optimize.linprog(costs, A_eq=system, b_eq=values, bounds=bounds, method="highs")
    weights: np.ndarray = found.x[:columns]
    return weights


def _design(answers: Answers) -> np.ndarray:
    """Return features, classes and a constant [example, column]."""
    features = served(answers.features, None, "quantile regression")
    columns = [features, np.ones((len(features), 1))]
    if answers.logs is not None and answers.labels is not None:
        classes = np.arange(1, answers.logs.shape[1])
        columns.append((answers.labels[:, None] == classes).astype(np.float64))
    return np.hstack(columns)
