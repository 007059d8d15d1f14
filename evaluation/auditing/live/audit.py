"""Live audit of one training: canaries in it, its noise watched, and a stop when its claim falls.

All tests share one level, ALPHA, over every round and every canary. Half of it is for the noise as
the operator sees it: an e-process, valid at any time. Half is for canaries. A half of that, for the
claim of the whole training: whether those that keep their coin can be told, looked at after every
round at the level ALPHA / 4 / (t (t + 1)), t counting the rounds looked at. The other half, for the
claim of single releases: e-processes, valid at any time, of what is read of all canaries whose
coins are known (`evaluation.metrics.canary_readings`) and of guesses at the coins that are new in
each release (`evaluation.metrics.canary_guesses`), ALPHA / 8 each.

Guarantee: a training whose noise is as claimed, and whose mechanism is as private as claimed, is
stopped with a probability of at most ALPHA, however long it goes on. Wealth goes on where a
training was saved; rounds that a kill makes it do again are a new try, of at most ALPHA each.
"""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from evaluation.auditing.canaries.fleet import WatchedFleet, Watcher
from evaluation.auditing.canaries.fresh_coins import FreshCoins
from evaluation.auditing.canaries.planted_texts import PlantedTexts
from evaluation.auditing.live.asked import canaries_kind, check_same, claimed_noise, coins_for
from evaluation.auditing.live.canary_tests import CanaryTests
from evaluation.auditing.live.noise_witness import NoiseWatch
from evaluation.auditing.live.planting import (
    Planted,
    Shown,
    lasting,
    noises_sums,
    planted,
    scores_of,
    with_scores,
)
from evaluation.grid.audit import AuditSettings
from evaluation.metrics.canary_readings import Readings
from evaluation.metrics.noise_test import NoisePart, NoiseTest
from fedbert.config import Config
from fedbert.errors import InputError
from fedbert.prepare import Prepared
from fedbert.trainer import State
from privacy.defence import Defence
from privacy.randomness.source import NoiseSource
from reports.live import SO_FAR

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
    """What a live audit found: the claim of the training cannot stand.

    line: with what found it. curve: seen until then.
    """

    curve: dict[str, Any]

    def __init__(self, by: str, told: str) -> None:
        """Hold what is told, by round, and by what it was found."""
        super().__init__(told)
        self.line = f"stopped by its {by}: {told}"


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
            check_same(asked, saved)
        self.kind = canaries_kind(asked, config, defence)
        self.test: NoiseTest | None = None
        self.canaries: Planted | None = None
        self.canary_tests: CanaryTests | None = None
        self._lot = 0, np.zeros(0, dtype=bool)
        watchers: list[Watcher] = []
        if noises_sums(defence):
            names = [name for name, _ in prepared.split.whole.named_parameters()]
            self.test = NoiseTest(names)
            fresh = noise.mode == "secret"
            watchers.append(NoiseWatch(self.release, defence, claimed_noise(defence), fresh))
        if self.kind is not None:
            self._lot = coins_for(saved, noise, lasting(self.kind, asked.canaries))
            new = self._fresh(noise, defence)
            made = planted(self.kind, self._lot, new, config, prepared, defence)
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

    def _fresh(self, noise: NoiseSource, defence: Defence) -> FreshCoins | None:
        """Return the canaries that flip new coins; None of texts, and without any."""
        count = self.asked.canaries - len(self._lot[1])
        if self.kind == "texts":
            return None
        claimed = claimed_noise(defence)
        self.canary_tests = CanaryTests(claimed, ALPHA / 4)
        return FreshCoins(count, noise, self.reading, claimed)

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
                "noise",
                f"round {self.round_ + 1}: {self.test.fault()}; evidence 10^{power:.1f}, where "
                f"10^{least:.1f} stops a training",
            )

    def reading(self, readings: Readings) -> None:
        """Bet on what one release shows of the canaries.

        Raises:
            FaultError: more than the claim of a release allows.
        """
        if self.canary_tests is None:
            return
        self.canary_tests.update(readings)
        fault = self.canary_tests.fault()
        if fault is not None:
            raise FaultError("canaries", f"round {self.round_ + 1}: {fault}")

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
        if self.canary_tests is not None:
            point["canary_log_wealth"] = in_decades(self.canary_tests.log_wealth)
        self.points.append(point)
        if shown is not None and claim is not None:
            least = shown.bound(claim[1], ALPHA / 4 * share)
            if least > claim[0]:
                raise FaultError(
                    "canaries",
                    f"round {state.round}: canaries show epsilon >= {least:.3g} (significance "
                    f"{ALPHA / 4 * share:.1g}), {SO_FAR.format(claim[0])}",
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
            "fresh": self.asked.canaries - len(self._lot[1]),
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
            seed, coins = self._lot
            plain |= {"seed": seed, "coins": coins.astype(int).tolist(), **numbers}
        if self.test is not None and self.test.releases:
            wealth, plain["noise"] = self.test.state()
            arrays = arrays | wealth
        if self.canary_tests is not None:
            wealth, plain["canary_tests"] = self.canary_tests.state()
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
        if self.canary_tests is not None and "canary_tests" in saved:
            self.canary_tests.restore(arrays, saved["canary_tests"])
