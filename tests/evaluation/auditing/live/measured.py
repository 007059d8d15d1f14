"""Figures of docs/results/live-audit.md: `python -m tests.evaluation.auditing.live.measured`.

False alarms of sound noise and sound canaries, simulated; trainings that break on the way; and what
the canaries by themselves, an adversary's view, find of the same faults.
"""

import math
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import contextmanager
from functools import lru_cache
from unittest import mock

import numpy as np

import fedbert.private_step as private_step
from evaluation.auditing.live.audit import ALPHA, FaultError, LiveAudit
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
from tests.evaluation.auditing.live.sabotage import HalvedFromRound5, ReusedFromRound3, broken_sums
from tests.fedbert import tiny

DELTA = 1e-5
ROUNDS = 20
SIZES = (16, 16, 768, 256, 16, 16, 384, 24, 384, 960)
CANARIES = 200
SIGMA = 1.0


@lru_cache
def claimed(rounds: int) -> float:
    """Return the epsilon of so many rounds."""
    return gaussian_epsilon(SIGMA, rounds, DELTA)


def sound(seed: int, std: float) -> tuple[float, bool]:
    """Return the highest log wealth against sound noise, and whether sound canaries alarmed."""
    rng = np.random.default_rng([seed, 1])
    names = [f"parameter {i}" for i in range(len(SIZES))]
    test = NoiseTest(names)
    coins, scores, alarm = rng.random(CANARIES) < 0.5, np.zeros(CANARIES), False
    for number in range(1, ROUNDS + 1):
        noise = {n: rng.normal(0, std, size) for n, size in zip(names, SIZES, strict=True)}
        test.update({n: NoisePart.of(value, 1e-7) for n, value in noise.items()})
        scores += coins + SIGMA * rng.normal(size=CANARIES)
        guesses = int(0.2 * CANARIES)
        shown = Shown("clients", CANARIES, guesses, right_guesses(scores, coins, guesses))
        level = ALPHA / 2 / (number * (number + 1))
        alarm |= shown.bound(DELTA, level) > claimed(number)
    return test.highest, alarm


@contextmanager
def nothing():
    yield


def found_in(
    seed: int, fault: str, where: str, asked: AuditSettings, noise_too: bool = True
) -> int | None:
    """Return the round in which a training stopped; None: it came to its end."""
    rounds, patch = 10, nothing()
    if where == "dp_fedavg":
        kind = {"halved": HalvedFromRound5, "reused": ReusedFromRound3, "none": DPFedAvg}[fault]
        config = tiny.config_of(clients=2, strategy="fedavg", rounds=rounds, seed=seed)
        defence = Defence("d", update=kind(0.5, SIGMA))
    else:
        config = tiny.config_of(strategy="centralised", rounds=rounds, local_steps=1, seed=seed)
        defence = Defence("d", training=DPSGD(1.0, SIGMA, 0.25))
        if fault != "none":
            first, share = {"halved": (5, 0.5), "reused": (4, None)}[fault]
            broken = broken_sums(private_step.noise_sums, first, share)
            patch = mock.patch.object(private_step, "noise_sums", broken)
    prepared = tiny.prepared_for(config)
    noise = noise_of(config, prepared, defence)
    audit = LiveAudit(asked, config, prepared, defence, noise)
    if not noise_too:
        audit.test = None

    def on_round(state: State) -> None:
        audit.round(state, (claimed(state.round), DELTA), DELTA)  # of DP-SGD at most that

    try:
        with patch:
            train(config, prepared, defence, fleet=audit.fleet, noise=noise, on_round=on_round)
    except FaultError:
        return audit.round_ + (0 if not noise_too else 1)
    return None


def row(name: str, found: Sequence[int | None], first: int) -> str:
    """Return a line of the table."""
    in_time = sum(each is not None and first <= each < first + 3 for each in found)
    early = sum(each is not None and each < first for each in found)
    rounds = Counter("not" if each is None else each for each in found)
    told = ", ".join(f"{k}: {n}" for k, n in sorted(rounds.items(), key=str))
    return f"| {name} | {first} | {in_time} of {len(found)} | {early} | {told} |"


def main(runs: int = 100, simulated: int = 1000) -> None:
    """Print all figures."""
    print("| training | first faulty round | stopped within 3 rounds | before it | rounds |")
    print("|---|---|---|---|---|")
    few = AuditSettings(canaries=20)
    for where in ("dp_fedavg", "dp_sgd"):
        for fault, first in (("halved", 5), ("reused", 4)):
            found = [found_in(seed, fault, where, few) for seed in range(runs)]
            print(row(f"{where}, noise {fault}", found, first), flush=True)
        found = [found_in(seed, "none", where, few) for seed in range(runs // 5)]
        print(row(f"{where}, sound", found, 99), flush=True)
    many = AuditSettings(canaries=CANARIES)
    for fault, first in (("halved", 5), ("reused", 4)):
        found = [found_in(seed, fault, "dp_fedavg", many, False) for seed in range(runs // 20)]
        print(row(f"dp_fedavg, noise {fault}, canaries alone", found, first), flush=True)
    for std in (1.0, 1.5):
        simulated = simulated if std == 1.0 else simulated // 4
        found = [sound(seed, std) for seed in range(simulated)]
        wealth = np.array([each[0] for each in found])
        stopped = int((wealth >= math.log(2 / ALPHA)).sum())
        twenty = int((wealth >= math.log(20)).sum())
        canaries = sum(each[1] for each in found)
        print(
            f"sound, noise {std} times the claim, {simulated} runs of {ROUNDS} rounds: stopped by "
            f"its noise {stopped}, by its canaries {canaries}; wealth ever 20: {twenty}; "
            f"highest wealth {math.exp(wealth.max()):.3g}",
            flush=True,
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
