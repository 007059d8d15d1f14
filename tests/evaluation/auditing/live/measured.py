"""Figures of docs/results/live-audit.md: `python -m tests.evaluation.auditing.live.measured`.

Trainings that break on the way, and what finds it: the noise itself, readings of canaries, or
guesses at their new coins alone; false alarms of sound noise and sound canaries, simulated.
"""

import math
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache
from typing import Any
from unittest import mock

import numpy as np

import fedbert.private_step as private_step
from evaluation.auditing.live.audit import ALPHA, FaultError, LiveAudit
from evaluation.auditing.live.canary_tests import CanaryTests
from evaluation.auditing.live.planting import Shown
from evaluation.grid.audit import AuditSettings
from evaluation.metrics.noise_test import NoisePart, NoiseTest
from evaluation.metrics.one_run_gaussian import right_guesses
from fedbert.noise import noise_of
from fedbert.trainer import State, train
from privacy.accountants import gaussian_epsilon
from privacy.defence import Defence
from privacy.dp_fedavg import DPFedAvg
from privacy.dp_sgd.mechanism import DPSGD
from tests.evaluation.auditing.live.sabotage import (
    HalvedFromRound5,
    ReusedFromRound3,
    UnclippedFromRound5,
    broken_sums,
)
from tests.evaluation.metrics.canary_world import SOUND, releases
from tests.fedbert import tiny

DELTA = 1e-5
ROUNDS = 20
SIZES = (16, 16, 768, 256, 16, 16, 384, 24, 384, 960)
CANARIES = 200
SIGMA = 1.0
LOOKS = ("noise", "readings", "guesses")


@lru_cache
def claimed(rounds: int) -> float:
    """Return the epsilon of so many rounds."""
    return gaussian_epsilon(SIGMA, rounds, DELTA)


def sound_noise(seed: int, std: float) -> float:
    """Return the highest log wealth against sound noise."""
    rng = np.random.default_rng([seed, 1])
    names = [f"parameter {i}" for i in range(len(SIZES))]
    test = NoiseTest(names)
    for _ in range(ROUNDS):
        noise = {n: rng.normal(0, std, size) for n, size in zip(names, SIZES, strict=True)}
        test.update({n: NoisePart.of(value, 1e-7) for n, value in noise.items()})
    return test.highest


def sound_canaries(seed: int, kind: str) -> tuple[float, float, bool]:
    """Return the highest log wealths of readings and guesses, and whether the bound stopped it."""
    tests, alarm = CanaryTests(SIGMA, ALPHA / 4), False
    half = CANARIES // 2
    scores = np.zeros(half)
    for number, readings in enumerate(releases(seed, kind, ROUNDS, CANARIES, SIGMA), 1):
        tests.update(readings)
        scores += SIGMA * readings.values[:half]
        guesses = int(0.2 * half)
        right = right_guesses(scores, readings.coins[:half], guesses)
        level = ALPHA / 4 / (number * (number + 1))
        alarm |= Shown("clients", half, guesses, right).bound(DELTA, level) > claimed(number)
    return tests.readings.shared.highest, tests.guesses.bets.highest, alarm


FAULTS = {
    "halved": (HalvedFromRound5, 5), "reused": (ReusedFromRound3, 4),
    "unclipped": (UnclippedFromRound5, 5), "none": (DPFedAvg, 99),
}  # fmt: skip
"""By name: the mechanism that breaks, and its first faulty round."""
STEPS = {"halved": (5, 0.5), "reused": (4, None)}
"""Of DP-SGD: the first faulty step, and the share of noise that is left; None: used again."""


def found_in(
    seed: int, fault: str, where: str, canaries: int, looks: Sequence[str] = LOOKS
) -> int | None:
    """Return the round in which a training stopped; None: it came to its end.

    looks: what may stop it: the noise itself, readings of canaries, guesses at them.
    """
    patch: AbstractContextManager[Any] = nullcontext()
    if where == "dp_fedavg":
        config = tiny.config_of(clients=2, strategy="fedavg", rounds=10, local_steps=1, seed=seed)
        defence = Defence("d", update=FAULTS[fault][0](0.5, SIGMA))
    else:
        config = tiny.config_of(strategy="centralised", rounds=10, local_steps=1, seed=seed)
        defence = Defence("d", training=DPSGD(1.0, SIGMA, 0.25))
        if fault != "none":
            broken = broken_sums(private_step.noise_sums, *STEPS[fault])
            patch = mock.patch.object(private_step, "noise_sums", broken)
    prepared = tiny.prepared_for(config)
    noise = noise_of(config, prepared, defence)
    audit = LiveAudit(AuditSettings(canaries=canaries), config, prepared, defence, noise)
    if "noise" not in looks:
        audit.test = None
    for name in {"readings", "guesses"} - set(looks):
        getattr(audit.canary_tests, name).update = lambda _: None

    def on_round(state: State) -> None:
        audit.round(state, (claimed(state.round), DELTA), DELTA)  # of DP-SGD at most that

    try:
        with patch:
            train(config, prepared, defence, fleet=audit.fleet, noise=noise, on_round=on_round)
    except FaultError as found:
        return int(str(found).split("round ")[1].split(":")[0])
    return None


def row(name: str, found: Sequence[int | None], first: int) -> str:
    """Return a line of the table."""
    in_time = sum(each is not None and first <= each < first + 3 for each in found)
    early = sum(each is not None and each < first for each in found)
    rounds = Counter("not" if each is None else each for each in found)
    told = ", ".join(f"{k}: {n}" for k, n in sorted(rounds.items(), key=str))
    return f"| {name} | {first} | {in_time} of {len(found)} | {early} | {told} |"


def told_of(wealth: np.ndarray, least: float) -> str:
    """Return how often wealth reached what stops a training, and 20, of a level of 5 %."""
    stopped, twenty = (int((wealth >= math.log(each)).sum()) for each in (least, 20))
    return f"stopped {stopped}, ever 20: {twenty}, highest {math.exp(wealth.max()):.3g}"


ALONE, COINS = LOOKS[1:], LOOKS[2:]
ROWS = (
    ("dp_fedavg", "halved", 50, ALONE), ("dp_fedavg", "reused", 20, ALONE),
    ("dp_sgd", "halved", 50, ALONE), ("dp_sgd", "reused", 20, ALONE),
    ("dp_sgd", "reused", 200, COINS), ("dp_fedavg", "unclipped", 200, ALONE),
    ("dp_fedavg", "reused", 200, COINS),
    ("dp_sgd", "halved", 20, ALONE), ("dp_fedavg", "halved", 20, ALONE),
    ("dp_sgd", "halved", 20, LOOKS), ("dp_sgd", "reused", 20, LOOKS),
    ("dp_fedavg", "halved", 20, LOOKS), ("dp_fedavg", "reused", 20, LOOKS),
)  # fmt: skip
"""Training, fault, canaries, and what may stop it."""


def trainings(runs: int, rows: Sequence[tuple[str, str, int, tuple[str, ...]]] = ROWS) -> None:
    """Print how soon faults are found."""
    print("| training | first faulty round | stopped within 3 rounds | before it | rounds |")
    print("|---|---|---|---|---|", flush=True)
    for where, fault, canaries, looks in rows:
        found = [found_in(seed, fault, where, canaries, looks) for seed in range(runs)]
        first = FAULTS[fault][1]
        print(row(f"{where}, {fault}, {canaries}, {' + '.join(looks)}", found, first), flush=True)


def sound(runs: int) -> None:
    """Print whether sound trainings are stopped."""
    for where in ("dp_fedavg", "dp_sgd"):
        found = [found_in(seed, "none", where, 200) for seed in range(runs)]
        print(row(f"{where}, sound, 200", found, 99), flush=True)


def simulations(runs: int) -> None:
    """Print how often sound trainings are stopped."""
    for std, count in ((1.0, runs), (1.5, runs // 4)):
        wealth = np.array([sound_noise(seed, std) for seed in range(count)])
        told = told_of(wealth, 2 / ALPHA)
        print(f"noise {std} times the claim, {count} runs of {ROUNDS} rounds: {told}", flush=True)
    for kind in SOUND:
        count = runs if kind == "still" else runs // 4
        found = [sound_canaries(seed, kind) for seed in range(count)]
        readings, guesses, alarms = map(np.array, zip(*found, strict=True))
        near, guessed, bound = (
            told_of(readings, 8 / ALPHA),
            told_of(guesses, 8 / ALPHA),
            alarms.sum(),
        )
        print(
            f"{CANARIES} canaries, {kind}, {count} runs of {ROUNDS} rounds: readings {near}; "
            f"guesses {guessed}; bound of the whole training {bound}",
            flush=True,
        )


def main(runs: int = 100, simulated: int = 1000) -> None:
    """Print all figures."""
    trainings(runs)
    sound(runs // 5)
    simulations(simulated)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
