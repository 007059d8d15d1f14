"""Gaussian noise with a row and a column covariance on whole sequences (DP-Forward)."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TypedDict, Unpack

import numpy as np
import torch
from torch import Tensor

from privacy.calibration import multiplier_beside
from privacy.checks import positive, whole
from privacy.events import GaussianEvent
from privacy.mechanism import Cost, Unit, clip_rows
from privacy.noise import NoiseModel
from privacy.randomness.draws import Draws
from privacy.randomness.release import add_gaussian, add_noise
from privacy.randomness.source import public
from privacy.risk import Target
from privacy.rows import checked_rows

WIDEST_SPREAD = 1e6  # beyond, rounding in float64 would show in the least noisy direction
ROWS, COLUMNS, PROJECTION = range(3)  # which matrix a seed is for


class Shape(TypedDict, total=False):
    """Fields of `MatrixGaussian` that say how its noise spreads over tokens and features."""

    row_spread: float
    column_spread: float
    keep: int | None
    basis_seed: int


@dataclass(frozen=True)
class MatrixGaussian:
    """Clips each sequence to `clip_norm` and adds matrix Gaussian noise, optionally projected.

    A record is a sequence `[seq, width]` laid out as one row, seq at most `length`. The noise is
    s R G K^T with G of independent standard normals; R `[length, length]`, cut to its first seq
    rows, mixes tokens and K `[width, width]` mixes features. Both are symmetric, with a public
    random basis (from `basis_seed`) and singular values spaced geometrically from exactly 1 to
    `row_spread` and `column_spread`; s = noise_multiplier * 2 * clip_norm. Spreads of 1 are
    independent noise.

    With `keep`, each token is first projected to `keep` dimensions by a public matrix P
    `[width, keep]` with orthonormal columns, noised there (K is `[keep, keep]`) and lifted back by
    P^T: x -> (x P + noise) P^T.

    Guarantee: replace-one sequence, for each release, with the noise multiplier of independent
    noise at the *smallest* standard deviation in any direction. Why: the noise's covariance, of
    the sequence laid out as a vector, is s^2 (R R^T) x (K K^T), a Kronecker product whose
    eigenvalues are the products of those of its factors, so none is below s^2. Multiplying by the
    inverse root of the covariance (which an adversary can do, and undo) leaves independent noise
    of deviation 1 and makes of a difference of at most 2 * clip_norm one of at most
    2 * clip_norm / s = 1 / noise_multiplier. The first seq rows of R give the leading block of
    R R^T, whose eigenvalues lie between the smallest and the largest of the whole (Cauchy's
    interlacing), so a shorter sequence is no worse off. P lengthens no vector, and P^T comes after
    the noise. The matrices are public and chosen before any record was seen. `clip` must come
    before `add_noise`, on one row per sequence.

    | input | outcome |
    |---|---|
    | `clip_norm` or `noise_multiplier` zero, negative, infinite or NaN | `ValueError` |
    | `width`, `length` no integer >= 1; `keep` not one from 1 to width - 1 | `ValueError` |
    | a spread below 1 or above 1e6; a negative `basis_seed` | `ValueError` |
    | rows that are not a multiple of `width`, or more than `length` tokens | `ValueError` |
    | records with NaN or infinity, to `clip` or `add_noise` | `ValueError` that names how many |
    | a row of zeros | clipped to zeros, then noised like any other |

    Reference: Du, Yue, Chow, Wang, Huang, Sun (2023), "DP-Forward: fine-tuning and inference on
    language models with differential privacy in forward pass", section 4, for the mechanism.
    """

    clip_norm: float
    noise_multiplier: float
    width: int
    length: int
    row_spread: float = 1.0
    column_spread: float = 1.0
    keep: int | None = None
    basis_seed: int = 0

    def __post_init__(self) -> None:
        """Check every field."""
        for name in ("clip_norm", "noise_multiplier"):
            positive(name, getattr(self, name))
        for name in ("width", "length"):
            whole(name, getattr(self, name))
            positive(name, getattr(self, name))
        for name in ("row_spread", "column_spread"):
            if not 1.0 <= getattr(self, name) <= WIDEST_SPREAD:
                raise ValueError(
                    f"expected 1 <= {name} <= {WIDEST_SPREAD:g}, got {name}={getattr(self, name)}"
                )
        whole("basis_seed", self.basis_seed)
        if self.keep is not None:
            whole("keep", self.keep)
            if not 1 <= self.keep < self.width:
                raise ValueError(
                    f"expected 1 <= keep < width={self.width} or no keep, got keep={self.keep}"
                )

    @classmethod
    def calibrated(
        cls,
        target: Target,
        delta: float,
        clip_norm: float,
        width: int,
        length: int,
        releases: int = 1,
        beside: float = 0.0,
        **shape: Unpack[Shape],
    ) -> "MatrixGaussian":
        """The mechanism with the least noise for which `releases` releases meet the target.

        beside: as for `Gaussian`.

        >>> even = MatrixGaussian.calibrated(8.0, 1e-5, clip_norm=1.0, width=4, length=3)
        >>> round(even.noise_std, 6)
        1.200458

        Raises:
            ValueError: an epsilon not positive and finite, delta not strictly between 0 and
                1, releases below 1, or a field out of range.
        """
        return cls(
            clip_norm=clip_norm,
            noise_multiplier=multiplier_beside(target, delta, releases, beside),
            width=width,
            length=length,
            **shape,
        )

    @property
    def unit(self) -> Unit:
        """A sequence: one row is all values of one sequence."""
        return "sequence"

    @property
    def smallest_std(self) -> float:
        """Standard deviation of the noise in its least noisy direction, on which cost rests."""
        return self.noise_multiplier * 2.0 * self.clip_norm

    @property
    def noise_std(self) -> float:
        """Root mean square of the noise on each value, over sequences of `length` tokens.

        With `keep`, of the noise as lifted back: keep of `width` directions carry any.
        """
        dimensions = self.keep or self.width
        rows = float(np.mean(_spectrum(self.length, self.row_spread) ** 2))
        columns = float(np.mean(_spectrum(dimensions, self.column_spread) ** 2))
        return self.smallest_std * math.sqrt(rows * columns * dimensions / self.width)

    def row_factor(self, seq: int) -> Tensor:
        """A matrix F `[seq, seq]` with F F^T the tokens' covariance: the leading block of R R^T.

        It is the lower triangular factor, so that a short sequence takes few draws; the noise has
        the distribution of the first seq rows of R G. Float64.
        """
        if not 0 <= seq <= self.length:
            raise ValueError(f"expected at most length={self.length} tokens, got seq={seq}")
        factor = _triangular(self.length, float(self.row_spread), self.basis_seed)
        return torch.from_numpy(factor[:seq, :seq].copy())

    @property
    def column_factor(self) -> Tensor:
        """K `[width, width]`, or `[keep, keep]`: K K^T is the features' covariance. Float64."""
        size = self.keep or self.width
        return torch.from_numpy(
            _symmetric(size, float(self.column_spread), self.basis_seed, COLUMNS).copy()
        )

    @property
    def projection(self) -> Tensor | None:
        """P `[width, keep]`, float64, with orthonormal columns; None without `keep`."""
        if self.keep is None:
            return None
        basis = _orthonormal(self.width, self.basis_seed, PROJECTION)
        return torch.from_numpy(basis[:, : self.keep].copy())

    def clip(self, records: Tensor) -> Tensor:
        """The rows `[record, seq * width]`, each with an L2 norm of at most `clip_norm`."""
        return clip_rows(records, self.clip_norm)

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        """The records plus fresh noise, projected and lifted back if `keep` says so."""
        checked_rows(records)
        if records.shape[1] % self.width:
            raise ValueError(
                f"expected rows of a multiple of width={self.width} values, got {records.shape[1]}"
            )
        seq = records.shape[1] // self.width
        factor = self.row_factor(seq)  # refuses a sequence that is too long
        projection = self.projection
        if projection is None:
            if self.row_spread == self.column_spread == 1.0:
                return add_gaussian(records, self.smallest_std, draws)
            noise = self._noise(factor, len(records), draws).flatten(1)
            return add_noise(records, noise, self.smallest_std)
        projection = projection.to(records.device)
        tokens = records.double().view(len(records), seq, self.width)
        noise = self._noise(factor, len(records), draws).to(records.device)
        sent = add_noise(tokens @ projection, noise, self.smallest_std)  # [record, seq, keep]
        return (sent @ projection.T).reshape(records.shape).to(records.dtype)

    def noise_model(self) -> NoiseModel:
        """Gaussian noise, with the map `[width, dimension]` that undoes the features' covariance.

        The map projects first where `keep` says so. That tokens' noise is correlated, where
        `row_spread` says so, it leaves as it is.
        """
        basis = None
        if self.keep is not None or self.column_spread != 1.0:
            whitening = torch.linalg.inv(self.column_factor).T
            projection = self.projection
            basis = whitening if projection is None else projection @ whitening
        alone = self.row_spread == 1.0
        return NoiseModel("gaussian", self.noise_std, basis=basis, independent=alone)

    def cost(self) -> Cost | None:
        """One Gaussian release, replace-one, at the smallest standard deviation."""
        return Cost(GaussianEvent(self.noise_multiplier), "sequence", "replace-one")

    def _noise(self, row_factor: Tensor, records: int, draws: Draws) -> Tensor:
        """The noise `[record, seq, width or keep]` in float64."""
        noise = draws.gaussian((records, len(row_factor), self.keep or self.width))
        if self.column_spread != 1.0:
            noise = noise @ self.column_factor.T
        if self.row_spread != 1.0:
            noise = row_factor @ noise
        return noise.mul_(self.smallest_std)


def _spectrum(size: int, spread: float) -> np.ndarray:
    """Singular values `[size]` from exactly 1 to `spread`, each the same multiple of the last."""
    return np.geomspace(1.0, spread, size)


@lru_cache(maxsize=8)
def _orthonormal(size: int, seed: int, which: int) -> np.ndarray:
    """A random orthonormal basis `[size, size]`, the same for the same arguments."""
    normal = public("matrix gaussian basis", seed, which).gaussian((size, size)).numpy()
    basis, triangle = np.linalg.qr(normal)
    return np.asarray(basis * np.sign(np.diag(triangle)))


@lru_cache(maxsize=8)
def _symmetric(size: int, spread: float, seed: int, which: int) -> np.ndarray:
    """The symmetric positive definite matrix `[size, size]` of that spread in a random basis."""
    if spread == 1.0:
        return np.eye(size)
    basis = _orthonormal(size, seed, which)
    return np.asarray((basis * _spectrum(size, spread)) @ basis.T)


@lru_cache(maxsize=8)
def _triangular(size: int, spread: float, seed: int) -> np.ndarray:
    """Lower triangular F `[size, size]` with F F^T = R R^T, as R = F Q with Q orthonormal."""
    _, upper = np.linalg.qr(_symmetric(size, spread, seed, ROWS).T)
    return np.ascontiguousarray(upper.T)
