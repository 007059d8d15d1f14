"""Metrics of attributes that were inferred: accuracy and, of two values, AUC, beside chance."""

from collections.abc import Iterator

import numpy as np

from evaluation.metrics.intervals import share
from evaluation.metrics.membership import EVEN, auc
from reports.estimate import Estimate


def inferred(
    logs: np.ndarray, known: np.ndarray, truth: np.ndarray
) -> Iterator[tuple[str, Estimate, float]]:
    """Yield each metric of inferred attributes with its estimate and chance.

    logs [record, value]: log-probabilities of the sorted `known` values [value]; truth [record].
    The chance of accuracy is the share of the most frequent value among these records: no guess
    that looks at no vector reaches more. AUC: where both have two values.
    """
    right = known[logs.argmax(1)] == truth
    _, counts = np.unique(truth, return_counts=True)
    most = float(counts.max() / len(truth))
    yield "attribute_accuracy", share(int(right.sum()), len(truth)), most
    if len(known) == 2 and len(counts) == 2 and counts.min() > 1 and set(known) == set(truth):
        second = truth == known[1]
        scores = logs[:, 1] - logs[:, 0]
        yield "attribute_auc", auc(scores[second], scores[~second]), EVEN["auc"]
