"""Server's learner: class means out of noised messages, and a linear head from them.

A message says too little by itself; the mean of all says the mean of each class, with noise whose
size is known. The spread within a class is taken from public text: what noise adds to an estimate
of it would have to be taken off again, and that made worse heads throughout. Noise on the rows thus
neither shrinks the weights nor decides the intercept, as it does in a regression on noised rows.
"""

from dataclasses import dataclass

import numpy as np

from fedbert.one_message.codes import Codes

SUREST = 15.0
"""The largest logit of any row, of norm 1 at most. Noise makes means lie far apart, and the losses
of a head that is surer than its answers are good would no longer fit float32."""
LEAST_SHARE = 0.05
"""A class that seems rarer is taken to be as rare as this: noise may make a share negative."""


@dataclass(frozen=True)
class Moments:
    """Means over all records: of codes [value], of rows [direction], of their outer product."""

    code: np.ndarray
    row: np.ndarray
    product: np.ndarray  # [value, direction]


@dataclass(frozen=True)
class LinearHead:
    """weight [output, direction] and bias [output] of rows: logits of classes, or a score."""

    weight: np.ndarray
    bias: np.ndarray


def linear_head(
    moments: Moments, covariance: np.ndarray, codes: Codes, likeness: np.ndarray | None = None
) -> LinearHead:
    """Return the head that moments say, given the spread of rows [direction, direction].

    Classes: a linear discriminant in which all classes count alike, whatever their shares. Scores:
    the least-squares line. likeness [direction]: where scores publicly rise; see `rising`.
    """
    if codes.corners is None:
        slope = np.linalg.solve(covariance, (moments.product - _apart(moments)).T).T
        if likeness is not None:
            slope = rising(slope, covariance, likeness)
        half = (codes.high - codes.low) / 2
        middle = codes.low + half * (1 + moments.code - slope @ moments.row)
        return LinearHead(half * slope, middle)
    means = class_means(moments, codes.corners)
    weight = np.linalg.solve(covariance, means.T).T
    bias = -0.5 * (weight * means).sum(1)
    weight, bias = weight - weight.mean(0), bias - bias.mean()  # the same answers, smaller numbers
    surest = (np.linalg.norm(weight, axis=1) + np.abs(bias)).max()
    scale = min(1.0, SUREST / max(surest, 1e-300))
    return LinearHead(scale * weight, scale * bias)


def rising(slope: np.ndarray, covariance: np.ndarray, likeness: np.ndarray) -> np.ndarray:
    """Return slopes [score, direction] that fall by noise alone, turned to rise by as much.

    likeness [direction]: the covariance of public rows with how alike their pairs are. Of a slope
    it says how the score goes with likeness; whatever else the slope says is left as it is.

    >>> rising(np.array([[-2.0, 1.0]]), np.eye(2), np.array([0.5, 0.0])).tolist()
    [[2.0, 1.0]]
    """
    along = np.linalg.solve(covariance, likeness)
    falls = np.minimum(slope @ likeness / (likeness @ along), 0.0)
    found: np.ndarray = slope - 2.0 * falls[:, None] * along
    return found


def class_means(moments: Moments, corners: np.ndarray) -> np.ndarray:
    """Return the mean row of each class [class, direction].

    Shares and sums of classes follow from the moments, as codes of classes are affinely
    independent.
    """
    system = np.vstack([corners.T, np.ones(len(corners))])  # [value + 1, class]
    shares = np.linalg.solve(system, np.append(moments.code, 1.0))
    sums = np.linalg.solve(system, np.vstack([moments.product, moments.row]))
    shares = np.maximum(shares, LEAST_SHARE)
    means: np.ndarray = sums / (shares / shares.sum())[:, None]
    return means


def _apart(moments: Moments) -> np.ndarray:
    """Return the product of codes and rows that had nothing to do with each other."""
    return np.outer(moments.code, moments.row)
