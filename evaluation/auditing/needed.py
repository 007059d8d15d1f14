"""Number of candidates that one training would need to contradict a claim, in words."""

import math

import numpy as np

from evaluation.auditing.verdict import Claim
from evaluation.metrics.epsilon_bounds import one_run_p
from evaluation.metrics.one_run_gaussian import FRACTIONS, curve_refuted

SIGNIFICANCE = 0.05
MOST_NEEDED = 2**15  # candidates
FEWEST = 4
CANDIDATES = "about {} candidates by a fair coin, each told rightly"
CANARIES = (
    "white-box canaries ([audit] of a finetune), or several trainings by other seeds: no number of "
    "candidates does in one run"
)


def needed(
    claim: Claim, level: float = SIGNIFICANCE, share: float = 0.5, tried: int = FEWEST
) -> str:
    """Return how many candidates could contradict the claim, in words; more than were tried.

    share: of members, as the coins fell: told rightly, each is guessed to be on its own side only
    as far as the sides are equal.
    """
    count = tried
    while count <= MOST_NEEDED:
        members = int(share * count)
        for fraction in FRACTIONS:
            guesses = math.ceil(fraction * count)
            right = min((guesses + 1) // 2, members) + min(guesses // 2, count - members)
            p = one_run_p(count, guesses, right, claim.delta, claim.epsilon)
            if p <= level / len(FRACTIONS):
                return CANDIDATES.format(count)
        count += count // 4 + 1
    return CANARIES


def needed_by_curve(curve: np.ndarray, level: float, share: float, tried: int) -> str:
    """Return how many candidates, each told rightly, could refute a curve, in words.

    share: of members, as the coins fell (see `needed`).
    """
    count = tried
    while count <= MOST_NEEDED:
        coins = np.arange(count) < int(share * count)
        if curve_refuted(coins.astype(float), coins, curve, level):
            return CANDIDATES.format(count)
        count += count // 4 + 1
    return CANARIES
