"""The simplest membership attack: what the model was trained on, it predicts with less loss."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from attacks.attack import Knowledge
from fedbert.batches import Batch
from fedbert.config import InputError
from fedbert.split import SplitBert, answering


@dataclass(frozen=True)
class LossThreshold:
    """Scores a candidate by minus the released model's loss on it.

    Threat model: anyone who holds the released model and candidate examples with their labels.

    Reference: Yeom, Giacomelli, Fredrikson, Jha (2018), "Privacy risk in machine learning",
    section 3.2.
    """

    name: str = "loss threshold"
    view: str = "release"

    def missing(self, knowledge: Knowledge) -> str | None:
        """Return what the attack lacks, in words, or None if it can run."""
        return "needs `model`: the released model" if knowledge.model is None else None

    def score(self, candidates: Iterable[Batch], knowledge: Knowledge) -> np.ndarray:
        """Return -loss [candidate] float64, without dropout; the model's mode is as before.

        Raises:
            InputError: if the model is lacking, or its loss is not finite.
        """
        if knowledge.model is None:
            raise InputError(f"expected knowledge.model, got None: {self.name} needs it")
        losses = [np.zeros(0), *_losses(knowledge.model, candidates)]
        scores = -np.concatenate(losses)
        if not np.isfinite(scores).all():
            count = int((~np.isfinite(scores)).sum())
            raise InputError(f"expected finite losses, got non_finite={count} of {len(scores)}")
        return scores


def _losses(model: SplitBert, candidates: Iterable[Batch]) -> list[np.ndarray]:
    """Return the losses [batch] of each batch, in evaluation mode."""
    with answering(model):
        return [model.losses(b.to(model.device)).double().cpu().numpy() for b in candidates]
