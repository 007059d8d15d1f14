"""Averaging of client values: weighted and robust averages, and the noised average of updates.

Parameters are named as in transformers' `named_parameters`, which lists a tied one once; so no
second key can overwrite an averaged embedding on load.
"""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch

from fedbert import robust
from fedbert.messages import Array, RowValues, dense
from fedbert.protect import MechanismLog
from fedbert.training_settings import TrainingConfig
from fedbert.witness import Witness
from privacy.correlated_noise import RoundNoise
from privacy.mechanism import Mechanism
from privacy.randomness.draws import Draws
from privacy.randomness.release import add_noise, cut

Values = Mapping[str, Array | RowValues]


class Average(Protocol):
    """Takes in one client after another, holds only sums."""

    def add(self, weight: int, values: Values) -> None:
        """Take in one client's values; weight is its number of examples."""

    def result(self) -> dict[str, Array]:
        """Return the new global values of what was added."""


class Weighted:
    """The average weighted by examples; exact for one client and for identical clients.

    It is over those who came: weights add up to one again where clients are missing. Sums are kept
    in float64. Rows that no client touched cost one multiplication.
    """

    def __init__(self, total: int) -> None:
        """Start a sum over clients who are to hold `total` examples together."""
        self.total, self.came = total, 0
        self._dense: dict[str, Array] = {}
        self._rows: dict[str, _RowSum] = {}
        self._kind: dict[str, np.dtype] = {}

    def add(self, weight: int, values: Values) -> None:
        """Take in one client's values."""
        share = weight / self.total
        self.came += weight
        for name, value in values.items():
            if isinstance(value, RowValues):
                if name not in self._rows:
                    self._rows[name] = _RowSum(value.base)
                self._rows[name].add(share, value)
                continue
            self._kind[name] = value.dtype
            part = value.astype(np.float64)  # in the value's own order: some come transposed
            part *= share
            if name in self._dense:
                self._dense[name] += part
            else:
                self._dense[name] = part

    def result(self) -> dict[str, Array]:
        """Return the average, as read-only arrays of the values' own type."""
        found = {}
        more = self.total / self.came if self.came else 1.0  # of those who came, over all
        while self._dense:  # the sums take twice the room: let each go in its turn
            name, value = self._dense.popitem()
            if more != 1.0:
                value *= more
            found[name] = value.astype(self._kind[name], order="C")
        found |= {n: rows.result(more) for n, rows in self._rows.items()}
        for value in found.values():
            value.flags.writeable = False
        return found


class _RowSum:
    """The weighted sum of `RowValues` over one base."""

    def __init__(self, base: Array) -> None:
        self.base = base
        self.sum = np.zeros(base.shape)  # [row, column]; untouched pages are never filled
        self.own = np.zeros(len(base))  # [row]: sum of share * factor over those who touched it
        self.all = 0.0
        self.touched = np.zeros(len(base), dtype=bool)

    def add(self, share: float, value: RowValues) -> None:
        part = torch.tensor(value.values, dtype=torch.float64)
        index = torch.tensor(value.rows)
        torch.from_numpy(self.sum).index_add_(0, index, part, alpha=share)
        self.own[value.rows] += share * value.factor
        self.all += share * value.factor
        self.touched[value.rows] = True

    def result(self, more: float = 1.0) -> Array:
        rows = np.flatnonzero(self.touched)
        full: Array = self.base * self.base.dtype.type(self.all * more)
        rest = (self.all - self.own[rows])[:, None] * self.base[rows]
        full[rows] = (self.sum[rows] + rest) * more
        return full


class Robust:
    """An average that few clients cannot spoil, by one of the rules of `fedbert.robust`.

    It needs all updates at once: every client's values are held until the round ends.
    """

    def __init__(self, training: TrainingConfig, base: Mapping[str, Array]) -> None:
        """Start a round; base: the values that clients started from."""
        self.training, self.base = training, dict(base)
        self._weights: list[int] = []
        self._values: list[dict[str, Array]] = []

    def add(self, weight: int, values: Values) -> None:
        """Keep one client's values; of T's copies they are views, which change."""
        self._weights.append(weight)
        self._values.append({n: np.array(dense(v)) for n, v in values.items()})

    def result(self) -> dict[str, Array]:
        """Return the average, as read-only arrays of the values' own type; {} of nobody."""
        if not self._values:
            return {}
        shares = self._shares()
        found = {}
        for name, first in self._values[0].items():
            every = np.stack([own[name] for own in self._values])
            if shares is not None:
                start = self.base[name].astype(np.float64)
                new = start + np.tensordot(shares, every - start, axes=1)
            elif self.training.averaging == "median":
                new = robust.median(every)
            else:
                new = robust.trimmed_mean(every, self.training.faulty_share)
            found[name] = new.astype(first.dtype, order="C")
            found[name].flags.writeable = False
        return found

    def _shares(self) -> Array | None:
        """Return what each client's change counts [client]; None where values decide singly."""
        training, count = self.training, len(self._values)
        if training.averaging == "krum":
            apart = [[self._squared(a, b) for b in self._values] for a in self._values]
            chosen = robust.krum(np.array(apart), training.faulty_share)
            picked: Array = np.eye(count)[chosen]
            return picked
        if training.averaging == "norm_bound":
            norms = np.sqrt([self._squared(own, self.base) for own in self._values])
            weights = np.array(self._weights) / sum(self._weights)
            shares: Array = weights * robust.shortened(norms, training.update_norm)
            return shares
        return None

    def _squared(self, one: Mapping[str, Array], other: Mapping[str, Array]) -> float:
        """Return the squared distance between two clients' values."""
        apart = (one[n].astype(np.float64) - other[n] for n in self._values[0])
        return sum(float(np.vdot(each, each)) for each in apart)


class Noised:
    """Old values plus the noised sum of clipped whole updates, over a divisor fixed beforehand.

    Clients weigh the same; every value of every row gets noise, touched or not. The guarantee is
    the mechanism's (see `privacy.dp_fedavg`). Each clipped update is cut to the noise's grid before
    it is summed, so that the sum is exact and cutting moves no two sums apart.
    """

    def __init__(
        self,
        mechanism: Mechanism,
        base: Mapping[str, Array],
        divisor: int,
        draws: Draws,
        noise: RoundNoise | None = None,
    ) -> None:
        """Start a sum of updates away from `base`; base names every trained parameter.

        noise: that of this round, where rounds share noise; None: the mechanism's own, of `draws`.
        """
        self.mechanism = mechanism
        self.base = dict(base)
        self.divisor = divisor
        self.draws, self.noise = draws, noise
        size = sum(v.size for v in self.base.values())
        self._sum = torch.zeros(1, size, dtype=torch.float64)
        self.log = MechanismLog()
        self.witness: Witness | None = None

    def add(self, weight: int, values: Values) -> None:
        """Take in one client's values; its weight plays no part."""
        kind = np.result_type(*(old.dtype for old in self.base.values()))
        flat, start = np.empty(self._sum.shape[1], dtype=kind), 0
        for name, old in self.base.items():  # in place: an update is as large as the model
            piece = flat[start : start + old.size]
            np.subtract(dense(values[name]).ravel(), old.ravel(), out=piece)
            start += old.size
        update = torch.from_numpy(flat)[None]
        clipped = self.mechanism.clip(update)
        self._sum += cut(clipped, self.mechanism.noise_std)
        limit = self.mechanism.clip_norm
        over = limit is not None and float(update.norm()) > limit * (1 + 1e-5)
        self.log += MechanismLog(1, int(over))

    def result(self) -> dict[str, Array]:
        """Return the new values, as read-only arrays of the old ones' type."""
        found, start = {}, 0
        for name, old in self.base.items():  # piece by piece: the sum is as large as the model
            total = self._sum[:, start : start + old.size]
            noised, std = self._noised(total, start)
            noise = std**2 * old.size
            self.log += MechanismLog(signal=float(total.square().sum()), noise=noise)
            change = (noised[0] / self.divisor).numpy().reshape(old.shape)
            found[name] = (old + change).astype(old.dtype)
            found[name].flags.writeable = False
            if self.witness is not None:
                self._tell(name, total[0].numpy(), found[name])
            start += old.size
        if self.witness is not None:
            self.witness.ended()
        return found

    def _tell(self, name: str, total: Array, new: Array) -> None:
        """Let the witness hear what a parameter's new values say of the sum, and the sum."""
        if self.witness is None:
            return
        old = self.base[name]
        moved = (new.astype(np.float64) - old).ravel() * self.divisor
        step = float(np.finfo(old.dtype).eps) * self.divisor
        largest = float(np.abs(old).max(initial=0.0)) + float(np.abs(total).max(initial=0.0))
        self.witness.heard(name, total, moved, step * largest)

    def _noised(self, total: torch.Tensor, start: int) -> tuple[torch.Tensor, float]:
        """Return a part [1, value] of the sum under noise, and the noise's standard deviation."""
        if self.noise is None:
            return self.mechanism.add_noise(total, self.draws), self.mechanism.noise_std
        drawn = self.noise.part(start, start + total.shape[1])[None]
        return add_noise(total, drawn, self.mechanism.noise_std), self.noise.std
