"""Bets against a privacy claim: which guess, at which stake, what has been seen speaks for.

A trial is a fair coin (the canary is in, or out) and a score. A guess is a set S of scores, fixed
before the trial: from a threshold on, or below it. Under (epsilon, delta) the mean of

    (1[S] - c) for "in",  (c - e^epsilon 1[S]) for "out",  less delta / 2,

is at most 0 whatever c is, as P(S | in) <= e^epsilon P(S | out) + delta and the coin is fair; so is
that with both sides exchanged. c takes away the variance that the coin alone makes.

Reference: Waudby-Smith and Ramdas (2024), "Estimating means of bounded random variables by
betting"; Kelly (1956).
"""

from dataclasses import dataclass

import numpy as np
from scipy import special

THRESHOLDS = 48
MOST_EPSILON = 700.0  # e^epsilon is finite
NEAR_ALL = 0.99  # of the largest stake that can never ruin
STAKES = NEAR_ALL * 2.0 ** -np.arange(0.0, 12.0, 0.25)
POINTS = 10  # of a Gaussian's trade-off curve
FARTHEST = 4.0  # of them, in standard deviations beyond the middle between both means


def claim_points(epsilon: float, delta: float) -> np.ndarray:
    """Return the claim (epsilon, delta) as points [1, (epsilon, delta)]."""
    return np.array([[epsilon, delta]], dtype=np.float64)


def gaussian_points(mu: float) -> np.ndarray:
    """Return points [point, (epsilon, delta)] on the trade-off curve of two Gaussians mu apart.

    Each is a line that the curve of a mu-GDP mechanism lies under (Dong, Roth, Su 2022, corollary
    2.13): delta = Phi(mu / 2 - epsilon / mu) - e^epsilon Phi(-mu / 2 - epsilon / mu).
    """
    if mu <= 0:
        return claim_points(0.0, 0.0)
    at = mu / 2 + np.linspace(0.0, FARTHEST, POINTS)  # the score from which S counts
    epsilons = np.minimum(mu * at - mu**2 / 2, MOST_EPSILON)
    at = epsilons / mu + mu / 2
    deltas = special.ndtr(mu - at) - np.exp(epsilons + special.log_ndtr(-at))
    return np.stack([epsilons, np.clip(deltas, 0.0, 1.0)], axis=1)


@dataclass(frozen=True)
class Bet:
    """A guess S and what is staked on it: against the line (epsilon, delta) of a claim.

    above: S is the scores at or above the threshold; else those below. inside: S speaks for "in".
    centre: c of the payoff. stake: of the wealth, per unit of payoff. growth: of the logarithm of
    wealth in a trial, if trials go on as they went.
    """

    threshold: float
    above: bool
    inside: bool
    epsilon: float
    delta: float
    centre: float
    stake: float
    growth: float

    def payoffs(self) -> np.ndarray:
        """Return the payoff [(in, out), (S, not S)] of each kind of trial."""
        odds, half = np.exp(min(self.epsilon, MOST_EPSILON)), self.delta / 2
        own = [1 - self.centre - half, -self.centre - half]
        other = [self.centre - odds - half, self.centre - half]
        return np.array([own, other] if self.inside else [other, own])

    def counts(self, ins: np.ndarray, outs: np.ndarray) -> np.ndarray:
        """Return how many scores are of each kind [(in, out), (S, not S)]."""
        found = []
        for scores in (ins, outs):
            hits = int(((scores >= self.threshold) == self.above).sum())
            found.append([hits, len(scores) - hits])
        return np.array(found)


@dataclass(frozen=True)
class Past:
    """What bets are chosen by: shares [(in, out), threshold] of past scores at or above it."""

    thresholds: np.ndarray
    shares: np.ndarray


def seen(ins: np.ndarray, outs: np.ndarray) -> Past:
    """Return the past of scores [trial] of both sides, of which neither is empty."""
    thresholds = _thresholds(ins, outs)
    return Past(thresholds, np.stack([_rates(side, thresholds) for side in (ins, outs)]))


def best_bet(past: Past, points: np.ndarray) -> Bet | None:
    """Return the bet that would have grown most in the past, against one of a claim's points.

    points [point, (epsilon, delta)]. None where nothing would have grown.
    """
    thresholds, up, down = past.thresholds, past.shares, 1 - past.shares
    hits = np.stack([up[0], down[0], up[1], down[1]])[None]  # [1, kind, threshold]
    alarms = np.stack([up[1], down[1], up[0], down[0]])[None]
    odds = np.exp(np.minimum(points[:, 0], MOST_EPSILON))[:, None, None]
    half = points[:, 1][:, None, None] / 2
    centre, most = _centre(hits, alarms, odds, half)
    mean, square = _moments(hits, alarms, odds, half, centre)
    stake = np.clip(mean / square, 0.0, NEAR_ALL * most)
    value = stake * mean - stake**2 * square / 2
    point, kind, place = np.unravel_index(int(np.argmax(value)), value.shape)
    if value[point, kind, place] <= 0:
        return None
    bet = Bet(
        float(thresholds[place]),
        kind % 2 == 0,
        bool(kind < 2),
        float(points[point, 0]),
        float(points[point, 1]),
        float(centre[point, kind, place]),
        0.0,
        0.0,
    )
    shares = np.array([hits[0, kind, place], alarms[0, kind, place]])
    return _staked(bet, shares, float(most[point, kind, place]))


def _staked(bet: Bet, shares: np.ndarray, most: float) -> Bet | None:
    """Return the bet at the stake that grows most; shares: of hits among its own, and others."""
    chances = np.stack([shares, 1 - shares], axis=1) / 2
    chances = chances if bet.inside else chances[::-1]
    stakes = most * STAKES
    growths = (chances * np.log1p(stakes[:, None, None] * bet.payoffs())).sum(axis=(1, 2))
    best = int(np.argmax(growths))
    if growths[best] <= 0:
        return None
    kept = {name: getattr(bet, name) for name in bet.__dataclass_fields__}
    return Bet(**{**kept, "stake": float(stakes[best]), "growth": float(growths[best])})


def _thresholds(ins: np.ndarray, outs: np.ndarray) -> np.ndarray:
    """Return quantiles of either side [threshold], dense at the ends."""
    ranks = special.ndtr(np.linspace(-4.0, 4.0, THRESHOLDS // 2))
    found = []
    for scores in (ins, outs):
        at = np.rint(ranks * (len(scores) - 1)).astype(int)
        found.append(np.partition(scores, np.unique(at))[np.unique(at)])
    return np.unique(np.concatenate(found))


def _rates(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Return the share of scores at or above each threshold, drawn half a trial to the middle."""
    bins = np.searchsorted(thresholds, scores, side="right")
    reached = np.bincount(bins, minlength=len(thresholds) + 1)[::-1].cumsum()[::-1][1:]
    return np.asarray((reached + 0.5) / (len(scores) + 1))


def _centre(
    hits: np.ndarray, alarms: np.ndarray, odds: np.ndarray, half: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the centre with the least variance, within 0 and 1, and the stake that would ruin."""
    centre = np.clip((hits + odds * alarms) / 2, 0.0, 1.0)
    return centre, 1 / (np.maximum(centre, odds - centre) + half)


def _moments(
    hits: np.ndarray, alarms: np.ndarray, odds: np.ndarray, half: np.ndarray, centre: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of the payoff and of its square."""
    told = odds * alarms
    mean = (hits - told) / 2 - half
    low, high = centre + half, centre - half  # of what is lost, and gained, outside of S
    own = hits * (1 - 2 * low) + low**2
    other = told * (odds - 2 * high) + high**2
    return mean, np.maximum((own + other) / 2, 1e-300)
