"""Codes of labels: vectors in the unit ball that stand for classes or scores in a message."""

import math
from dataclasses import dataclass

import numpy as np

from fedbert.errors import InputError
from fedbert.tasks import Task


@dataclass(frozen=True)
class Codes:
    """A code for each label: the corners of a regular simplex for classes, a line for scores.

    corners [class, value]: of unit norm, their sum zero; of two classes -1 and 1. None for scores,
    which go from low to high as -1 to 1; what lies outside is cut off.
    """

    corners: np.ndarray | None
    low: float = 0.0
    high: float = 0.0

    @property
    def values(self) -> int:
        """How many values a code has."""
        return 1 if self.corners is None else int(self.corners.shape[1])

    def of(self, labels: np.ndarray) -> np.ndarray:
        """Return the codes [example, value] float64 of labels [example], of norm at most 1."""
        if self.corners is not None:
            found: np.ndarray = self.corners[labels]
            return found
        share = (labels.astype(np.float64) - self.low) / (self.high - self.low)
        return np.clip(2 * share - 1, -1.0, 1.0)[:, None]


def codes_of(task: Task) -> Codes:
    """Return the codes of a task's labels.

    Raises:
        InputError: for masked-LM, one class alone, or scores without public bounds.
    """
    if task.kind == "mlm":
        raise InputError("expected a task with labels for strategy one_message, got task mlm")
    if task.regression:
        low, high = task.score_range
        if not -math.inf < low < high < math.inf:
            raise InputError(
                f"expected scores with public bounds for strategy one_message, got none of task "
                f"{task.name}"
            )
        return Codes(None, low, high)
    return Codes(simplex(task.num_labels))


def simplex(corners: int) -> np.ndarray:
    """Return the corners of a regular simplex around zero, of unit norm [corner, corner - 1].

    >>> simplex(2).tolist()
    [[-1.0], [1.0]]

    Raises:
        InputError: for fewer than two.
    """
    if corners < 2:
        raise InputError(f"expected at least 2 classes, got {corners}")
    found = np.zeros((corners, corners - 1))
    for axis in range(corners - 1):  # each new corner goes up, all later ones as far down
        rest = corners - axis
        height = math.sqrt(1.0 - float(found[axis] @ found[axis]))
        found[axis, axis] = -height
        found[axis + 1 :, axis] = height / (rest - 1)
    return found
