"""Composition of several mechanisms on the same records, and of one on a user's records together.

What was done is a list of parts. Gaussian parts compose exactly; else the parts' privacy losses are
composed by dp-accounting's PLD, whose delta is an upper bound, and the trade-off curve is read off
that, as for one mechanism. Of DP-SGD a user's k records are each drawn by themselves, so that a
step moves the sum by as many clip norms as came: a mixture of Gaussians, whose loss is composed as
it is. Where that cannot be made, the record's own curve is passed through itself k times.

References: Ganesh (2024), "Tight group-level DP guarantees for DP-SGD with sampling via mixture of
Gaussians mechanisms", theorem 4.1; Dong, Roth, Su (2022), "Gaussian differential privacy", theorem
2.14, for the curve passed through itself.
"""

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from privacy.accountants import (
    FOURIER_DELTA,
    PLD_STEPS,
    Bound,
    gaussian_epsilon,
    pure_bound,
)
from privacy.allowed import BY_GAUSSIAN, BY_PURE, TradeOff, stored
from privacy.checks import positive, whole
from privacy.composition import EXACT
from privacy.events import Event, GaussianEvent, MessageEvent, PoissonGaussianEvent, PureEvent
from privacy.losses import composed_loss, gaussian_loss, mixture_loss, pure_loss
from privacy.tradeoff import (
    FINEST,
    MOST_LOSS,
    Curve,
    ever_drawn,
    gaussian_curve,
    loss_interval,
    made,
    of_loss,
    poisson_gaussian_curve,
    pure_curve,
)

logger = logging.getLogger(__name__)

BY_LOSSES = "privacy loss distributions, composed"
BY_MIXTURE = "privacy loss distribution of a mixture of Gaussians"
BY_ITERATION = "the curve of a record, passed through itself for each record of the user"
MIXTURE_POINTS = 4000  # of the loss of one step; a second or two
MOST_RECORDS = 10_000
RATES = 600  # false-positive rates at which an iterated curve is known


@dataclass(frozen=True)
class Part:
    """So many events, about one record, or about as many `records` of one user.

    Of a mechanism whose every release is about one record (a message, a label) the records' events
    add up; of DP-SGD's steps the records may come together.
    """

    event: Event
    releases: int
    records: int = 1

    def __post_init__(self) -> None:
        """Check the counts."""
        whole("releases", self.releases)
        whole("records", self.records)
        positive("records", self.records)
        if self.records > MOST_RECORDS:
            raise ValueError(f"expected records <= {MOST_RECORDS}, got records={self.records}")


@dataclass(frozen=True)
class Composed:
    """What parts cost together: their curve, and how an epsilon follows from it.

    accountant: who vouches for epsilon. delta_of: reads more deltas than the curve holds.
    """

    curve: Curve
    basis: str
    accountant: str
    epsilon_at: Callable[[float], float]
    delta_of: Callable[[float], float] | None = None

    def bound(self, delta: float) -> Bound | None:
        """The least epsilon known at a delta; None where there is none."""
        epsilon = self.epsilon_at(delta)
        return Bound(epsilon, self.accountant, delta) if math.isfinite(epsilon) else None

    def allowed(self) -> TradeOff:
        """What an attack may reach at most, as a record keeps it."""
        return stored(self.curve, self.basis, self.delta_of)


@dataclass(frozen=True)
class _Sorted:
    """Parts by their kind: mu of all Gaussian ones, pure epsilons and DP-SGD with their counts."""

    mu: float
    pure: tuple[tuple[float, int], ...]
    sampled: tuple[tuple[float, float, int, int], ...]


@lru_cache(maxsize=64)  # losses of DP-SGD take seconds
def composed(parts: tuple[Part, ...]) -> Composed:
    """What the parts, all about the same record or user, allow together.

    Guarantee: as of the mechanisms of the parts, under their own relation, which has to be one and
    the same; each may be chosen after the earlier ones were seen.

    >>> both = composed((Part(GaussianEvent(3.0), 1), Part(GaussianEvent(4.0), 1)))
    >>> round(1 / 2.4, 4), round(both.allowed().mu, 4)  # 1/9 + 1/16 = (5/12)^2
    (0.4167, 0.4167)

    Raises:
        ValueError: metric privacy, which has no curve, or losses too large to be composed.
    """
    known = _sorted(parts)
    if not known.sampled and not known.pure:
        return _gaussian(known.mu)
    if not known.sampled and not known.mu and len(known.pure) == 1:
        ((epsilon, count),) = known.pure
        return Composed(
            pure_curve(epsilon, count),
            BY_PURE,
            "pure, optimal composition",
            lambda delta: pure_bound(epsilon, count, delta).epsilon,
        )
    if not known.mu and not known.pure and len(known.sampled) == 1 and known.sampled[0][3] > 1:
        return _of_user(*known.sampled[0])
    interval = max([FINEST, *(_interval(*each) for each in known.sampled)])
    loss = _together(known, interval)
    return _by_loss(loss, BY_LOSSES, "pld, composed", ())


def _sorted(parts: tuple[Part, ...]) -> _Sorted:
    """The parts by their kind, alike ones put together."""
    square = 0.0
    pure: dict[float, int] = {}
    sampled: dict[tuple[float, float, int], int] = {}
    for part in parts:
        event, k, n = part.event, part.records, part.releases
        if n == 0:
            continue
        if isinstance(event, PoissonGaussianEvent) and (event.sample_rate == 1 or n > PLD_STEPS):
            square += n * (k / event.noise_multiplier) ** 2
        elif isinstance(event, PoissonGaussianEvent):
            key = (event.noise_multiplier, event.sample_rate, k)
            sampled[key] = sampled.get(key, 0) + n
        elif isinstance(event, GaussianEvent | MessageEvent):
            square += n * k / event.noise_multiplier**2
        if isinstance(event, PureEvent | MessageEvent):
            own = event.epsilon if isinstance(event, PureEvent) else event.label_epsilon
            pure[own] = pure.get(own, 0) + n * k
        elif not isinstance(event, GaussianEvent | PoissonGaussianEvent):
            raise ValueError(f"expected an event with a trade-off curve, got event={event!r}")
    steps = tuple((noise, rate, n, k) for (noise, rate, k), n in sorted(sampled.items()))
    return _Sorted(math.sqrt(square), tuple(sorted(pure.items())), steps)


def _gaussian(mu: float) -> Composed:
    """Gaussian releases at this distance together, in closed form."""
    if mu == 0:
        return Composed(Curve((0.0,), (0.0,)), BY_GAUSSIAN, EXACT, lambda delta: 0.0)
    return Composed(
        gaussian_curve(1 / mu),
        BY_GAUSSIAN,
        EXACT,
        lambda delta: gaussian_epsilon(1 / mu, 1, delta),
    )


def _interval(noise_multiplier: float, rate: float, steps: int, records: int) -> float:
    """How fine the losses of so many steps are discretised."""
    if records == 1:
        return loss_interval(noise_multiplier, rate, steps)
    ratio = records / noise_multiplier
    return max(FINEST, (ratio**2 / 2 + 10 * ratio) / MIXTURE_POINTS)


def _together(known: _Sorted, interval: float) -> Any:
    """The composed loss of all parts, on one grid."""
    if interval * MIXTURE_POINTS > MOST_LOSS:
        raise ValueError("expected losses that can be composed, got next to no noise")
    losses = []
    for noise, rate, steps, records in known.sampled:
        if records == 1:
            losses.append(composed_loss(noise, rate, steps, interval))
        else:
            losses.append(mixture_loss(noise, rate, steps, records, interval))
    losses += [pure_loss(epsilon, count, interval) for epsilon, count in known.pure]
    if known.mu:
        losses.append(gaussian_loss(1 / known.mu, interval))
    found, *others = losses
    for each in others:
        found = found.compose(each)
    return found


def _of_user(noise_multiplier: float, rate: float, steps: int, records: int) -> Composed:
    """So many steps of DP-SGD for a user of several records."""
    setting = (noise_multiplier, rate, steps, records)
    ever = ever_drawn(rate, steps * records)
    unsampled = gaussian_curve(noise_multiplier / records, steps)
    floor = Curve(unsampled.epsilons, tuple(min(delta, ever) for delta in unsampled.deltas))
    try:
        loss = _together(_Sorted(0.0, (), (setting,)), _interval(*setting))
        return _by_loss(loss, BY_MIXTURE, "pld, mixture of Gaussians", (floor,))
    except (ArithmeticError, MemoryError, RuntimeError, ValueError):
        logger.warning("the loss of %s records together cannot be made", records)
    curve = _lowest(iterated(poisson_gaussian_curve(noise_multiplier, rate, steps), records), floor)
    return Composed(curve, BY_ITERATION, "trade-off curve, group privacy", curve.epsilon_at)


def _by_loss(loss: Any, basis: str, accountant: str, others: tuple[Curve, ...]) -> Composed:
    """What a composed loss allows, and never more than other curves of the same do."""

    def delta_of(epsilon: float) -> float:
        return float(loss.get_delta_for_epsilon(epsilon))

    def epsilon_at(delta: float) -> float:
        own = float(loss.get_epsilon_for_delta(max(delta, FOURIER_DELTA)))
        known = [each.epsilon_at(delta) for each in others]
        return min([own if delta >= FOURIER_DELTA else math.inf, *known])

    reach = float(loss.get_epsilon_for_delta(FOURIER_DELTA))
    told, found = of_loss(delta_of, reach if math.isfinite(reach) else MOST_LOSS)
    order = np.argsort(told, kind="stable")
    curve = _lowest(made(told[order], found[order]), *others)
    return Composed(curve, basis, accountant, epsilon_at, delta_of)


def _lowest(*curves: Curve) -> Curve:
    """The curve of all points of curves that bound the same."""
    epsilons = np.concatenate([np.array(each.epsilons) for each in curves])
    deltas = np.concatenate([np.array(each.deltas) for each in curves])
    order = np.lexsort((deltas, epsilons))
    return made(epsilons[order], deltas[order])


def iterated(curve: Curve, count: int) -> Curve:
    """The curve of a group of so many, from that of one, whatever the mechanism.

    Whoever tells data sets apart that differ in `count` has a chain of neighbours between them: the
    largest true-positive rate of one step is the false-positive rate of the next. What comes out is
    concave, so that beyond a line through two of its points it lies below; the deltas are those of
    such lines.

    >>> from privacy.tradeoff import gaussian_curve
    >>> round(iterated(gaussian_curve(2.0), 3).tpr_at(0.01), 3)  # mu 3 / 2
    0.204

    Raises:
        ValueError: a count below 1.
    """
    whole("count", count)
    positive("count", count)
    fprs = np.concatenate([np.logspace(-14, -1, RATES), np.linspace(0.1, 1.0, RATES)[1:]])
    tprs = fprs
    for _ in range(count):
        tprs = curve.tprs_at(tprs)
    slopes = np.diff(tprs) / np.diff(fprs)
    corners = _corners(fprs, tprs, slopes)
    most = count * max(1.0, min(curve.epsilons[-1], 60.0 / count))
    epsilons = most * np.linspace(0.0, 1.0, 400) ** 2
    above = corners[1] - np.exp(epsilons)[:, None] * corners[0]  # [epsilon, corner]
    return made(epsilons, np.maximum(above.max(1), 0.0))


def _corners(
    fprs: np.ndarray, tprs: np.ndarray, slopes: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Corners (x, y) of a line that a concave curve through these points stays below."""
    before, after = slopes[:-2], slopes[2:]
    inner = slice(1, -2)  # between which two points: the neighbours' lines meet there
    gap = np.diff(fprs)[1:-1]
    rise = np.diff(tprs)[1:-1]
    bend = before - after
    share = np.where(bend > 1e-12, (rise - after * gap) / np.where(bend > 1e-12, bend, 1.0), 0.0)
    x = fprs[inner] + np.clip(share, 0.0, gap)
    y = np.minimum(1.0, tprs[inner] + before * np.clip(share, 0.0, gap))
    start = tprs[1] - slopes[1] * fprs[1]  # the second line, back to a rate of 0
    ends_x = np.array([0.0, fprs[1], fprs[-2], 1.0])
    ends_y = np.array([start, tprs[1], 1.0, 1.0])
    return np.concatenate([x, ends_x]), np.concatenate([y, ends_y])
