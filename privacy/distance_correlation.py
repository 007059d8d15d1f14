"""Distance correlation as a penalty on what the messages' geometry tells (NoPeek). No guarantee."""

from dataclasses import dataclass

import torch
from torch import Tensor

from privacy.checks import positive

# Squared correlations below this are rounding, and stand for none: the root's gradient is finite.
FLOOR = 1e-14


@dataclass(frozen=True)
class DistanceCorrelation:
    """Adds `weight` times the distance correlation of inputs and messages to a client's loss.

    Guarantee: none. The penalty lowers a correlation over a batch; it bounds nothing about any
    one record. A `weight` that is zero, negative, infinite or NaN is a `ValueError`.

    Reference: Vepakomma, Singh, Gupta, Raskar (2020), "NoPeek: information leakage reduction to
    share activations in distributed deep learning".
    """

    weight: float

    def __post_init__(self) -> None:
        """Check every field."""
        positive("weight", self.weight)

    def penalty(self, x_distances: Tensor, a: Tensor) -> Tensor:
        """The term to add to the loss, a scalar: `weight` times `distance_correlation`."""
        return self.weight * distance_correlation(x_distances, a)


def distance_correlation(x_distances: Tensor, a: Tensor) -> Tensor:
    """The sample distance correlation, from 0 to 1, a differentiable scalar in the type of `a`.

    The biased (V-statistic) one, and the root, not the square. Computed in float64. `x_distances`
    `[n, n]` are the distances between the inputs, taken as given; `a` `[n, value]` are the
    messages, one row per input, compared in L2. 1 means that one is the other but for a shift, a
    rotation and a scale.

    | input | outcome |
    |---|---|
    | n of 0 or 1, or all rows alike, or all inputs | 0, gradient 0 |
    | n of 2, the two different | 1, gradient 0 |
    | some rows alike | a finite gradient |
    | shapes that do not match, or a value that is not finite | `ValueError` |

    Raises:
        ValueError: as in the table.

    Reference: Székely, Rizzo, Bakirov (2007), "Measuring and testing dependence by correlation of
    distances", definitions 4 and 5.
    """
    n = len(a) if a.ndim else 0
    if a.ndim != 2 or x_distances.shape != (n, n):
        raise ValueError(
            f"expected x_distances [n, n] and a [n, value], "
            f"got shapes {list(x_distances.shape)} and {list(a.shape)}"
        )
    for name, values in (("x_distances", x_distances), ("a", a)):
        if not bool(torch.isfinite(values).all()):
            raise ValueError(f"expected {name} of finite values, got some that are not")
    rows = a.double()
    # Without the detour over inner products, which is inexact where rows are close.
    distances = torch.cdist(rows, rows, compute_mode="donot_use_mm_for_euclid_dist")
    of_x = _centred(x_distances.to(rows))
    of_a = _centred(distances)
    covariance = (of_x * of_a).sum()
    variances = of_x.square().sum() * of_a.square().sum()
    measured = variances > 0
    squared = covariance / torch.where(measured, variances, 1.0).sqrt()
    correlated = measured & (squared > FLOOR)
    root = torch.where(correlated, squared, 1.0).sqrt()
    return torch.where(correlated, root, 0.0).to(a.dtype)


def _centred(distances: Tensor) -> Tensor:
    """Distances `[n, n]` less the means of their row and column, plus the mean of all."""
    by_row = distances.mean(dim=1, keepdim=True)
    by_column = distances.mean(dim=0, keepdim=True)
    return distances - by_row - by_column + distances.mean()
