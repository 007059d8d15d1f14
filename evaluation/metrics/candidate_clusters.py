"""Clusters among candidates: by how much what repeats (a first text, a person) widens an interval.

A design effect is the variance of a number over clusters, over that of independent candidates. Here
it is never below 1: what repeats widens an interval and narrows none.

Reference: Kish (1965), for the design effect; Obuchowski (1997), for the AUC's.
"""

import numpy as np
from scipy import special

Sides = tuple[np.ndarray, np.ndarray]
"""Something of each member, and of each other candidate: as [member], [non-member]."""

TAIL = 0.1  # of a side's scores: where few are above a threshold, these tell how they belong


def most_effect(clusters: np.ndarray) -> float:
    """Return the design effect where all candidates of a cluster stand and fall together.

    >>> most_effect(np.array([3, 5, 5]))
    1.6666666666666667
    """
    counts = np.unique(clusters, return_counts=True)[1]
    return float((counts**2).sum() / counts.sum())


def joint_effect(values: Sides, clusters: Sides) -> float:
    """Return the design effect of the sum of both sides' means of values, at least 1.

    A cluster may have candidates on both sides. Where no value differs from its side's mean, as
    when every member is told, clusters count as candidates.
    """
    off = [side - side.mean() for side in values]
    found = _effect(np.concatenate([each / len(each) for each in off]), np.concatenate(clusters))
    return max(map(most_effect, clusters)) if found is None else max(1.0, found)


def share_effect(hits: np.ndarray, clusters: np.ndarray) -> float:
    """Return the design effect of a share of hits [candidate] bool, from 1 to `most_effect`."""
    found, most = _effect(hits - hits.mean(), clusters), most_effect(clusters)
    return most if found is None else min(most, max(1.0, found))


def tail_effect(scores: np.ndarray, threshold: float, clusters: np.ndarray) -> float:
    """Return the design effect of the share of scores above a threshold, from 1 to `most_effect`.

    A handful above it cannot tell how they belong together, so that the upper tenth of the scores
    has a say as well: the larger effect counts.
    """
    upper = np.quantile(scores, 1 - TAIL)
    return max(share_effect(scores > each, clusters) for each in (threshold, upper))


def first_of_each(values: Sides, clusters: Sides) -> tuple[Sides, Sides]:
    """Return the values of each cluster's first candidate on each side, and these clusters."""
    first = [np.sort(np.unique(side, return_index=True)[1]) for side in clusters]
    return (
        (values[0][first[0]], values[1][first[1]]),
        (clusters[0][first[0]], clusters[1][first[1]]),
    )


def halves(clusters: Sides, rng: np.random.Generator) -> Sides:
    """Return which candidates are in a random half [member] bool, [non-member] bool.

    A cluster falls whole. Those with members alone, with others alone and with both are halved
    each, so that both halves have both sides wherever that can be.
    """
    names = [np.unique(side) for side in clusters]
    every = rng.permutation(np.union1d(*names))
    sides = 2 * np.isin(every, names[0]) + np.isin(every, names[1])
    drawn = every[np.argsort(sides, kind="stable")][::2]
    return np.isin(clusters[0], drawn), np.isin(clusters[1], drawn)


def _effect(off: np.ndarray, clusters: np.ndarray) -> float | None:
    """Return the design effect of a sum of values about their mean; None where it cannot be told.

    Widened as Student's t is beside the normal law, for as many clusters.
    """
    names, place = np.unique(clusters, return_inverse=True)
    plain = float((off**2).sum())
    if len(names) < 2 or plain == 0:
        return None
    sums = np.bincount(place, weights=off)
    wider = float(special.stdtrit(len(names) - 1, 0.975) / special.ndtri(0.975)) ** 2
    return float((sums**2).sum()) / plain * wider
