"""Signals that membership attacks read: numbers of examples under the target and other models."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from fedbert.data.batches import Batch
from fedbert.errors import InputError, expect
from fedbert.split import SplitBert, answering

LEAST = 1e-15  # of a loss: what float32 logits cannot tell from none


@dataclass(frozen=True)
class Answers:
    """What the target and the adversary's shadow models make of some examples.

    losses [example]: nats; masked-LM: the mean over masked positions; regression: squared errors.
    logs [example, class]: log-probabilities; None where there are no classes.
    labels [example]: the classes that the adversary holds the examples with; None without classes.
    shadow_losses [shadow, example]: the shadows' losses, no shadow being the target.
    shadow_members [shadow, example]: which examples a shadow was trained on: the adversary's coins.
    features [example, feature]: what can be said of an example without the target.

    Raises:
        InputError: for shapes that do not fit each other, or a loss that is no number >= 0.
    """

    losses: np.ndarray
    logs: np.ndarray | None = None
    labels: np.ndarray | None = None
    shadow_losses: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    shadow_members: np.ndarray = field(default_factory=lambda: np.zeros((0, 0), dtype=bool))
    features: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Check shapes and numbers."""
        n = len(self.losses)
        for name in ("shadow_losses", "shadow_members"):
            if getattr(self, name).size == 0:
                kind = getattr(self, name).dtype
                object.__setattr__(self, name, np.zeros((0, n), dtype=kind))
        shadows = self.shadow_losses.shape
        expect(self.losses.ndim == 1, "losses [example]", "shape", self.losses.shape)
        expect(
            shadows == self.shadow_members.shape, "a bit for every shadow's loss", "shape", shadows
        )
        for name in ("logs", "labels", "features"):
            value = getattr(self, name)
            expect(value is None or len(value) == n, f"{n} rows", name, getattr(value, "shape", 0))
        expect(shadows[1:] == (n,), f"shadow losses of {n} examples", "shape", shadows)
        for name in ("losses", "shadow_losses"):
            value = getattr(self, name)
            good = np.isfinite(value) & (value >= 0)
            if not good.all():
                bad = int((~good).sum())
                raise InputError(f"expected finite {name}, got non_finite={bad} of {value.size}")

    @property
    def confidences(self) -> np.ndarray:
        """log p / (1 - p) of p = exp(-loss) [example]: near Gaussian over trainings."""
        return logit_scaled(self.losses)

    @property
    def shadow_confidences(self) -> np.ndarray:
        """The same of every shadow [shadow, example]."""
        return logit_scaled(self.shadow_losses)


@dataclass(frozen=True)
class Signals:
    """What an adversary has computed once, for every attack that scores candidates.

    population: examples of the same kind that the adversary knows were not trained on.
    round_losses [round, candidate]: the global model's losses before the first and after every
        round, as the aggregator sees them.
    alignments, projections [round, client, candidate]: how a client's update of the classifier
        lies to the candidate's gradient (see `attacks.membership.updates`).
    nearness [candidate]: log-likelihood ratio of the best match among the messages sent.
    answered [1 + copies, candidate] int: the target's class of each candidate, and of altered
        copies of it (see `attacks.membership.label_only`); None where there are no classes.
    """

    candidates: Answers
    population: Answers | None = None
    round_losses: np.ndarray | None = None
    alignments: np.ndarray | None = None
    projections: np.ndarray | None = None
    nearness: np.ndarray | None = None
    answered: np.ndarray | None = None


def logit_scaled(losses: np.ndarray) -> np.ndarray:
    """Return log p / (1 - p) of p = exp(-loss), elementwise, exact for the smallest losses too.

    Reference: Carlini et al. (2022), section IV-C.

    >>> bool(np.isclose(logit_scaled(np.log([2.0, 4.0])), [0.0, -np.log(3)]).all())
    True
    """
    losses = np.maximum(np.asarray(losses, dtype=np.float64), LEAST)
    big = losses > 700  # expm1 would overflow; p is then exp(-loss) itself
    return np.where(big, -losses, -np.log(np.expm1(np.where(big, 1.0, losses))))


def answers_of(model: SplitBert, batches: Iterable[Batch]) -> Answers:
    """Return a model's answers in the batches' order, without dropout; its mode is as before.

    Raises:
        InputError: if a loss is not finite.
    """
    losses, logs, labels = [np.zeros(0)], [], []
    with answering(model):
        for batch in batches:
            own = batch.to(model.device)
            if model.head.kind != "classification":
                losses.append(model.losses(own).double().cpu().numpy())
                continue
            logits = model.logits(own).double()
            losses.append(_cross_entropy(logits, own.labels).cpu().numpy())
            logs.append(F.log_softmax(logits, -1).cpu().numpy())
            labels.append(own.labels.cpu().numpy())
    if not logs:
        return Answers(np.concatenate(losses))
    return Answers(np.concatenate(losses), np.concatenate(logs), np.concatenate(labels))


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return -log p [example] to full precision near p = 1: softplus of how far the rest is."""
    own = logits.gather(-1, labels[:, None])
    rest = logits.scatter(-1, labels[:, None], -torch.inf)
    return F.softplus(torch.logsumexp(rest - own, -1), threshold=1e6)
