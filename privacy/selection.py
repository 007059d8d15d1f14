"""Selection: what choosing the best of several trainings on the same records costs.

Settings that were chosen on private records are a release of their own. Where the number of
trainings is itself drawn at random, and nothing but the best of them is ever shown, that costs a
small multiple of one training, whatever their number came to be. A fixed number of trainings has
no such bound: then each counts as a release.

Reference: Papernot and Steinke (2022), "Hyperparameter tuning with Renyi differential privacy",
theorem 2 and corollary 3.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from privacy.accountants import Bound
from privacy.calibration import MARGIN, noise_multiplier_for
from privacy.checks import open_unit, positive, whole
from privacy.events import Event, GaussianEvent, PoissonGaussianEvent, PureEvent
from privacy.renyi import without_absl
from privacy.tradeoff import EPSILONS, MOST_EPSILON, Curve, pure_curve

SEES_ALL = "it sees each of the trainings that the model was chosen among, however many"
CHOSEN_EXCLUSIONS = (
    "how good each training was, judged by anything but public data",
    "how many trainings were made, and any of them but the best",
    "a choice among settings of which some cost more (less noise, more steps, a larger rate): the "
    "costliest of the list is what counts",
)
BY_SELECTION = "RDP of the best of a random number of trainings"
MOST_MEAN = 1e6
DOUBLINGS = 60  # of the noise, at most, until it meets a target


@dataclass(frozen=True)
class Selection:
    """How many trainings were made, the best of which is released: a truncated negative binomial.

    mean: of their number. shape: 1 for a geometric number, 0 for a logarithmic one; the smaller,
    the less it costs, and the more often a single training is all.

    Raises:
        ValueError: a mean that is not above 1 and at most a million, or a shape that is negative
            or not finite.
    """

    mean: float
    shape: float = 1.0

    def __post_init__(self) -> None:
        """Check every field."""
        if not 1 < self.mean <= MOST_MEAN:
            raise ValueError(f"expected 1 < mean <= {MOST_MEAN:g}, got mean={self.mean}")
        if not 0 <= self.shape < math.inf:
            raise ValueError(f"expected 0 <= shape, finite, got shape={self.shape}")

    def to_json(self) -> dict[str, float]:
        """The distribution's two numbers, as a file has them."""
        return asdict(self)

    @property
    def stopping(self) -> float:
        """The distribution's gamma: of shape 1 the chance that a training is the last."""
        from scipy.optimize import brentq

        return math.exp(
            brentq(lambda place: math.log(self._mean_at(place) / self.mean), -40, -1e-9)
        )

    def _mean_at(self, place: float) -> float:
        """The mean at a logarithm of gamma."""
        rest = -math.expm1(place)  # 1 - gamma
        if self.shape == 0:
            return rest / math.exp(place) / -place
        return self.shape * rest / math.exp(place) / -math.expm1(self.shape * place)

    def number(self, uniform: float) -> int:
        """The number of trainings that a uniform value in [0, 1) stands for: at least 1.

        >>> [Selection(10.0).number(each) for each in (0.0, 0.5, 0.9)]
        [1, 7, 22]

        Raises:
            ValueError: a value outside.
        """
        if not 0 <= uniform < 1:
            raise ValueError(f"expected 0 <= uniform < 1, got uniform={uniform}")
        gamma, shape = self.stopping, self.shape
        if shape == 0:
            chance = (1 - gamma) / -math.log(gamma)
        else:
            chance = shape * (1 - gamma) / (gamma**-shape - 1)
        count, passed = 1, chance
        while passed <= uniform and chance > 0:
            chance *= (1 - gamma) * (count + shape) / (count + 1)
            count += 1
            passed += chance
        return count


def selected_bound(event: Event, releases: int, selection: Selection, delta: float) -> Bound:
    """The epsilon of the best of a random number of trainings, each of so many releases.

    Guarantee: for whoever sees the best training's outcome alone, in the unit and relation of the
    event. The event is that of the costliest settings that any of the trainings could have had: the
    theorem bounds each by the same. How good each was has to be judged without the records, or at a
    cost that the event includes; how many there were must never be told.

    Raises:
        ValueError: delta not strictly between 0 and 1, a count below 1, or an event that is
            neither Gaussian, sampled or not, nor pure.
    """
    open_unit("delta", delta)
    if isinstance(event, PureEvent):
        _counted(releases)
        return Bound((2 + selection.shape) * releases * event.epsilon, BY_SELECTION, 0.0)
    return Bound(
        float(_accountant(event, releases, selection).get_epsilon(delta)), BY_SELECTION, delta
    )


def selected_curve(event: Event, releases: int, selection: Selection) -> Curve:
    """The trade-off curve of `selected_bound`: its delta at many epsilons, upper bounds all.

    Raises:
        ValueError: as `selected_bound`.
    """
    if isinstance(event, PureEvent):
        return pure_curve(selected_bound(event, releases, selection, 0.5).epsilon)
    accountant = _accountant(event, releases, selection)
    epsilons = MOST_EPSILON * np.linspace(0.0, 1.0, EPSILONS // 10) ** 2
    deltas = np.array([float(accountant.get_delta(float(each))) for each in epsilons])
    falling = np.minimum.accumulate(np.clip(deltas, 0.0, 1.0))
    return Curve(tuple(epsilons.tolist()), tuple(falling.tolist()))


def selected_multiplier(
    target_epsilon: float,
    delta: float,
    selection: Selection,
    releases: int,
    sample_rate: float | None = None,
) -> float:
    """The least noise, over the sensitivity, with which the best of the trainings meets a target.

    releases: of a unit in one training; the steps of DP-SGD where `sample_rate` is given.

    Raises:
        ValueError: as `selected_bound`, or a target that is not positive, or that no noise meets.
    """
    from scipy.optimize import brentq

    positive("target_epsilon", target_epsilon)
    open_unit("delta", delta)
    _counted(releases)

    def excess(place: float) -> float:
        noise = math.exp(place)
        event = (
            GaussianEvent(noise)
            if sample_rate is None
            else PoissonGaussianEvent(noise, sample_rate)
        )
        return math.log(selected_bound(event, releases, selection, delta).epsilon / target_epsilon)

    low = math.log(noise_multiplier_for(target_epsilon, delta, releases)) - 5.0
    high = next((low + step for step in range(1, DOUBLINGS) if excess(low + step) <= 0), None)
    if high is None:
        raise ValueError(
            f"expected a target that some noise meets, got target_epsilon={target_epsilon}"
        )
    place = brentq(excess, high - 1.0, high, xtol=1e-6) if excess(high - 1.0) > 0 else high
    while excess(place) > 0:
        place += 1e-6
    return math.exp(place) * (1.0 + MARGIN)


def _accountant(event: Event, releases: int, selection: Selection) -> Any:
    """dp-accounting's RDP of the best of the trainings."""
    from dp_accounting import dp_event as dp
    from dp_accounting.rdp import RdpAccountant

    _counted(releases)
    if isinstance(event, PoissonGaussianEvent):
        one: Any = dp.PoissonSampledDpEvent(
            event.sample_rate, dp.GaussianDpEvent(event.noise_multiplier)
        )
    elif isinstance(event, GaussianEvent):
        one = dp.GaussianDpEvent(event.noise_multiplier)
    else:
        raise ValueError(f"expected Gaussian or pure releases to choose among, got event={event!r}")
    accountant = RdpAccountant()
    training = dp.SelfComposedDpEvent(one, releases)
    with without_absl():
        accountant.compose(dp.RepeatAndSelectDpEvent(training, selection.mean, selection.shape))
    return accountant


def _counted(releases: int) -> None:
    whole("releases", releases)
    positive("releases", releases)
