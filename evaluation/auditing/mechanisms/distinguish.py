"""Epsilon bound from samples of two neighbours: a rule chosen on some, judged on the rest."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special

from evaluation.auditing.gaussian_bounds import gaussian_epsilon_bound
from evaluation.auditing.verdict import Claim, Finding
from evaluation.metrics.epsilon_bounds import clopper_pearson_epsilon, share_bounds
from fedbert.errors import InputError, expect

SIGNIFICANCE = 1e-3  # samples cost little, and an audit asks this of several mechanisms
THRESHOLDS = 400
CHOOSING = 8  # one of so many samples serves to choose the rule, the others to judge it
CAREFUL = 0.02  # of the significance, for choosing: a rule that was only lucky is not chosen
GRAIN = 1e-6  # of the largest value: finer differences are rounding, not noise

Statistics = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Probe:
    """A pair of neighbours, and what an adversary computes from the releases of each.

    draw(side, samples) returns statistics [sample] by name, of side 0 or 1, drawn independently.
    most: at most so many samples a side, where they are dear.
    """

    name: str
    draw: Callable[[int, int], Statistics]
    most: int | None = None


@dataclass(frozen=True)
class _Rule:
    """A way to tell the sides apart: a statistic, a threshold, a side of it, and a bound."""

    probe: str
    statistic: str
    above: bool
    threshold: float
    gaussian: bool
    value: float


def distinguish(
    what: str,
    claim: Claim,
    probes: Iterable[Probe],
    samples: int,
    significance: float = SIGNIFICANCE,
) -> Finding:
    """Return what the best rule for telling neighbours apart shows of a claim.

    Over all probes, statistics, thresholds and kinds of bound the best rule is chosen on the first
    eighth of the samples; it alone is judged on the rest, so that the choice costs nothing. Where
    the claim is of a Gaussian mechanism, the Gaussian bound may be chosen: it is above the claim
    only if rates came out that such a mechanism does not allow.

    Raises:
        InputError: for fewer than four samples, or a statistic that is not finite.
    """
    expect(samples >= 4, "samples >= 4", "samples", samples)
    best: _Rule | None = None
    judged: tuple[np.ndarray, np.ndarray] | None = None
    for probe in probes:
        count = samples if probe.most is None else min(samples, probe.most)
        sides = [probe.draw(side, count) for side in (0, 1)]
        for name in sides[0]:
            ones, others = _rounded(*(_checked(side[name], name) for side in sides))
            first = len(ones) // CHOOSING
            rule = _best(
                probe.name, name, ones[:first], others[:first], claim, CAREFUL * significance
            )
            if best is None or rule.value > best.value:
                best, judged = rule, (ones[first:], others[first:])
    if best is None or judged is None:
        raise InputError("expected at least one probe, got probes=[]")
    ones, others = judged
    hits, alarms = (int(((each >= best.threshold) == best.above).sum()) for each in (ones, others))
    counts = (hits, len(ones), alarms, len(others))
    function = gaussian_epsilon_bound if best.gaussian else clopper_pearson_epsilon
    bound = function(*counts, claim.delta, significance)
    method = "Gaussian bound" if best.gaussian else "Clopper-Pearson"
    how = f"neighbours {best.probe}, told apart by {best.statistic}, {method}"
    top = reachable(len(ones), claim, significance)
    return Finding(
        what, claim, bound, top, len(ones), significance, how, _more(claim, significance)
    )


def reachable(count: int, claim: Claim, significance: float) -> float:
    """Return the bound that so many samples a side give if each is told rightly."""
    perfect = (count, count, 0, count)
    found = clopper_pearson_epsilon(*perfect, claim.delta, significance)
    if claim.gaussian:
        found = max(found, gaussian_epsilon_bound(*perfect, claim.delta, significance))
    return found


def _more(claim: Claim, significance: float) -> str:
    """Return how many samples could contradict the claim."""
    count = 4
    while reachable(count, claim, significance) <= claim.epsilon and count < 2**40:
        count *= 2
    return f"at least about {count} judged samples a side"


def _best(
    probe: str,
    name: str,
    ones: np.ndarray,
    others: np.ndarray,
    claim: Claim,
    significance: float,
) -> _Rule:
    """Return the best threshold on a statistic, either side of it, by either kind of bound."""
    ones, others = np.sort(ones), np.sort(others)
    ranks = [np.linspace(0, len(side) - 1, THRESHOLDS // 2).astype(int) for side in (ones, others)]
    thresholds = np.unique(np.concatenate([ones[ranks[0]], others[ranks[1]]]))
    rules = []
    for above in (True, False):
        hits, alarms = (np.searchsorted(side, thresholds, side="left") for side in (ones, others))
        if above:
            hits, alarms = len(ones) - hits, len(others) - alarms
        plain = share_bounds(hits, len(ones), alarms, len(others), claim.delta, significance)
        at = int(np.argmax(plain))
        rules.append(_Rule(probe, name, above, float(thresholds[at]), False, float(plain[at])))
        if claim.gaussian:
            at = int(np.argmax(_mu(hits, len(ones), alarms, len(others), significance)))
            counts = (int(hits[at]), len(ones), int(alarms[at]), len(others))
            value = gaussian_epsilon_bound(*counts, claim.delta, significance)
            rules.append(_Rule(probe, name, above, float(thresholds[at]), True, value))
    return max(rules, key=lambda rule: rule.value)


def _mu(
    hits: np.ndarray, positives: int, alarms: np.ndarray, negatives: int, significance: float
) -> np.ndarray:
    """Return the lower bound on a Gaussian mechanism's mu of many counts at once."""
    some, few = np.clip(hits, 1, positives), np.clip(alarms, 0, negatives - 1)
    least = special.betaincinv(some, positives - some + 1, significance / 2)
    most = special.betainccinv(few + 1, negatives - few, significance / 2)
    return np.asarray(special.ndtri(least) - special.ndtri(most))


def _checked(values: np.ndarray, name: str) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise InputError(f"expected finite statistics [sample], got {name}={values.shape}")
    return values


def _rounded(ones: np.ndarray, others: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the statistics of both sides on one grid, made from those that choose.

    What the lowest bits of floating-point noise tell is no part of the claims.
    """
    first = len(ones) // CHOOSING
    grain = GRAIN * float(max(np.abs(ones[:first]).max(), np.abs(others[:first]).max()))
    return (ones, others) if grain == 0 else (np.rint(ones / grain), np.rint(others / grain))
