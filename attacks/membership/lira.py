"""LiRA: is the target's confidence in a candidate that of models trained on it, or without it?"""

from dataclasses import dataclass

import numpy as np

from attacks.attack import Lacks, served
from attacks.membership.reference_ratio import lacking_with, lacking_without
from attacks.signals import Answers, Signals

FEW = 32  # shadows a side from which every candidate has a variance of its own
LEAST = 1e-6  # of a standard deviation


@dataclass(frozen=True)
class OnlineLira:
    """Scores by the likelihood ratio of two Gaussians, fitted per candidate to the logit-scaled
    confidences of the shadows trained on it and of those that were not.

    own_variance: None decides by the number of shadows: below FEW a side, the candidates of a side
    share one variance (of the deviations from each candidate's mean).

    Threat model: anyone who holds the released model and can train models of the same kind, half
    of them on the candidate.

    Reference: Carlini, Chien, Nasr, Song, Terzis, Tramer (2022), "Membership inference attacks from
    first principles", algorithm 1 and section VI-B.
    """

    own_variance: bool | None = None
    name: str = "LiRA, on-line"
    view: str = "release"

    def missing(self, signals: Signals) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        answers = signals.candidates
        least = 2 if self.own_variance else 1
        found = lacking_without(answers, least) or lacking_with(answers, least)
        return found or _lacking_spread(answers)

    def score(self, signals: Signals, generator: np.random.Generator) -> np.ndarray:
        """Return the log-likelihood ratio [candidate]."""
        answers = served(signals.candidates, self.missing(signals), self.name)
        members = self._log_density(answers, answers.shadow_members)
        ratio: np.ndarray = members - self._log_density(answers, ~answers.shadow_members)
        return ratio

    def _log_density(self, answers: Answers, used: np.ndarray) -> np.ndarray:
        """Return the log-density [candidate] of the target's confidence, less a constant."""
        mean, spread = gaussian_fit(answers.shadow_confidences, used, self.own_variance)
        density: np.ndarray = -0.5 * ((answers.confidences - mean) / spread) ** 2 - np.log(spread)
        return density


@dataclass(frozen=True)
class OfflineLira:
    """Scores by how far the target's confidence lies above that of shadows not trained on the
    candidate, in their standard deviations.

    Threat model: as on-line, but every shadow may have been trained before the candidate was known.

    Reference: Carlini et al. (2022), section V-C.
    """

    own_variance: bool | None = None
    name: str = "LiRA, off-line"
    view: str = "release"

    def missing(self, signals: Signals) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        found = lacking_without(signals.candidates, 2 if self.own_variance else 1)
        return found or _lacking_spread(signals.candidates)

    def score(self, signals: Signals, generator: np.random.Generator) -> np.ndarray:
        """Return standard deviations above the mean [candidate]."""
        answers = served(signals.candidates, self.missing(signals), self.name)
        mean, spread = gaussian_fit(
            answers.shadow_confidences, ~answers.shadow_members, self.own_variance
        )
        above: np.ndarray = (answers.confidences - mean) / spread
        return above


def gaussian_fit(
    values: np.ndarray, used: np.ndarray, own_variance: bool | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation [example] of the used ones of values [shadow, example]."""
    count = used.sum(0)
    mean = np.where(used, values, 0.0).sum(0) / count
    squares = np.where(used, (values - mean) ** 2, 0.0).sum(0)
    if own_variance is None:
        own_variance = bool(count.min(initial=FEW) >= FEW)
    if own_variance:
        variance = squares / (count - 1)
    else:
        freedom = max(1, int((count - 1).sum()))
        variance = np.full(len(mean), squares.sum() / freedom)
    return mean, np.maximum(np.sqrt(variance), LEAST)


def _lacking_spread(answers: Answers) -> Lacks | None:
    """Return what is lacking where no candidate has two shadows on a side: no spread is known."""
    count = len(answers.shadow_members)
    words = f"needs `shadow_losses`: 4 models or more, got {count}"
    return None if count >= 4 else Lacks(("shadow_losses",), words)
