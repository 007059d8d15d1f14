"""Attribute probe: what else a text tells, read off one vector of it by linear discriminants."""

from dataclasses import dataclass

import numpy as np
import torch
from scipy.special import log_softmax

from attacks.attack import Lacks, served
from attacks.attributes.knowledge import AttributeKnowledge
from fedbert.errors import expect

RIDGES = (1e-3, 1e-2, 0.1, 1.0, 10.0)
DRAWS = 4  # of the noise on every auxiliary text
HELD_OUT = 0.2


@dataclass(frozen=True)
class Discriminants:
    """Linear discriminants of standard vectors: weight [value, hidden], bias [value]."""

    mean: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    bias: np.ndarray

    def logs(self, vectors: np.ndarray) -> np.ndarray:
        """Return log-probabilities [record, value]."""
        found: np.ndarray = log_softmax(
            (vectors - self.mean) / self.scale @ self.weight.T + self.bias, axis=1
        )
        return found


@dataclass(frozen=True)
class AttributeProbe:
    """Reads an attribute off vectors by linear discriminants of auxiliary texts' own vectors.

    These went through the sender's code, its noise drawn DRAWS times; the ridge on their common
    covariance is the one that predicts held-out texts best. A network over more text may read more.

    Threat model: `AttributeKnowledge`.

    Reference: Song and Raghunathan (2020), "Information leakage in embedding models", section 3.2
    (there by logistic regression and small networks).
    """

    name: str = "attribute probe"
    view: str = "release"

    def missing(self, knowledge: AttributeKnowledge) -> Lacks | None:
        """Return what the attack lacks, or None if it can run."""
        return knowledge.missing()

    def infer(
        self, vectors: np.ndarray, knowledge: AttributeKnowledge, generator: torch.Generator
    ) -> np.ndarray:
        """Return log-probabilities [record, value]."""
        lacks = knowledge.missing()
        make = served(knowledge.vectors, lacks, self.name)
        told = served(knowledge.values, lacks, self.name)
        values, owned = np.unique(told, return_inverse=True)
        rows = np.stack([make(generator) for _ in range(DRAWS if knowledge.noisy else 1)])
        rows = rows.astype(np.float64)  # [draw, text, hidden]
        fits = vectors.ndim == 2 and vectors.shape[1] == rows.shape[2]
        expect(fits, f"vectors [record, {rows.shape[2]}]", "shape", vectors.shape)
        order = torch.randperm(len(owned), generator=generator).numpy()
        held, own = np.split(order, [max(1, round(HELD_OUT * len(order)))])

        def loss(ridge: float) -> float:
            logs = _fitted(rows[:, own], owned[own], len(values), ridge).logs(rows[0, held])
            return float(-logs[np.arange(len(held)), owned[held]].mean())

        return _fitted(rows, owned, len(values), min(RIDGES, key=loss)).logs(vectors)


def _fitted(rows: np.ndarray, owned: np.ndarray, count: int, ridge: float) -> Discriminants:
    """Return discriminants of rows [draw, text, hidden] with values [text], all of one covariance.

    ridge: in units of a standard coordinate's variance.
    """
    flat, own = np.concatenate(rows), np.tile(owned, len(rows))
    mean, scale = flat.mean(0), np.maximum(flat.std(0), 1e-9)
    x = (flat - mean) / scale
    each = np.maximum(np.bincount(own, minlength=count), 1)[:, None]
    centres = np.zeros((count, x.shape[1]))
    np.add.at(centres, own, x)
    centres = centres / each
    within = x - centres[own]
    covariance = within.T @ within / len(x) + ridge * np.eye(x.shape[1])
    weight = np.linalg.solve(covariance, centres.T).T
    shares = (np.bincount(own, minlength=count) + 1) / (len(own) + count)
    bias = np.log(shares) - 0.5 * (weight * centres).sum(1)
    return Discriminants(mean, scale, weight, bias)
