"""Blind baseline: if members can be told without the model, the pool is shifted."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from scipy import sparse

from evaluation.metrics.candidate_clusters import halves
from evaluation.metrics.intervals import repeated
from evaluation.metrics.membership import auc
from fedbert.errors import expect
from reports.estimate import Estimate

LEAST = 10  # candidates on a side
ALARM = 1e-4  # how often a pool dealt by a fair coin is called shifted


def blind_baseline(
    texts: Sequence[np.ndarray],
    labels: np.ndarray,
    members: np.ndarray,
    rng: np.random.Generator,
    clusters: np.ndarray | None = None,
) -> tuple[Estimate, bool]:
    """Return the AUC of a classifier that sees texts and labels alone, and whether it is no chance.

    texts: token ids [seq] of each candidate; labels [candidate]; members [candidate] bool.
    Words and pairs of words, weighted by TF-IDF, and the label, in a logistic regression. It is
    fitted to one random half and judged on the other: were each half judged by the other, every
    pair of like texts would count twice, and the interval would be too narrow. clusters [candidate]
    int: candidates of one number depend on each other, and are in one half.

    Raises:
        InputError: for fewer than LEAST candidates, or clusters of them, on a side.
    """
    from sklearn.feature_extraction.text import TfidfTransformer
    from sklearn.linear_model import LogisticRegression

    clusters = repeated(clusters)
    least = units(members, clusters)
    expect(least >= LEAST, f"{LEAST} candidates a side", "candidates", least)
    counts = _counts(texts, labels)
    test = _judged(members, rng, clusters)
    weights = TfidfTransformer(sublinear_tf=True).fit(counts[~test])
    model = LogisticRegression(max_iter=1000, class_weight="balanced")
    model.fit(weights.transform(counts[~test]), members[~test])
    scores = model.decision_function(weights.transform(counts[test]))
    both = scores[members[test]], scores[~members[test]]  # members', non-members'
    own = None if clusters is None else (clusters[test & members], clusters[test & ~members])
    shifted = auc(*both, confidence=1 - 2 * ALARM, clusters=own).low > 0.5
    return auc(*both, clusters=own), shifted


def units(members: np.ndarray, clusters: np.ndarray | None) -> int:
    """Return how many candidates, or clusters of them, the smaller side has."""
    counted = np.arange(len(members)) if clusters is None else clusters
    return min(len(np.unique(counted[side])) for side in (members, ~members))


def _judged(
    members: np.ndarray, rng: np.random.Generator, clusters: np.ndarray | None
) -> np.ndarray:
    """Return which candidates are judged [candidate] bool: half of each side, clusters whole."""
    test = np.zeros(len(members), dtype=bool)
    if clusters is None:
        for each in (np.flatnonzero(members), np.flatnonzero(~members)):
            test[rng.permutation(each)[: len(each) // 2]] = True
        return test
    test[members], test[~members] = halves((clusters[members], clusters[~members]), rng)
    return test


def _counts(texts: Sequence[np.ndarray], labels: np.ndarray) -> sparse.csr_matrix:
    """Return how often each word, pair of words and label occurs [candidate, feature]."""
    column: dict[tuple[object, ...], int] = {}
    rows, columns = [], []
    for row, (tokens, label) in enumerate(zip(texts, labels.tolist(), strict=True)):
        words = tokens.tolist()
        found = [(word,) for word in words] + list(pairwise(words))
        for each in (*found, ("label", label)):
            rows.append(row)
            columns.append(column.setdefault(each, len(column)))
    shape = (len(texts), len(column))
    return sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)
