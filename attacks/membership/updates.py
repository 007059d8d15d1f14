"""Membership from rounds and updates: the global model's losses, and each client's update."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attacks.attack import Lacks, served
from attacks.signals import Signals
from fedbert.data.batches import Batch
from fedbert.split import SplitBert, answering

TINY = 1e-30  # added to a norm before dividing by it


@dataclass(frozen=True)
class LossOverRounds:
    """Scores by how far the global model's loss fell below that of the first model, on average
    over the rounds.

    Threat model: the aggregator, which holds the global model before and after every round, and
    candidate examples with their labels.

    Reference: Nasr, Shokri, Houmansadr (2019), "Comprehensive privacy analysis of deep learning",
    section III-C, the passive global attacker, with the mean in place of a learned attack model.
    """

    name: str = "loss over rounds"
    view: str = "aggregator"

    def missing(self, signals: Signals) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        words = "needs `round_losses`: the model of every round"
        return Lacks(("round_losses",), words) if signals.round_losses is None else None

    def score(self, signals: Signals, generator: np.random.Generator) -> np.ndarray:
        """Return the mean fall of the loss [candidate] in nats."""
        losses = served(signals.round_losses, self.missing(signals), self.name)
        fall: np.ndarray = losses[0] - losses[1:].mean(0)
        return fall


@dataclass(frozen=True)
class UpdateCosine:
    """Scores by the cosine between the candidate's descent direction and a client's update of the
    classifier: the mean over rounds, the highest over clients.

    Threat model: the aggregator, which sees every client's own update, knows where it started, and
    holds candidate examples with their labels. Only the last layer of H is used.

    Reference: Li, Li, Ribeiro (2022), "Effective passive membership inference attacks in federated
    learning against overparameterized models", section 4.
    """

    name: str = "update cosine"
    view: str = "aggregator"

    def missing(self, signals: Signals) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        return _lacking("alignments", signals.alignments)

    def score(self, signals: Signals, generator: np.random.Generator) -> np.ndarray:
        """Return the cosine [candidate]."""
        return _best(served(signals.alignments, self.missing(signals), self.name))


@dataclass(frozen=True)
class GradientDifference:
    """Scores by |G|^2 - |G - g|^2: how much of a client's update a candidate's gradient g explains.

    G is minus the update, scaled to the candidates' root mean square gradient norm: an adaptive
    optimiser's steps have a length of their own.

    Threat model and reference: as `UpdateCosine`; its section 4, "gradient-diff".
    """

    name: str = "gradient difference"
    view: str = "aggregator"

    def missing(self, signals: Signals) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        return _lacking("projections", signals.projections)

    def score(self, signals: Signals, generator: np.random.Generator) -> np.ndarray:
        """Return the difference [candidate]."""
        return _best(served(signals.projections, self.missing(signals), self.name))


@dataclass(frozen=True)
class Gradients:
    """Gradients of the last layer, an outer product per candidate: errors x (inputs, 1).

    errors [candidate, class]: probabilities less the label's indicator. inputs [candidate, hidden]:
    what the layer reads.
    """

    errors: np.ndarray
    inputs: np.ndarray

    def against(self, weight: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the cosine with an update's descent direction and |G|^2 - |G - g|^2 [candidate].

        weight [class, hidden], bias [class]: what the update added to the layer.
        """
        products = -(self.errors * (self.inputs @ weight.T + bias)).sum(1)
        squares = (self.errors**2).sum(1) * ((self.inputs**2).sum(1) + 1)  # |g|^2
        length = float(np.sqrt((weight**2).sum() + (bias**2).sum()))
        cosines = products / (length * np.sqrt(squares) + TINY)
        scale = float(np.sqrt(squares.mean())) / (length + TINY)
        return cosines, 2 * scale * products - squares


def last_layer(model: SplitBert) -> Any:
    """Return the Linear that makes the logits: the last one of H."""
    return [each for each in model.head.modules() if isinstance(each, nn.Linear)][-1]


def last_gradients(model: SplitBert, batches: Iterable[Batch]) -> Gradients:
    """Return every candidate's gradient of the last layer of a classifier, without dropout."""
    inputs, logits, labels = read_last_layer(model, batches)
    p = torch.softmax(logits, -1)
    return Gradients((p - nn.functional.one_hot(labels, p.shape[1])).numpy(), inputs.numpy())


def read_last_layer(model: SplitBert, batches: Iterable[Batch]) -> tuple[Tensor, Tensor, Tensor]:
    """Return what the last layer of H reads of examples, what it makes of it, and their labels.

    Inputs [example, hidden] and logits [example, label], float64, without dropout.
    """
    layer, inputs, logits, labels = last_layer(model), [], [], []
    hook = layer.register_forward_pre_hook(lambda _, given: inputs.append(given[0].double().cpu()))
    try:
        with answering(model):
            for batch in batches:
                logits.append(model.logits(batch.to(model.device)).double().cpu())
                labels.append(batch.labels.cpu())
    finally:
        hook.remove()
    return torch.cat(inputs), torch.cat(logits), torch.cat(labels)


def _best(values: np.ndarray) -> np.ndarray:
    """Return the mean over rounds, the highest over clients, of values [round, client, candidate].

    NaN where a client took no part in a round.
    """
    there = np.isfinite(values)
    counts = np.maximum(there.sum(0), 1)
    mean = np.where(there, values, 0.0).sum(0) / counts
    best: np.ndarray = np.where(there.any(0), mean, -np.inf).max(0)
    return best


def _lacking(what: str, value: np.ndarray | None) -> Lacks | None:
    words = f"needs `{what}`: clients' updates of a classifier"
    return Lacks((what,), words) if value is None else None
