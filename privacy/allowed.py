"""Trade-off of a claim as a record keeps it: rates, advantage, and the mu of a Gaussian.

The curves themselves are in `privacy.tradeoff`.
"""

import decimal
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from privacy.events import Event, GaussianEvent, MessageEvent, PoissonGaussianEvent, PureEvent
from privacy.gaussian_distance import gaussian_distance
from privacy.tradeoff import (
    Curve,
    gaussian_curve,
    line_curve,
    message_curve,
    poisson_gaussian_curve,
    poisson_gaussian_delta,
    pure_curve,
)

# The false-positive rates at which a record keeps a curve: six to a decade, .001, .01, .1 among
# them to the last digit.
STORED = tuple(float(f"{10 ** (place / 6 - 5):.3g}") for place in range(31))

BY_GAUSSIAN = "Gaussian, closed form"
BY_LOSS = "privacy loss distribution of the sampled Gaussian"
BY_PURE = "pure, optimal composition"
BY_MESSAGE = "Gaussian beside randomised response, closed form"
BY_LINE = "the line of one (epsilon, delta): nothing else is known of the mechanism"


MU_DELTA = 1e-5
"""Down to this delta a record's mu holds; its smallest false-positive rate is as large."""


@dataclass(frozen=True)
class TradeOff:
    """What a claim allows whoever tells two neighbours apart, as a record keeps it.

    points: (false-positive rate, largest true-positive rate), the first at `STORED`, the second
    rounded up. basis: what the curve rests on. mu: two unit Gaussians so far apart have at least
    the curve's delta wherever that is `MU_DELTA` or more; None where nobody worked it out.
    """

    points: tuple[tuple[float, float], ...]
    advantage: float
    basis: str
    mu: float | None = None

    def tpr_at(self, fpr: float) -> float:
        """The largest true-positive rate at a stored rate."""
        return dict(self.points)[fpr]

    def raised(self, delta: float) -> "TradeOff":
        """The curve of the same claim whose delta is larger by so much; its mu is left out."""
        points = tuple((fpr, min(1.0, tpr + delta)) for fpr, tpr in self.points)
        return TradeOff(points, min(1.0, self.advantage + delta), self.basis)

    def to_json(self) -> dict[str, Any]:
        """The curve as keys of a guarantee."""
        mu = {} if self.mu is None else {"mu": self.mu, "mu_delta": MU_DELTA}
        return {
            "tradeoff": [list(point) for point in self.points],
            "advantage": self.advantage,
            "tradeoff_basis": self.basis,
            **mu,
        }


@lru_cache(maxsize=256)  # a loss distribution may take a second
def allowed_by(event: Event, releases: int) -> TradeOff:
    """What `releases` such events allow, by the mechanism's own curve.

    Raises:
        ValueError: metric privacy, which has no curve, or a negative count.
    """
    curve, basis = curve_of(event, releases)
    return stored(curve, basis, _delta_of(event, releases))


def curve_of(event: Event, releases: int) -> tuple[Curve, str]:
    """The curve of so many events, and what it rests on.

    Raises:
        ValueError: as `allowed_by`.
    """
    if isinstance(event, GaussianEvent):
        return gaussian_curve(event.noise_multiplier, releases), BY_GAUSSIAN
    if isinstance(event, PoissonGaussianEvent):
        curve = poisson_gaussian_curve(event.noise_multiplier, event.sample_rate, releases)
        return curve, BY_LOSS
    if isinstance(event, PureEvent):
        return pure_curve(event.epsilon, releases), BY_PURE
    if isinstance(event, MessageEvent):
        return message_curve(event.noise_multiplier, event.label_epsilon, releases), BY_MESSAGE
    raise ValueError(f"expected an event with a trade-off curve, got event={event!r}")


def _delta_of(event: Event, releases: int) -> Callable[[float], float] | None:
    """The delta at an epsilon where more of it can be read than the curve holds."""
    if isinstance(event, PoissonGaussianEvent):
        return poisson_gaussian_delta(event.noise_multiplier, event.sample_rate, releases)
    return None


def allowed_by_line(epsilon: float, delta: float) -> TradeOff:
    """What one (epsilon, delta) allows; its basis says that this is all that is known."""
    return stored(line_curve(epsilon, delta), BY_LINE)


def stored(curve: Curve, basis: str, delta_of: Callable[[float], float] | None = None) -> TradeOff:
    """A curve as a record keeps it; delta_of: more of its deltas, where they can be read."""
    points = tuple((fpr, up(tpr)) for fpr, tpr in curve.points(STORED))
    mu = gaussian_distance(curve, MU_DELTA, delta_of)
    return TradeOff(points, up(curve.advantage()), basis, None if mu is None else _above(mu))


def up(value: float) -> float:
    """The rate to six figures, never below itself, at most 1."""
    return min(1.0, _above(value))


def _above(value: float) -> float:
    """The value to six figures, never below itself."""
    context = decimal.Context(prec=6, rounding=decimal.ROUND_CEILING)
    return float(context.create_decimal(value))
