"""Mechanisms whose noise breaks on the way, for a live audit to find. For nothing else."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from privacy.dp_fedavg import DPFedAvg
from privacy.dp_sgd.uses import Summed
from privacy.randomness.draws import Draws

Sums = Callable[[Mapping[str, Tensor], Mapping[str, Summed], float, Draws], None]


@dataclass(frozen=True)
class Breaking(DPFedAvg):
    """DP-FedAvg that knows the round by its draws: each round has its own."""

    heard: list[Draws] = field(default_factory=list, compare=False)
    kept: list[Tensor] = field(default_factory=list, compare=False)
    place: list[int] = field(default_factory=lambda: [0], compare=False)

    def round_of(self, draws: Draws) -> int:
        """Return the round, from 1."""
        if not self.heard or self.heard[-1] is not draws:
            self.heard.append(draws)
            self.place[0] = 0
        return len(self.heard)

    def add_noise(self, records: Tensor, draws: Draws) -> Tensor:
        """As DP-FedAvg, until it breaks."""
        number = self.round_of(draws)
        return self.broken(number, records, super().add_noise(torch.zeros_like(records), draws))

    def broken(self, number: int, records: Tensor, noise: Tensor) -> Tensor:
        """Return the records under sound noise."""
        return records + noise


@dataclass(frozen=True)
class HalvedFromRound5(Breaking):
    """Half of the noise from round 5 on."""

    def broken(self, number: int, records: Tensor, noise: Tensor) -> Tensor:
        return records + (noise / 2 if number >= 5 else noise)


@dataclass(frozen=True)
class ReusedFromRound3(Breaking):
    """The noise of round 3 again in every round after it."""

    def broken(self, number: int, records: Tensor, noise: Tensor) -> Tensor:
        if number < 3:
            return records + noise
        if number == 3:
            self.kept.append(noise)
            return records + noise
        self.place[0] += 1
        return records + self.kept[self.place[0] - 1]


@dataclass(frozen=True)
class UnclippedFromRound5(Breaking):
    """Nothing is clipped any more from round 5 on: sound noise, on sums of any length."""

    def clip(self, records: Tensor) -> Tensor:
        return records if len(self.heard) >= 4 else super().clip(records)


@dataclass(frozen=True)
class OneValueBare(Breaking):
    """The first value of every parameter gets no noise."""

    def broken(self, number: int, records: Tensor, noise: Tensor) -> Tensor:
        noise.view(-1)[0] = 0.0
        return records + noise


@dataclass(frozen=True)
class OneSeedForAll(Breaking):
    """Every parameter of a round gets the same noise, as far as it goes."""

    def broken(self, number: int, records: Tensor, noise: Tensor) -> Tensor:
        drawn = torch.Generator().manual_seed(number)
        return records + self.noise_std * torch.randn(records.shape, generator=drawn).to(records)


BROKEN: dict[str, tuple[type[Any], int, str]] = {
    "halved": (HalvedFromRound5, 5, "noise smaller than claimed"),
    "reused": (ReusedFromRound3, 4, "in an earlier release"),
    "bare": (OneValueBare, 1, "values without noise"),
    "one seed": (OneSeedForAll, 1, "in another parameter"),
}
"""By name: the mechanism, the first round that is faulty, and what is said of it."""


def broken_sums(sound: Sums, first: int, share: float | None) -> Sums:
    """Return DP-SGD's noise as it breaks at the call `first`, from 1: a share of it, or used again.

    share: of the noise that is left; None: that of the call before comes again. Each party's
    tensors have shapes of their own, by which their noise is kept.
    """
    kept: dict[Any, Tensor] = {}
    calls = [0]

    def broken(
        out: Mapping[str, Tensor], sums: Mapping[str, Summed], std: float, draws: Draws
    ) -> None:
        calls[0] += 1
        faulty = calls[0] >= first
        noise = {name: torch.zeros_like(room) for name, room in out.items()}
        sound(noise, {}, std, draws)
        for name, room in out.items():
            summed, own = sums.get(name), noise[name]
            before = kept.setdefault(name, own)
            if faulty:
                own = before if share is None else own * share
            elif share is None:
                kept[name] = own
            room.copy_(own)
            if summed is not None and summed.rows is not None:
                room.index_add_(0, summed.rows, summed.values)
            elif summed is not None:
                room.add_(summed.values)

    return broken


def noise_that_comes_again(sound: Callable[..., Any]) -> Callable[..., Any]:
    """`CorrelatedNoise.of` that gives the first round's noise in every round."""
    first: dict[str, Tensor] = {}

    def again(self: Any, round_: int, draws: Draws) -> Any:
        found = sound(self, round_, draws)
        found.values.copy_(first.setdefault("noise", found.values.clone()))
        return found

    return again
