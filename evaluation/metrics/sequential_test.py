"""Sequential test of privacy claims: valid at every stopping time, and a bound on epsilon by it.

Whoever audits may look after every batch and stop when he likes. Wealth starts at 1 and is staked
on guesses that are fixed before a batch; under the claim no stake has a gain in the mean, so wealth
is a supermartingale, and the probability that it *ever* reaches 1 / alpha is at most alpha
(Ville 1939). What is staked on, and how much, is chosen by the past alone and needs no correction.

Reference: Ramdas et al. (2023), "Game-theoretic statistics and safe anytime-valid inference".
"""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from evaluation.metrics.betting import Bet, Past, best_bet, claim_points, seen
from fedbert.errors import expect

PARTS = (1.0, 0.5, 0.25)  # of the stake: the past flatters the guess that was best in it
LENT = 0.25  # of the wealth against a claim stands for all that are stronger
AGAIN = 1.125  # times the scores it was made of: a past is made again
ONLY = "score"

Scores = np.ndarray | Mapping[str, np.ndarray]


class SequentialTest:
    """Bets against claims, each weaker than the one before, on trials that come in batches.

    claims: the points (epsilon, delta) of each: one, or several lines of a trade-off curve. levels:
    the epsilon that each stands for, rising.

    Guarantee: if the claims are ordered (whatever one allows the next allows, too), any one that is
    true is rejected, ever, with a probability of at most alpha; and the lower bound, which is the
    last level up to which all are rejected, is ever above the truth with at most alpha. That asks
    of the trials that each has a fair coin, or that a batch has as many in as out, and that a
    trial's score depends on the others' coins by what was released before it alone. Where trials
    of a batch are looked at through one release, say `together`.
    """

    def __init__(
        self, claims: Sequence[np.ndarray], alpha: float, levels: Sequence[float] | None = None
    ) -> None:
        """Start with a wealth of 1 against each claim and nothing in the past.

        Raises:
            InputError: for points or levels that cannot be.
        """
        expect(0 < alpha < 1, "0 < alpha < 1", "alpha", alpha)
        expect(len(claims) > 0, "at least one claim", "claims", len(claims))
        for points in claims:
            fine = points.ndim == 2 and points.shape[1] == 2 and len(points) > 0
            expect(fine, "points [point, (epsilon, delta)]", "claims", points.shape)
            fine = bool(((points >= 0) & (points[:, 1:] <= 1)).all() and np.isfinite(points).all())
            expect(fine, "epsilons >= 0 and deltas from 0 to 1", "claims", points.tolist())
        self.claims = list(claims)
        self.levels = [float(p[0, 0]) for p in claims] if levels is None else list(levels)
        expect(len(self.levels) == len(claims), "a level per claim", "levels", len(self.levels))
        expect(self.levels == sorted(self.levels), "rising levels", "levels", self.levels)
        self.alpha = alpha
        self.samples = 0
        self._log_wealth = np.zeros((len(claims), len(PARTS)))
        self._highest = np.zeros(len(claims))
        self._begun = np.zeros(len(claims))
        self._scores: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        self._past: dict[str, tuple[int, Past]] = {}

    def begin_again(self, fallen: float) -> np.ndarray:
        """Begin anew, with a tenth of the wealth before, where wealth fell so far; return where.

        fallen: the logarithm of what is left. A share of .9 is for what began first, .09 for what
        begins then, and so on: the sum is one wealth, so whoever calls this gives .9 of alpha. What
        was lost on guesses that did not keep what the past promised is forgotten.
        """
        lost = ~self.rejected & (self._mixed() < fallen - math.log(10) * self._begun)
        self._begun[lost] += 1
        self._log_wealth[lost] = -math.log(10) * self._begun[lost, None]
        return np.asarray(lost)

    @classmethod
    def of_claim(cls, epsilon: float, delta: float, alpha: float) -> "SequentialTest":
        """Return the test of one claim (epsilon, delta)."""
        return cls([claim_points(epsilon, delta)], alpha)

    @property
    def wealth(self) -> np.ndarray:
        """The wealth [claim], an e-value; it rests where a claim and all before it are rejected."""
        with np.errstate(over="ignore"):
            return np.asarray(np.exp(self._mixed()))

    @property
    def rejected(self) -> np.ndarray:
        """Whether the wealth against each claim [claim] ever reached 1 / alpha."""
        return np.asarray(self._highest >= math.log(1 / self.alpha))

    @property
    def lower_bound(self) -> float:
        """The last level up to which every claim is rejected; 0 for none."""
        standing = np.flatnonzero(~self.rejected)
        first = int(standing[0]) if len(standing) else len(self.levels)
        return self.levels[first - 1] if first else 0.0

    def learn(self, ins: Scores, outs: Scores) -> None:
        """Take scores into the past without a bet: of a simulation, or of a pilot."""
        for name, (one, other) in _named(ins, outs).items():
            before = self._scores.get(name, (np.empty(0), np.empty(0)))
            sides = np.concatenate([before[0], one]), np.concatenate([before[1], other])
            self._scores[name] = sides

    def update(
        self, ins: Scores, outs: Scores, *, together: bool = False, keep: bool = True
    ) -> None:
        """Bet on a batch of trials, by what is past, then take it into the past.

        ins, outs [trial]: scores of canaries that were in, and out; or several scores of each by
        name, of which the one that the past speaks for is used. together: the batch is one release
        and its scores may depend on each other, so its mean payoff is one bet. keep: the batch
        becomes part of the past; else what is staked on stays what `learn` was given.

        Raises:
            InputError: for scores that are not finite, or of unequal length by name.
        """
        batch = _named(ins, outs)
        standing = np.flatnonzero(~self.rejected)
        for number in range(
            int(standing[0]) if len(standing) else len(self.claims), len(self.claims)
        ):
            chosen = self.best(number, batch)
            if chosen is not None:
                name, bet = chosen
                self._log_wealth[number] += _gain(bet, *batch[name], together)
        self._highest = np.maximum(self._highest, self._mixed())
        one, other = next(iter(batch.values()))
        self.samples += len(one) + len(other)
        if keep:
            self.learn(ins, outs)

    def best(self, claim: int, names: Iterable[str] | None = None) -> tuple[str, Bet] | None:
        """Return the score, of these names, and the bet on it that the past speaks for."""
        found: list[tuple[str, Bet]] = []
        for name in self._scores if names is None else names:
            past = self._seen(name)
            bet = None if past is None else best_bet(past, self.claims[claim])
            found += [] if bet is None else [(name, bet)]
        return max(found, key=lambda each: each[1].growth) if found else None

    def _seen(self, name: str) -> Past | None:
        """Return the past of a score, made again when it has grown by an eighth."""
        sides = self._scores.get(name)
        if sides is None or not all(len(side) for side in sides):
            return None
        known, count = self._past.get(name), sum(map(len, sides))
        if known is None or count >= known[0] * AGAIN:
            known = self._past[name] = (count, seen(*sides))
        return known[1]

    def _mixed(self) -> np.ndarray:
        """Return the logarithm of wealth [claim]: the mean over the parts, and a lent share.

        What is won against a weaker claim was won against every stronger one, too.
        """
        own = np.logaddexp.reduce(self._log_wealth, axis=1) - math.log(len(PARTS))
        for number in range(len(own) - 2, -1, -1):
            kept, lent = math.log(1 - LENT) + own[number], math.log(LENT) + own[number + 1]
            own[number] = np.logaddexp(kept, lent)
        return np.asarray(own)


def _gain(bet: Bet, ins: np.ndarray, outs: np.ndarray, together: bool) -> np.ndarray:
    """Return what a batch adds to the logarithm of wealth, for each part of the stake."""
    counts, payoffs = bet.counts(ins, outs), bet.payoffs()
    stakes = bet.stake * np.array(PARTS)[:, None, None]
    if together:
        trials = max(1, int(counts.sum()))
        return np.log1p(stakes[:, 0, 0] * float((counts * payoffs).sum()) / trials)
    return np.asarray((counts * np.log1p(stakes * payoffs)).sum(axis=(1, 2)))


def _named(ins: Scores, outs: Scores) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Return the scores of both sides by name, checked."""
    sides = [each if isinstance(each, Mapping) else {ONLY: each} for each in (ins, outs)]
    expect(set(sides[0]) == set(sides[1]), "the same names in and out", "scores", set(sides[1]))
    found = {}
    for name in sides[0]:
        pair = tuple(np.asarray(side[name], dtype=np.float64) for side in sides)
        fine = all(each.ndim == 1 and bool(np.isfinite(each).all()) for each in pair)
        expect(fine, "finite scores [trial]", name, [each.shape for each in pair])
        found[name] = (pair[0], pair[1])
    lengths = {tuple(len(each) for each in pair) for pair in found.values()}
    expect(len(lengths) == 1, "as many of each score", "scores", sorted(lengths))
    return found
