"""Client membership: scores of records, gathered by client."""

import numpy as np


def by_client(scores: np.ndarray, owners: np.ndarray) -> np.ndarray:
    """Return one score per client [client]: the mean of its examples', in the order of its number.

    scores, owners [candidate]: an attack's scores, and whose example each candidate is.

    Threat model: an adversary who holds examples of a client, all of them in the training or none.
    Means of many weak scores can tell what one example cannot.

    Reference: Song, Wang, Zhang, Song, Wang, Ren, Qi (2020), "Analyzing user-level privacy attack
    against federated learning", for the question; the mean is the plain answer.

    >>> by_client(np.array([1.0, 5.0, 3.0]), np.array([7, 2, 7])).tolist()
    [5.0, 2.0]
    """
    _, number = np.unique(owners, return_inverse=True)
    means: np.ndarray = np.bincount(number, weights=scores) / np.bincount(number)
    return means
