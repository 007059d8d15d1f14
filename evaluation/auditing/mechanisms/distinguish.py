"""Epsilon bound from samples of two neighbours, drawn until enough is known and no longer."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from evaluation.auditing.mechanisms.ladder import ladder, more, reachable
from evaluation.auditing.verdict import Claim, Finding
from evaluation.metrics.betting import Bet
from evaluation.metrics.sequential_test import SequentialTest
from fedbert.errors import InputError, expect

SIGNIFICANCE = 1e-3  # samples cost little, and an audit asks this of several mechanisms
ENOUGH = 0.9  # of the claim: a bound that far needs no more samples
FAIR = 20_000  # samples a side before it is given up that a bound rises any further
PILOT = 500  # samples a side of every probe before the first bet
DEAR = 10  # of what a probe may draw at most, the pilot is at most one part in so many
GROWTH = 2  # a batch is one part in so many of what was drawn before it
OTHERS = 16  # of a batch, one part in so many is drawn of the probes that are not bet on
BETTER = 1.5  # times the growth of the probe at hand: another is turned to
DEARER = 4.0  # times: a probe that is dear has to speak so much more
SIGN = 3.0  # of the growth so far against the claim: two and a half standard errors
GAINED = 2.0  # or a wealth against it that a true claim reaches in at most half of all audits
FALLEN = -5.0  # log wealth: a probe on which so much was lost does not keep what its past promised
GRAIN = 1e-6  # of the largest value: finer differences are rounding, not noise

Statistics = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Probe:
    """A pair of neighbours, and what an adversary computes from the releases of each.

    draw(side, samples) returns statistics [sample] by name, of side 0 or 1, drawn independently,
    and others at every call. most: at most so many samples a side. dear: it is drawn from, after
    the pilot, only while bets are placed on it.
    """

    name: str
    draw: Callable[[int, int], Statistics]
    most: int | None = None
    dear: bool = False


@dataclass
class _Drawn:
    """What was drawn of a probe, and the grid that its statistics are put on."""

    probe: Probe
    most: int
    count: int = 0
    grains: dict[str, float] = field(default_factory=dict)

    def sides(self, samples: int) -> list[dict[str, np.ndarray]]:
        """Return statistics of both sides by the probe's name and theirs, on one grid.

        What the lowest bits of floating-point noise tell is no part of the claims. The grid is made
        from the first samples, which are never bet on.
        """
        count = min(samples, self.most - self.count)
        self.count += count
        drawn = [self.probe.draw(side, count) for side in (0, 1)]
        for name in drawn[0]:
            largest = max(float(np.abs(_checked(side[name], name)).max()) for side in drawn)
            self.grains.setdefault(name, GRAIN * largest)
        return [
            {self.named(name): self._rounded(values, name) for name, values in side.items()}
            for side in drawn
        ]

    def named(self, name: str) -> str:
        """Return how a statistic of the probe is told."""
        return f"neighbours {self.probe.name}, told apart by {name}"

    @property
    def names(self) -> list[str]:
        """The statistics by the probe's name and theirs."""
        return [self.named(name) for name in self.grains]

    def _rounded(self, values: np.ndarray, name: str) -> np.ndarray:
        grain = self.grains[name]
        return np.asarray(values if grain == 0 else np.rint(values / grain))


def distinguish(
    what: str,
    claim: Claim,
    probes: Iterable[Probe],
    samples: int,
    significance: float = SIGNIFICANCE,
) -> Finding:
    """Return what telling neighbours apart shows of a claim, with no more samples than it takes.

    Bets are placed on the probe, statistic, threshold and line of the claim's trade-off curve that
    speak most against it so far; each batch is bet on before it is drawn, so that the choice costs
    nothing and stopping is free. It stops at a violation, at a bound of `ENOUGH` of the claim (or
    of what could be shown) unless a violation is in sight, or after `samples` a side of the probe
    that is bet on. Where a Gaussian mechanism is claimed, bets are against its whole curve: the
    bound is above the claim only if rates came out that such a mechanism does not allow.

    Raises:
        InputError: for fewer than four samples, no probe, or a statistic that is not finite.
    """
    expect(samples >= 4, "samples >= 4", "samples", samples)
    drawn = [_Drawn(p, samples if p.most is None else min(samples, p.most)) for p in probes]
    expect(len(drawn) > 0, "at least one probe", "probes", [])
    pilots = [min(PILOT, max(2, each.most // DEAR)) for each in drawn]
    judged = max(each.most - pilot for each, pilot in zip(drawn, pilots, strict=True))
    audit = _Audit(claim, judged, significance, drawn)
    for each, pilot in zip(drawn, pilots, strict=True):
        audit.test.learn(*each.sides(pilot))
    stopped = ""
    while not stopped:
        audit.draw()
        stopped = audit.stopped()
    line = "the Gaussian's curve" if claim.gaussian else "its epsilon and delta"
    return Finding(
        what,
        claim,
        audit.test.lower_bound,
        reachable(judged, claim, significance),
        audit.test.samples // 2,
        significance,
        f"{audit.how}, by bets against {line}",
        more(claim, significance),
        stopped,
    )


class _Audit:
    """The bets of one audit, and the choice of what is drawn next."""

    def __init__(self, claim: Claim, judged: int, alpha: float, drawn: list[_Drawn]) -> None:
        """Start with no bet; judged: at most so many samples a side are bet on."""
        self.rungs = ladder(claim, judged, alpha, ENOUGH)
        # A tenth of alpha is for bets that begin again: see `SequentialTest.begin_again`.
        self.test = SequentialTest(self.rungs.claims, 0.9 * alpha, self.rungs.levels)
        self.doubted: list[_Drawn] = []
        self.judged, self.drawn, self.how = judged, drawn, ""
        self.at_hand: _Drawn | None = None

    @property
    def next(self) -> int:
        """The first rung that stands, but none above the claim's."""
        standing = np.flatnonzero(~self.test.rejected)
        return min(int(standing[0]), self.rungs.own) if len(standing) else self.rungs.own

    def draw(self) -> None:
        """Draw and bet on a batch of the probe that the past speaks for, a little of the others."""
        chosen = self.at_hand = self._favourite()
        size = max(PILOT, chosen.count // GROWTH)
        size = min(size, self.judged - self.test.samples // 2)
        bet, before = self.test.best(self.next, chosen.names), self.test.lower_bound
        self.test.update(*chosen.sides(size))
        if self.test.begin_again(FALLEN)[self.rungs.own]:
            self.doubted.append(chosen)
        if not self.how or (bet is not None and self.test.lower_bound > before):
            self.how = chosen.names[0] if bet is None else bet[0]
        others = [each for each in self._left() if each is not chosen and not each.probe.dear]
        for each in others:
            self.test.learn(*each.sides(max(1, size // OTHERS // len(others))))

    def _left(self) -> list[_Drawn]:
        return [each for each in self.drawn if each.count < each.most]

    def _favourite(self) -> _Drawn:
        """Return the probe that speaks most against the claim, if that may fall, or the next rung.

        The one at hand is kept unless another is clearly better.
        """
        left = self._left()
        rung = self.rungs.own if self._in_sight() else self.next
        growths = {number: self._growth(rung, each) for number, each in enumerate(left)}
        best = max(growths, key=lambda number: growths[number])
        if self.at_hand in left and growths[left.index(self.at_hand)] * BETTER >= growths[best]:
            return self.at_hand
        cheapest = min(left, key=lambda each: (each.probe.dear, each.count))
        return left[best] if growths[best] > 0 else cheapest

    def _growth(self, rung: int, drawn: _Drawn) -> float:
        """Return how fast wealth grows by a probe; of a dear one, in proportion and if sure."""
        best = self.test.best(rung, drawn.names)
        if best is None or any(drawn is each for each in self.doubted):
            return 0.0
        growth, dear = best[1].growth, drawn.probe.dear
        if dear and 2 * drawn.count * growth < SIGN:
            return 0.0
        return growth / DEARER if dear else growth

    def _in_sight(self) -> bool:
        """Return whether the claim itself seems about to fall, and not by chance."""
        best = self._falls(self.rungs.own)
        if best is None:
            return False
        count = 2 * next(each.count for each in self.drawn if best[0] in each.names)
        gained = float(self.test.wealth[self.rungs.own]) >= GAINED
        return gained or best[1].growth * count >= SIGN

    def _falls(self, rung: int) -> tuple[str, Bet] | None:
        """Return the bet by which a rung falls with what may still be drawn, if it goes on so."""
        best = self.test.best(rung, [name for each in self._left() for name in each.names])
        wealth = max(float(self.test.wealth[rung]), 1e-300)
        wanted = -math.log(self.test.alpha) - math.log(wealth)
        left = 2 * self.judged - self.test.samples
        return best if best is not None and best[1].growth * left >= wanted else None

    def stopped(self) -> str:
        """Return why nothing more is drawn; empty where it goes on."""
        if self.test.lower_bound >= self.rungs.levels[self.rungs.own]:
            return "at a violation"
        if self.test.samples // 2 >= self.judged or not self._left():
            return "at the most samples"
        if self._in_sight():
            return ""
        if self.test.lower_bound < self.rungs.enough:
            going = self.test.samples // 2 < FAIR or self._falls(self.next) is not None
            return "" if going else "where more of the same would not raise the bound"
        return f"at a bound of {100 * ENOUGH:g} % of what is claimed, or can be shown"


def _checked(values: np.ndarray, name: str) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise InputError(f"expected finite statistics [sample], got {name}={values.shape}")
    return values
