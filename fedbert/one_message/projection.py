"""Projection of pooled vectors onto a few directions of public text, into the unit ball."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fedbert.errors import InputError

LEAST = 4
"""Public texts for each direction, at least: fewer would say little about its spread."""


@dataclass(frozen=True)
class Projection:
    """What turns a pooled vector into a row of few values, made from public text alone.

    centre [hidden]: the public mean. matrix [hidden, direction]: the leading principal directions,
    each over its standard deviation, all over the radius that the clip is to be, so that the clip
    is 1. covariance [direction, direction]: that of public rows after the clip. likeness
    [direction]: their covariance with how alike public pairs are; None where no score is known to
    rise with that. All float64.
    """

    centre: np.ndarray
    matrix: np.ndarray
    covariance: np.ndarray
    likeness: np.ndarray | None = None

    @property
    def directions(self) -> int:
        """How many values a row has."""
        return int(self.matrix.shape[1])

    def rows(self, vectors: Tensor) -> Tensor:
        """Return rows [..., direction] of pooled vectors [..., hidden], before the clip."""
        found: Tensor = (vectors - torch.as_tensor(self.centre).to(vectors)) @ torch.as_tensor(
            self.matrix
        ).to(vectors)
        return found

    def inside(self, vectors: np.ndarray) -> np.ndarray:
        """Return rows in the unit ball [record, direction] float64 of vectors [record, hidden]."""
        return within_ball(self.rows(torch.from_numpy(vectors).double()).numpy())


def leaning(rows: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return the covariance [direction] of rows [row, direction] with a value of each [row]."""
    found: np.ndarray = (rows - rows.mean(0)).T @ (values - values.mean()) / len(rows)
    return found


def within_ball(rows: np.ndarray) -> np.ndarray:
    """Return rows [row, value], those of norm above 1 at 1."""
    clipped: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1.0)
    return clipped


def check_counts(directions: int, count: int, hidden: int) -> None:
    """Refuse more directions than values, or fewer than LEAST public texts for each."""
    if directions > hidden:
        raise InputError(f"message: expected directions <= {hidden}, got directions={directions}")
    if count < LEAST * directions:
        raise InputError(
            f"message: expected at least {LEAST * directions} public texts for {directions} "
            f"directions, got {count}"
        )


def fit_projection(vectors: np.ndarray, directions: int, quantile: float) -> Projection:
    """Return the projection that public vectors [text, hidden] say.

    quantile: the share of public rows that the clip leaves as they are.

    Raises:
        InputError: for fewer public texts than LEAST times the directions, more directions than
            the vectors have, or vectors that do not spread in so many.
    """
    count, hidden = vectors.shape
    check_counts(directions, count, hidden)
    values = vectors.astype(np.float64)
    centre = values.mean(0)
    spread, axes = np.linalg.eigh(np.cov(values - centre, rowvar=False).reshape(hidden, hidden))
    spread, axes = spread[::-1][:directions], axes[:, ::-1][:, :directions]
    if not spread[-1] > 1e-9 * spread[0]:
        raise InputError(
            f"message: expected public texts that differ in {directions} directions, got fewer"
        )
    signs = np.sign(axes[np.abs(axes).argmax(0), np.arange(directions)])  # of either, the one
    matrix = axes * signs / np.sqrt(spread)
    norms = np.linalg.norm((values - centre) @ matrix, axis=1)
    matrix = matrix / np.quantile(norms, quantile)
    rows = within_ball((values - centre) @ matrix)
    return Projection(centre, matrix, np.cov(rows, rowvar=False).reshape(directions, directions))
