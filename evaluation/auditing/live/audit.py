"""Live audit of one training: canaries in it, its noise watched, and a stop when its claim falls.

All tests share one level, ALPHA, over every round and every canary. Half of it is for the noise: an
e-process, valid at any time. Half is for what an adversary could tell of the canaries, looked at
after every round at the level ALPHA / 2 / (t (t + 1)), t counting the rounds looked at.

Guarantee: a training whose noise is as claimed, and whose mechanism is as private as claimed, is
stopped with a probability of at most ALPHA, however long it goes on. Wealth goes on where a
training was saved; rounds that a kill makes it do again are a new try, of at most ALPHA each.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from evaluation.auditing.canaries.fleet import WatchedFleet, Watcher
from evaluation.auditing.canaries.planted_texts import PlantedTexts
from evaluation.auditing.live.noise_witness import NoiseWatch
from evaluation.auditing.live.planting import (
    Kind,
    Planted,
    Shown,
    coins_of,
    kind_of,
    noises_sums,
    planted,
    scores_of,
    with_scores,
)
from evaluation.grid.audit import NO_AUDIT, AuditSettings
from evaluation.metrics.noise_test import NoisePart, NoiseTest
from fedbert.config import Config
from fedbert.errors import InputError
from fedbert.prepare import Prepared
from fedbert.trainer import State
from privacy.defence import Defence
from privacy.randomness.source import NoiseSource

ALPHA = 1e-4
"""Level of all tests of one training together."""
DRAWN = 0.05
"""Level of the bounds that are drawn, over all rounds together."""
KEY = "audit"
"""Under this name the audit's own state lies in a training's, which nobody is shown."""


def in_decades(log_wealth: float) -> float:
    """Return the logarithm of a wealth in whole decades, of 1 at the least: what is written down.

    It is a function of the noise itself, and its last digits would tell neighbours apart.
    """
    return math.log(10) * max(0, math.floor(log_wealth / math.log(10)))


class FaultError(Exception):
    """What a live audit found: the claim of the training cannot stand. curve: seen until then."""

    curve: dict[str, Any]


class LiveAudit:
    """Watches one training: `prepared` and `fleet` are what it trains with.

    Threat model: the noise is looked at by the operator, who alone knows the sums before it. The
    canaries are guessed by an adversary who sees every round (every step of DP-SGD; of texts, the
    model after the round).
    """

    def __init__(
        self,
        asked: AuditSettings,
        config: Config,
        prepared: Prepared,
        defence: Defence,
        noise: NoiseSource,
        start: State | None = None,
    ) -> None:
        """Plant canaries and post witnesses, or go on with those of a saved training.

        Raises:
            InputError: for a defence or strategy of which nothing can be shown in this way, or a
                saved training that was audited in another.
        """
        self.asked, self.looks, self.points = asked, 0, list[dict[str, Any]]()
        self.round_, self.prepared = 0 if start is None else start.round, prepared
        saved: dict[str, Any] = {} if start is None else start.plain.get(KEY, {})
        if start is not None:
            _check_same(asked, saved)
        self.kind = _kind(asked, config, defence)
        self.test: NoiseTest | None = None
        self.canaries: Planted | None = None
        self._coins, self._seed = np.zeros(0, dtype=bool), 0
        watchers: list[Watcher] = []
        if noises_sums(defence):
            names = [name for name, _ in prepared.split.whole.named_parameters()]
            self.test = NoiseTest(names)
            fresh = noise.mode == "secret"
            watchers.append(NoiseWatch(self.release, defence, _claimed(defence), fresh))
        if self.kind is not None:
            self._seed, self._coins = _coins(saved, noise, asked.canaries)
            made = planted(self.kind, self._seed, self._coins, config, prepared, defence)
            self.canaries = made
            if isinstance(made, PlantedTexts):
                self.prepared = made.prepared
            else:
                watchers.append(made)
        if start is not None and saved:
            try:
                self._restore(start, saved)
            except (LookupError, TypeError, ValueError) as error:
                told = f"got {type(error).__name__} {error}"
                raise InputError(f"audit: expected the state of a live audit, {told}") from None
        self.fleet = WatchedFleet(*watchers)

    def release(self, parts: Mapping[str, NoisePart]) -> None:
        """Bet on the noise of one release.

        Raises:
            FaultError: the wealth against the claim has reached its limit.
        """
        if self.test is None:
            return
        self.test.update(parts)
        if self.test.rejected(ALPHA / 2):
            power = self.test.highest / math.log(10)
            least = math.log10(2 / ALPHA)
            raise FaultError(
                f"round {self.round_ + 1}: {self.test.fault()}; evidence 10^{power:.1f}, where "
                f"10^{least:.1f} stops a training"
            )

    def round(self, state: State, claim: tuple[float, float] | None, delta: float) -> None:
        """Look at the canaries after a round, and put the audit's state into the training's.

        claim: epsilon and delta of what was released so far; None: nothing is claimed. delta: of
        the bound where nothing is.

        Raises:
            FaultError: the canaries tell more than the claim allows.
        """
        self.looks, self.round_ = self.looks + 1, state.round
        share = 1 / (self.looks * (self.looks + 1))
        point: dict[str, Any] = {"round": state.round, "epsilon": claim and claim[0]}
        shown = None
        if self.canaries is not None and self.kind is not None:
            if isinstance(self.canaries, PlantedTexts):
                self.canaries.read(state.values)
            shown = Shown.of(self.kind, self.canaries)
            at = delta if claim is None else claim[1]
            before = [each["bound"] for each in self.points]  # what holds of less holds of more
            point["bound"] = max([shown.bound(at, DRAWN * share), *before])
            point |= {"guesses": shown.guesses, "right": shown.right}
        if self.test is not None:
            point["log_wealth"] = in_decades(self.test.log_wealth)
        self.points.append(point)
        if shown is not None and claim is not None:
            least = shown.bound(claim[1], ALPHA / 2 * share)
            if least > claim[0]:
                raise FaultError(
                    f"round {state.round}: canaries show epsilon >= {least:.3g} (significance "
                    f"{ALPHA / 2 * share:.1g}), claimed are {claim[0]:.3g} so far"
                )
        self._keep(state)

    def curve(self, claimed: float | None, fault: str = "") -> dict[str, Any]:
        """Return what was spent and shown by round; claimed: the epsilon of all rounds."""
        return {
            "shown": self.shown(),
            "significance": DRAWN,
            "claimed": claimed,
            "points": self.points,
            "fault": fault,
        }

    def shown(self) -> dict[str, Any]:
        """Return what anybody may know of the audit: what was planted, and how often it looked."""
        return {
            **self.asked.to_json(),
            "kind": self.kind or "noise",
            "alpha": ALPHA,
            "rounds": self.looks,
            "releases": 0 if self.test is None else self.test.releases,
        }

    def _keep(self, state: State) -> None:
        """Put what the audit goes on from into a training's state; coins and scores are secret."""
        plain: dict[str, Any] = {"shown": self.shown(), "looks": self.looks, "points": self.points}
        arrays: dict[str, np.ndarray] = {}
        if self.canaries is not None:
            arrays, numbers = scores_of(self.canaries)
            plain |= {"seed": self._seed, "coins": self._coins.astype(int).tolist(), **numbers}
        if self.test is not None and self.test.releases:
            wealth, plain["noise"] = self.test.state()
            arrays = arrays | wealth
        state.plain[KEY] = plain
        state.arrays.update({f"{KEY}:{name}": value for name, value in arrays.items()})

    def _restore(self, start: State, saved: dict[str, Any]) -> None:
        prefix = f"{KEY}:"
        arrays = {
            n.removeprefix(prefix): v for n, v in start.arrays.items() if n.startswith(prefix)
        }
        self.looks, self.points = int(saved["looks"]), list(saved["points"])
        if self.canaries is not None:
            with_scores(self.canaries, arrays, saved)
        if self.test is not None and "noise" in saved:
            self.test.restore(arrays, saved["noise"])


def refusal(asked: AuditSettings, config: Config, defence: Defence) -> str | None:
    """Return why a training cannot be audited as asked; None where it can."""
    try:
        _ = _kind(asked, config, defence)
    except InputError as error:
        return str(error)
    return None


def _kind(asked: AuditSettings, config: Config, defence: Defence) -> Kind | None:
    """Return the kind of a training's canaries; None without any.

    Raises:
        InputError: for a defence or strategy of which nothing can be shown in this way.
    """
    if asked.noise and not noises_sums(defence):
        raise InputError(
            "audit: expected DP-SGD, DP-FedAvg, adaptive DP-FedAvg or DP-FTRL for noise = "
            f"true: noise that lies on sums, got defence {defence.name!r}"
        )
    return kind_of(config, defence) if asked.canaries else None


def _claimed(defence: Defence) -> float:
    """Return the noise multiplier that a defence's claim rests on: that of its cost."""
    mechanism = defence.training or defence.update
    cost = mechanism.cost()
    found = None if cost is None else getattr(cost.event, "noise_multiplier", None)
    if found is None:
        raise InputError(f"audit: expected a claim of {defence.name!r} about its noise, got none")
    return float(found)


def _coins(saved: dict[str, Any], noise: NoiseSource, count: int) -> tuple[int, np.ndarray]:
    """Return seed and coins of a saved training, or new ones."""
    if saved:
        return int(saved["seed"]), np.array(saved["coins"], dtype=bool)
    return coins_of(noise, count)


def _check_same(asked: AuditSettings, saved: dict[str, Any]) -> None:
    """Refuse to go on with other canaries than a training began with."""
    before = NO_AUDIT.to_json() | saved.get("shown", {})
    for key, now in asked.to_json().items():
        if before[key] != now:
            raise InputError(
                f"audit: expected {key}={before[key]}, as this training began, got {key}={now}"
            )
