"""Canary client in isolation: who sees every round of correlated noise and knows when it took part.

The noise is drawn by the very object that a training uses. Each of many values is a training of its
own, in which the client sends one direction at its full clip whenever it takes part, or nothing.
"""

from collections.abc import Sequence

import numpy as np
import torch

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
    probe = Probe(
        f"there in {len(own)} of {rounds} rounds and not",
        lambda side, count: _releases(mechanism, rounds, own, side, count, seed),
        max(4, AT_ONCE // rounds),
    )
    claim = Claim(epsilon, delta, gaussian=True)
    return distinguish(type(mechanism).__name__, claim, [probe], samples, significance)


def _releases(
    mechanism: DPFTRL, rounds: int, own: list[int], side: int, samples: int, seed: int
) -> Statistics:
    """Return what an adversary computes of every round's release; side 0: the client is there."""
    source = source_from(generator(seed, "probe", "rounds", side))
    noise = CorrelatedNoise(mechanism, samples)
    drawn = [noise.of(number, source.draws("update", number)) for number in range(rounds)]
    seen = torch.stack([each.part(0, samples) for each in drawn]).numpy()
    sent = np.zeros(rounds)
    sent[own] = mechanism.clip_norm
    if side == 0:
        seen += sent[:, None]
    back = np.linalg.inv(noise_rows(mechanism.coefficients, mechanism.rounds, rounds))
    return {
        "likelihood ratio": (back.T @ (back @ sent)) @ seen,
        "the last model": seen.sum(0),
        "one round": seen[own[0]],
    }
