"""Privacy events: what one release did, as values that any later accountant can read again.

An event says nothing of view, unit or relation: `privacy.mechanism.Cost` holds it with the last
two, and the ledger knows the first.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from privacy.checks import one_of, positive


@dataclass(frozen=True)
class GaussianEvent:
    """One addition of Gaussian noise, measured against the sensitivity.

    `noise_multiplier` is the standard deviation of the noise divided by the L2 sensitivity under
    the relation of the `Cost` that holds the event.
    """

    noise_multiplier: float

    def __post_init__(self) -> None:
        """Check every field."""
        positive("noise_multiplier", self.noise_multiplier)


@dataclass(frozen=True)
class PoissonGaussianEvent:
    """One step of DP-SGD: every record drawn with `sample_rate`, their clipped sum noised.

    `noise_multiplier` is the noise's standard deviation divided by the clip norm, which is the L2
    sensitivity of the sum under add-or-remove-one.
    """

    noise_multiplier: float
    sample_rate: float

    def __post_init__(self) -> None:
        """Check every field."""
        positive("noise_multiplier", self.noise_multiplier)
        if not 0 < self.sample_rate <= 1:
            raise ValueError(f"expected 0 < sample_rate <= 1, got sample_rate={self.sample_rate}")


@dataclass(frozen=True)
class PureEvent:
    """One release under pure differential privacy (delta 0): Laplace noise, randomised response."""

    epsilon: float

    def __post_init__(self) -> None:
        """Check every field."""
        positive("epsilon", self.epsilon)


@dataclass(frozen=True)
class MetricEvent:
    """One release under metric (d_chi) privacy: two inputs at L2 distance d differ by eta * d.

    `eta` is in nats per unit of L2 distance between the rows that the mechanism is given.
    """

    eta: float

    def __post_init__(self) -> None:
        """Check every field."""
        positive("eta", self.eta)


@dataclass(frozen=True)
class MessageEvent:
    """One message of a record under Gaussian noise, and its label under pure privacy beside it.

    `noise_multiplier` as in `GaussianEvent`; `label_epsilon` is the label's own.
    """

    noise_multiplier: float
    label_epsilon: float

    def __post_init__(self) -> None:
        """Check every field."""
        positive("noise_multiplier", self.noise_multiplier)
        positive("label_epsilon", self.label_epsilon)


Event = GaussianEvent | PoissonGaussianEvent | PureEvent | MetricEvent | MessageEvent

EVENTS: dict[str, type[Event]] = {
    "gaussian": GaussianEvent,
    "poisson_gaussian": PoissonGaussianEvent,
    "pure": PureEvent,
    "metric": MetricEvent,
    "message": MessageEvent,
}


def event_to_json(event: Event) -> dict[str, Any]:
    """The event as a dictionary of plain values, its kind first."""
    kind = next(name for name, known in EVENTS.items() if isinstance(event, known))
    return {"kind": kind} | asdict(event)


def event_from_json(data: Mapping[str, Any]) -> Event:
    """The event that `event_to_json` wrote.

    Raises:
        ValueError: the event is of a kind that this version does not know.
    """
    one_of("event kind", data["kind"], tuple(EVENTS))
    return EVENTS[data["kind"]](**{name: v for name, v in data.items() if name != "kind"})
