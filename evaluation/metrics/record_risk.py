"""Risk of single records: their losses' spread, their leverage on the head, and who is found."""

import math

import numpy as np

from evaluation.metrics.intervals import clopper_pearson
from fedbert.errors import InputError, expect
from reports.estimate import Estimate

LEAST = 3  # losses of a record, for a spread of them
RIDGE = 1e-3  # of the mean eigenvalue
TOP = 0.01


def loss_iqr(who: np.ndarray, losses: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the interquartile range of each record's losses over a training, and their number.

    who [visit] int: records 0 ... count - 1; losses [visit]: nats, or squared errors. Both results
    are [record]; the range is NaN of fewer than LEAST losses.

    Reference: Pollock, Shilov, Dodd, de Montjoye (2025), "Free record-level privacy risk evaluation
    through artifact-based methods", LT-IQR.

    >>> loss_iqr(np.array([0, 0, 0, 0, 1]), np.array([4.0, 3.0, 2.0, 0.0, 1.0]), 2)
    (array([1.75,  nan]), array([4, 1]))
    """
    visits = np.bincount(who, minlength=count)
    expect(len(visits) == count, f"records below {count}", "who", len(visits) - 1)
    found = np.full(count, np.nan)
    own = np.split(np.asarray(losses)[np.argsort(who, kind="stable")], np.cumsum(visits)[:-1])
    for record in np.flatnonzero(visits >= LEAST):
        low, high = np.quantile(own[record], (0.25, 0.75))
        found[record] = high - low
    return found, visits


def leverage(inputs: np.ndarray, logits: np.ndarray | None) -> np.ndarray:
    """Return how far each record holds the head's last layer where it is [record], from 0 on.

    inputs [record, hidden]: what that layer reads of the records trained on; logits [record,
    class], None for a score. It is the diagonal of the hat matrix, X (X' W X + r I)^-1 X' W, of X =
    (inputs, 1): W is 1 for a score, else p (1 - p) of one class against the rest, and a record's
    leverage is the sum over classes. The ridge r is RIDGE of the mean eigenvalue.

    Reference: Pregibon (1981), "Logistic regression diagnostics", section 2.
    """
    x = np.column_stack([inputs, np.ones(len(inputs))]).astype(np.float64)
    weights = np.ones((len(x), 1))
    if logits is not None:
        p = np.exp(logits - logits.max(1, keepdims=True))
        p /= p.sum(1, keepdims=True)
        weights = p * (1 - p)
        weights = weights[:, 1:] if weights.shape[1] == 2 else weights  # two are one
    found = np.zeros(len(x))
    for w in weights.T:
        information = x.T @ (x * w[:, None])
        information += np.eye(len(information)) * (RIDGE * np.trace(information) / len(information))
        if np.trace(information) > 0:
            found += w * np.einsum("ij,ji->i", x, np.linalg.solve(information, x.T))
    return found


def order_of(scores: np.ndarray) -> np.ndarray:
    """Return the records from the highest score down [record]; those without one come last."""
    return np.argsort(-np.where(np.isnan(scores), -np.inf, scores), kind="stable")


def found_at(scores: np.ndarray, non_members: np.ndarray, fpr: float) -> np.ndarray:
    """Return which records score above all but a share `fpr` of the non-members [record] bool.

    Raises:
        InputError: for fewer non-members than one may be accused of.
    """
    spared = math.floor(fpr * len(non_members))
    if spared < 1:
        raise InputError(f"expected {math.ceil(1 / fpr)} non-members, got {len(non_members)}")
    threshold = np.sort(non_members)[::-1][spared]
    return np.asarray(scores > threshold)


def precision_at(
    scores: np.ndarray, found: np.ndarray, share: float = TOP
) -> tuple[Estimate, float]:
    """Return which share of the highest scored records was found, and which share of all was.

    scores [record], found [record] bool; the interval is Clopper and Pearson's for the records on
    top, given what was found.

    Raises:
        InputError: where no record has a score.
    """
    scored = ~np.isnan(scores)
    if not scored.any():
        raise InputError("expected scored records, got none")
    own, told = scores[scored], found[scored]
    top = max(1, round(share * len(own)))
    hits = int(told[order_of(own)[:top]].sum())
    low, high = clopper_pearson(hits, top)
    estimate = Estimate(hits / top, low, high, top, method="Clopper-Pearson")
    return estimate, float(told.mean())
