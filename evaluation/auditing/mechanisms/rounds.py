"""Canary client in isolation: who sees every round of correlated noise and knows when it took part.

The noise is drawn by the very object that a training uses. Each of many values is a training of its
own, in which the client sends one direction at its full clip whenever it takes part, or nothing.
"""

from collections.abc import Sequence

import numpy as np

from evaluation.adversary.simulated_noise import source_from
from evaluation.auditing.mechanisms.distinguish import SIGNIFICANCE, Probe, Statistics, distinguish
from evaluation.auditing.verdict import Claim, Finding
from fedbert.seeding import generator
from privacy.accountants import gaussian_epsilon
from privacy.banded_factorisation import noise_rows
from privacy.correlated_noise import CorrelatedNoise
from privacy.dp_ftrl import DPFTRL

ROUNDS = 64  # of the first so many a training's own mechanism is looked at: a claim of its own
AT_ONCE = 4_000_000  # values drawn for one side: bounds memory


def audit_rounds(
    mechanism: DPFTRL,
    delta: float,
    seed: int,
    samples: int,
    there: Sequence[int] | None = None,
    claimed: int | None = None,
    significance: float = SIGNIFICANCE,
) -> Finding:
    """Return what a client's rounds, all seen, show of the claim about them.

    there: its rounds; None: every one that the bands allow. claimed: how many are claimed to be
    counted; None: all of them.
    """
    rounds = min(ROUNDS, mechanism.rounds)
    own = list(range(0, rounds, mechanism.bands)) if there is None else list(there)
    times = len(own) if claimed is None else claimed
    epsilon = gaussian_epsilon(mechanism.noise_multiplier, times, delta)
    sources = [source_from(generator(seed, "probe", "rounds", side)) for side in (0, 1)]
    sent = np.zeros(rounds)
    sent[own] = mechanism.clip_norm
    calls = [0, 0]  # of either side so far

    def draw(side: int, count: int) -> Statistics:
        calls[side] += 1
        noise, seen = CorrelatedNoise(mechanism, count), np.zeros((rounds, count))
        for number in range(rounds):
            draws = sources[side].draws("update", calls[side], number)
            seen[number] = noise.of(number, draws).part(0, count).numpy()
        return _statistics(mechanism, sent, seen + sent[:, None] * (side == 0))

    probe = Probe(
        f"there in {len(own)} of {rounds} rounds and not",
        draw,
        max(4, AT_ONCE // rounds),
    )
    claim = Claim(epsilon, delta, gaussian=True)
    return distinguish(type(mechanism).__name__, claim, [probe], samples, significance)


def _statistics(mechanism: DPFTRL, sent: np.ndarray, seen: np.ndarray) -> Statistics:
    """Return what an adversary computes of every round's release [round, training].

    sent: what the client sends in each round [round], if it is there.
    """
    back = np.linalg.inv(noise_rows(mechanism.coefficients, mechanism.rounds, len(sent)))
    return {
        "likelihood ratio": (back.T @ (back @ sent)) @ seen,
        "the last model": seen.sum(0),
        "one round": seen[np.flatnonzero(sent)[0]],
    }
