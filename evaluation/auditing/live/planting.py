"""Canaries of a training: of which kind, by what its defence claims, and what they show so far."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from evaluation.auditing.canaries.directions import check_room
from evaluation.auditing.canaries.fresh_coins import FreshCoins
from evaluation.auditing.canaries.planted_clients import SUMS, PlantedClients, Turns, summed
from evaluation.auditing.canaries.planted_records import PlantedRecords
from evaluation.auditing.canaries.planted_texts import PlantedTexts
from evaluation.auditing.gaussian_bounds import one_run_gaussian_epsilon
from evaluation.metrics.epsilon_bounds import one_run_epsilon
from evaluation.metrics.one_run_gaussian import right_guesses
from fedbert.config import Config
from fedbert.errors import InputError
from fedbert.messages import Array
from fedbert.prepare import Prepared
from fedbert.setting_types import ONE_MESSAGE
from privacy.defence import Defence
from privacy.mechanism import Identity
from privacy.randomness.source import NoiseSource

Kind = Literal["records", "clients", "texts"]
Planted = PlantedRecords | PlantedClients | PlantedTexts
GUESSED = {"records": 0.1, "clients": 0.2, "texts": 0.2}
"""Shares of the canaries that are guessed: the most extreme, fixed beforehand."""


def kind_of(config: Config, defence: Defence) -> Kind:
    """Return which canaries speak of what a defence claims.

    Raises:
        InputError: for one whose claim no canary in a training speaks of.
    """
    if config.training.strategy == ONE_MESSAGE:
        raise InputError(
            f"expected a strategy that trains in rounds for canaries, got {ONE_MESSAGE}: "
            "`fedbert-eval audit` tries its messages one by one"
        )
    if defence.training is not None:
        return "records"
    if isinstance(defence.update, Identity):
        return "texts"
    _ = summed(defence.update)
    return "clients"


def noises_sums(defence: Defence) -> bool:
    """Return whether a defence noises sums, so that its noise can be looked at as it is added."""
    return defence.training is not None or isinstance(defence.update, SUMS)


def lasting(kind: Kind, count: int) -> int:
    """Return how many of the canaries keep their coin for the whole training: half, of texts all.

    The others flip a new one for each release, for the claim of that release.
    """
    return count if kind == "texts" else count - count // 2


def coins_of(noise: NoiseSource, count: int) -> tuple[int, np.ndarray]:
    """Return a training's seed of canaries, and their fair coins [canary], of its own noise source.

    As secret as the noise: who knew the coins could take the canaries off.
    """
    seed = int(noise.decided("canaries", "seed").integers(2**62, (1,))[0])
    return seed, noise.decided("canaries", "coins").bernoulli(0.5, (count,))


def planted(
    kind: Kind,
    lot: tuple[int, np.ndarray],
    fresh: FreshCoins | None,
    config: Config,
    prepared: Prepared,
    defence: Defence,
) -> Planted:
    """Return canaries of a kind for a training; lot: seed, and the coins of those that keep them.

    fresh: those that flip new coins.

    Raises:
        InputError: for more canaries than there is room for.
    """
    seed, coins = lot
    if kind == "clients":
        more = 0 if fresh is None else fresh.count
        check_room(len(coins) + more, _trained(config, prepared))
        return PlantedClients(coins, seed, Turns.of(defence.update, config), fresh)
    if kind == "texts":
        return PlantedTexts(coins, seed, prepared)
    if defence.training is None:
        raise InputError("expected DP-SGD for canary records, got none")
    return PlantedRecords(coins, seed, prepared, defence.training, fresh)


def _trained(config: Config, prepared: Prepared) -> int:
    """Return how many values rounds change."""
    split = prepared.split
    frozen = set(map(id, split.bottom.parameters())) if config.model.freeze_embeddings else set()
    return sum(p.numel() for p in split.whole.parameters() if id(p) not in frozen)


@dataclass(frozen=True)
class Shown:
    """What canaries show so far: of so many guesses how many were right, and the bound of that."""

    kind: Kind
    canaries: int
    guesses: int
    right: int

    @classmethod
    def of(cls, kind: Kind, canaries: Planted) -> "Shown":
        """Return what the scores of a training's canaries show."""
        count = len(canaries.coins)
        guesses = max(2, int(GUESSED[kind] * count))
        return cls(kind, count, guesses, right_guesses(canaries.scores, canaries.coins, guesses))

    def bound(self, delta: float, significance: float) -> float:
        """Return the lower bound on epsilon by this one run.

        Of clients whose sums get Gaussian noise it presumes a Gaussian mechanism.
        """
        counts = self.canaries, self.guesses, self.right
        if self.kind == "clients":
            return one_run_gaussian_epsilon(*counts, delta, significance)
        return one_run_epsilon(*counts, delta, significance)


def scores_of(canaries: Planted) -> tuple[dict[str, Array], dict[str, Any]]:
    """Return what canaries have gathered, for a checkpoint: arrays and numbers."""
    numbers = {}
    if isinstance(canaries, PlantedClients):
        numbers = {"energy": canaries.energy, "rounds": canaries.rounds}
    return {"scores": canaries.scores}, numbers


def with_scores(canaries: Planted, arrays: Mapping[str, Array], numbers: Mapping[str, Any]) -> None:
    """Set what `scores_of` returned."""
    canaries.scores = np.array(arrays["scores"], dtype=np.float64)
    if isinstance(canaries, PlantedClients):
        canaries.energy, canaries.rounds = float(numbers["energy"]), int(numbers["rounds"])
