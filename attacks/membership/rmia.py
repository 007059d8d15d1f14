"""RMIA: the candidate's likelihood ratio against that of many other examples."""

from dataclasses import dataclass

import numpy as np

from attacks.attack import Lacks, served
from attacks.membership.reference_ratio import lacking_with, lacking_without, without
from attacks.signals import Answers, Signals, logit_scaled


@dataclass(frozen=True)
class Rmia:
    """Scores by the share of a population that the candidate dominates in likelihood ratio.

    The ratio of an example is p(example | target) / p(example), where p(example) is the mean over
    reference models. A candidate dominates z where its ratio is `gamma` times that of z or more.
    Of candidates with one share, the higher ratio scores higher, by less than one z would count.

    references: models that were not trained on the example, per example (None: all there are).
    online: models trained on it enter p(example) with equal weight. Else p(example) is
        (p + offset p + 1 - offset) / 2 of the mean p of models that were not: being trained on
        raises a probability of classes that much towards 1. Other likelihoods are far from 1,
        and p is taken as it is.
    temperature: of the likelihood of a class, its logit-scaled confidence divided by so much. An
        overfitted model gives members and many others a p next to 1, where the ratio sees no
        difference any more. Other likelihoods are taken as they are.

    Threat model: anyone who holds the released model, can train models of the same kind, and has
    examples that were not trained on.

    Reference: Zarifzadeh, Liu, Shokri (2024), "Low-cost high-power membership inference attacks",
    section 3 and appendix B.2.2; for the temperature, its confidence signals (it takes 2).
    """

    references: int | None = None
    online: bool = False
    gamma: float = 2.0
    offset: float = 0.3
    temperature: float = 4.0
    name: str = "RMIA, off-line"
    view: str = "release"

    def missing(self, signals: Signals) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        if signals.population is None or len(signals.population.losses) == 0:
            words = "needs `population`: examples that were not trained on"
            return Lacks(("population",), words)
        for answers in (signals.candidates, signals.population):
            found = lacking_without(answers, self.references or 1)
            if self.online:
                found = found or lacking_with(answers, 1)
            if found:
                return found
        return None

    def score(self, signals: Signals, generator: np.random.Generator) -> np.ndarray:
        """Return the share [candidate] of the population that each candidate dominates."""
        others = np.sort(
            self.log_ratios(served(signals.population, self.missing(signals), self.name))
        )
        own = self.log_ratios(signals.candidates)
        count = np.searchsorted(others, own - np.log(self.gamma), side="right")
        share: np.ndarray = (count + 1 / (1 + np.exp(-np.clip(own, -500, 500)))) / len(others)
        return share

    def log_ratios(self, answers: Answers) -> np.ndarray:
        """Return log p(example | target) - log p(example) [example]."""
        losses, shadows = answers.losses, answers.shadow_losses
        if answers.logs is not None:
            losses, shadows = (_softened(each, self.temperature) for each in (losses, shadows))
        average = _log_mean(shadows, without(answers, self.references))
        if self.online:
            trained = _log_mean(shadows, answers.shadow_members)
            average = np.logaddexp(average, trained) - np.log(2)
        elif answers.logs is not None:
            average = np.log(((1 + self.offset) * np.exp(average) + 1 - self.offset) / 2)
        ratio: np.ndarray = -losses - average
        return ratio


def online() -> Rmia:
    """Return the attack with models trained on the candidate and without it."""
    return Rmia(online=True, name="RMIA, on-line")


def _softened(losses: np.ndarray, temperature: float) -> np.ndarray:
    """Return -log of p^(1/T) / (p^(1/T) + (1 - p)^(1/T)) of p = exp(-loss)."""
    softened: np.ndarray = np.logaddexp(0.0, -logit_scaled(losses) / temperature)
    return softened


def _log_mean(losses: np.ndarray, used: np.ndarray) -> np.ndarray:
    """Return log of the mean of exp(-loss) [example] over the used shadows."""
    logs = np.where(used, -losses, -np.inf)
    top = logs.max(0)
    mean: np.ndarray = top + np.log(np.exp(logs - top).sum(0) / used.sum(0))
    return mean
