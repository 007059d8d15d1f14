"""Robust averages: what stands for a round's updates where some of them may be anything.

A breakdown point is the share of clients that have to collude to move the average as far as they
like. None of these has the sensitivity of a mean: under a mechanism on the sum they are refused.
All are of values `[client, value]` or of their distances; clients count alike, but under
`shortened`.
"""

import numpy as np

from fedbert.messages import Array


def median(values: Array) -> Array:
    """The median of each value over clients [value] float64.

    Breakdown point: one half.

    Reference: Yin, Chen, Ramchandran, Bartlett (2018), "Byzantine-robust distributed learning:
    towards optimal statistical rates", definition 1.

    >>> median(np.array([[1.0], [2.0], [1e9]]))
    array([2.])
    """
    found: Array = np.median(values.astype(np.float64), axis=0)
    return found


def trimmed_mean(values: Array, share: float) -> Array:
    """The mean of each value over clients without the smallest and the largest [value] float64.

    share: of the clients, cut off at either end, rounded down; one at the least is left.
    Breakdown point: `share`.

    Reference: Yin, Chen, Ramchandran, Bartlett (2018), definition 2.

    >>> trimmed_mean(np.array([[1.0], [2.0], [3.0], [-1e9], [1e9]]), 0.2)
    array([2.])
    """
    count = len(values)
    cut = min(int(share * count + 1e-9), (count - 1) // 2)
    ordered = np.sort(values.astype(np.float64), axis=0)
    found: Array = ordered[cut : count - cut].mean(0)
    return found


def shortened(norms: Array, most: float | None) -> Array:
    """The factor of each client's change, so that none is longer than a bound [client].

    most: the bound; None: the median of the norms [client]. The mean of what is so shortened moves
    by the bound times a client's weight at most. Breakdown point: none under a bound of one's own,
    as no client moves it far in a round, and each a little in every round; one half under the
    median.

    Reference: Sun, Kairouz, Suresh, McMahan (2019), "Can you really backdoor federated learning?",
    section 4.

    >>> shortened(np.array([1.0, 2.0, 8.0]), None)
    array([1.  , 1.  , 0.25])
    """
    bound = float(np.median(norms)) if most is None else most
    factors: Array = np.minimum(1.0, bound / np.maximum(norms, np.finfo(np.float64).tiny))
    return factors


def krum(distances: Array, share: float) -> int:
    """The client whose update lies nearest to most others'.

    distances: squared, between clients [client, client]. share: of the clients, that may be faulty:
    f of n, rounded down; each is judged by its n - f - 2 nearest others, by one at the least.
    Breakdown point: f where n >= 2 f + 3; f is lowered to that.

    Reference: Blanchard, El Mhamdi, Guerraoui, Stainer (2017), "Machine learning with adversaries:
    Byzantine tolerant gradient descent".

    >>> points = np.array([0.0, 0.1, 0.2, 9.0, -9.0])
    >>> krum(np.square(points[:, None] - points), 0.2)
    1
    """
    count = len(distances)
    faulty = max(0, min(int(share * count + 1e-9), (count - 3) // 2))
    others = np.sort(distances, axis=1)[:, 1:]  # the nearest is the client itself
    near = max(1, count - faulty - 2)
    return int(others[:, :near].sum(1).argmin()) if count > 1 else 0
