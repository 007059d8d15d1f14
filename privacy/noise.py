"""Noise of a mechanism as a value: what whoever knows the mechanism knows of its noise."""

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from torch import Tensor

from privacy.checks import one_of

Kind = Literal["none", "gaussian", "laplace", "metric", "unknown"]

KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True)
class NoiseModel:
    """What a mechanism does to a clipped row besides the clip, as it states it itself.

    | kind | the noise on a row |
    |---|---|
    | none | nothing is added |
    | gaussian | normal, in the same way in all directions, after `basis` where there is one |
    | laplace | an independent Laplace value on every coordinate; the clip is in L1 |
    | metric | density proportional to exp(-eta |z|) over the whole row |
    | unknown | any other: no attack may take it for one of the above |

    `std` is its root mean square on each value. `basis` `[value, dimension]` is a public map of
    a row after which the noise is the same in all directions: what a mechanism projects to, or what
    undoes its covariance. `dropout` is the rate at which the mechanism sets values to zero, the
    others scaled by 1 / (1 - dropout). `independent` is False where the errors of different rows
    are no independent draws: rounding, or tokens whose noise is correlated.

    Raises:
        ValueError: an unknown kind; `std` negative or infinite, 0 with noise or above 0 without
            (of unknown noise it may be either); `dropout` not at least 0 and below 1; a `basis`
            that is no matrix, or for other noise than Gaussian.
    """

    kind: Kind = "none"
    std: float = 0.0
    dropout: float = 0.0
    basis: Tensor | None = field(default=None, compare=False)
    independent: bool = True

    def __post_init__(self) -> None:
        """Check every field."""
        one_of("kind", self.kind, KINDS)
        if not 0 <= self.std < math.inf:
            raise ValueError(f"expected a finite std >= 0, got std={self.std}")
        if self.kind != "unknown" and (self.std > 0) == (self.kind == "none"):
            raise ValueError(f"expected std > 0 where there is noise, got {self.kind} {self.std}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"expected 0 <= dropout < 1, got dropout={self.dropout}")
        if self.basis is not None and (self.kind != "gaussian" or self.basis.ndim != 2):
            shape = list(self.basis.shape)
            raise ValueError(f"expected a matrix for Gaussian noise, got {self.kind} basis={shape}")
