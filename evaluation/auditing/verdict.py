"""Verdicts of an audit: a claim is violated, it stands so far, or the audit is too weak."""

import math
from dataclasses import dataclass

from reports.card.content import CONSISTENT, TOO_WEAK, VIOLATES, Check

CURVE = {
    VIOLATES: "refuted",
    CONSISTENT: "not refuted, which it could have been",
    TOO_WEAK: "so few could not have refuted it",
}


@dataclass(frozen=True)
class Claim:
    """What is claimed: that neighbours are (epsilon, delta)-indistinguishable.

    gaussian: it is claimed, besides, that the mechanism is a Gaussian one.
    """

    epsilon: float
    delta: float
    gaussian: bool = False


@dataclass(frozen=True)
class Finding:
    """What an audit of one claim showed.

    bound: the lower bound on epsilon at the significance. reachable: the largest bound that as many
    samples could have shown, with every one told rightly. how: the attack and the statistic behind
    the bound. samples: what was judged. more: what would be needed where that is too few. stopped:
    why no more was drawn, where that was for the audit to say. by_curve: the verdict is that of the
    claim's own trade-off curve, which says more than epsilon and delta; None where none is known.
    """

    what: str
    claim: Claim
    bound: float
    reachable: float
    samples: int
    significance: float
    how: str
    more: str = ""
    stopped: str = ""
    by_curve: str | None = None

    @property
    def verdict(self) -> str:
        """The bound is above the claim; or it could have been and is not; or it could not."""
        if self.by_curve is not None:
            return self.by_curve
        if self.bound > self.claim.epsilon:
            return VIOLATES
        return CONSISTENT if self.reachable > self.claim.epsilon else TOO_WEAK

    def check(self, name: str) -> Check:
        """Return the check of this name that the finding is, its bound as numbers too."""
        numbers = {
            "epsilon_at_least": self.bound,
            "epsilon_claimed": self.claim.epsilon,
            "delta": self.claim.delta,
            "epsilon_reachable": self.reachable,
            "confidence": 1 - self.significance,
            "samples": self.samples,
        }
        finite = {key: value for key, value in numbers.items() if math.isfinite(value)}
        more = self.more if self.verdict == TOO_WEAK else ""
        return Check(name, self.verdict, self.detail(), finite, more=more)

    def detail(self) -> str:
        """What is behind the verdict, in one line."""
        shown = (
            f"epsilon is at least {self.bound:.3g} at delta {self.claim.delta:g} with "
            f"{100 * (1 - self.significance):g} % confidence, claimed are {self.claim.epsilon:.4g}"
        )
        end = f"; it would take {self.more}" if self.verdict == TOO_WEAK and self.more else ""
        why = f", stopped {self.stopped}" if self.stopped else ""
        if self.by_curve is not None:
            why += f"; decided by the claim's own trade-off curve: {CURVE[self.by_curve]}"
        return (
            f"{shown}; this audit could have shown up to {self.reachable:.3g}; "
            f"{self.how}, {self.samples} judged{why}{end}"
        )
