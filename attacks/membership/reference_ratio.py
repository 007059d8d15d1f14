"""Reference model: the target's loss beside that of a model that never saw the candidate."""

from dataclasses import dataclass

import numpy as np

from attacks.attack import Lacks, served
from attacks.signals import Answers, Signals


@dataclass(frozen=True)
class ReferenceRatio:
    """Scores a candidate by how much likelier the target finds it than the reference models do.

    A hard example has much loss under every model; only what the target alone finds easy is
    suspicious. It is the same for classification and for masked-LM.

    references: how many models that were not trained on the candidate to average; None = all.

    Threat model: anyone who holds the released model and can train models of the same kind.

    Reference: Mireshghallah, Goyal, Uniyal, Berg-Kirkpatrick, Shokri (2022), "Quantifying privacy
    risks of masked language models using membership inference attacks", section 3.
    """

    references: int | None = None
    name: str = "reference ratio"
    view: str = "release"

    def missing(self, signals: Signals) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        return lacking_without(signals.candidates, self.references or 1)

    def score(self, signals: Signals, generator: np.random.Generator) -> np.ndarray:
        """Return log p(target) - mean log p(references) [candidate]."""
        answers = served(signals.candidates, self.missing(signals), self.name)
        used = without(answers, self.references)
        mean = np.where(used, answers.shadow_losses, 0.0).sum(0) / used.sum(0)
        ratio: np.ndarray = mean - answers.losses
        return ratio


def without(answers: Answers, count: int | None = None) -> np.ndarray:
    """Return which shadows to use for each example [shadow, example]: the first `count` that were
    not trained on it (None: all).
    """
    free = ~answers.shadow_members
    return free if count is None else free & (np.cumsum(free, 0) <= count)


def lacking_without(answers: Answers, count: int) -> Lacks | None:
    """Return what is lacking for so many models per example that were not trained on it."""
    least = int((~answers.shadow_members).sum(0).min(initial=len(answers.shadow_members)))
    if least >= count:
        return None
    words = f"needs `shadow_losses`: {_models(count)} not trained on it, got {least}"
    return Lacks(("shadow_losses",), words)


def lacking_with(answers: Answers, count: int) -> Lacks | None:
    """Return what is lacking for so many models per example that were trained on it."""
    least = int(answers.shadow_members.sum(0).min(initial=len(answers.shadow_members)))
    if least >= count:
        return None
    words = f"needs `shadow_losses`: {_models(count)} trained on it, got {least}"
    return Lacks(("shadow_losses",), words)


def _models(count: int) -> str:
    return "1 model that was" if count == 1 else f"{count} models that were"
