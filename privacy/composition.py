"""Composition: the epsilon of what was done, and how often."""

from dataclasses import replace

from privacy.accountants import (
    ACCOUNTANTS,
    Accountant,
    Bound,
    gaussian_epsilon,
    poisson_gaussian_bound,
    pure_bound,
)
from privacy.checks import one_of
from privacy.events import (
    Event,
    GaussianEvent,
    MessageEvent,
    MetricEvent,
    PoissonGaussianEvent,
    PureEvent,
)
from privacy.one_message import message_epsilon
from privacy.randomness.tails import tail_delta

EXACT = "analytic Gaussian, exact composition"
BESIDE = "Gaussian beside randomised response, closed form"
MOST_VALUES = 2**36
"""No release has more values: in float32 they would take 256 GiB."""


def epsilon_of(event: Event, releases: int, delta: float, accountant: Accountant = "pld") -> Bound:
    """The epsilon of an event that took place `releases` times, and who vouches for it.

    The bound's own delta is the one it holds at: 0 where pure differential privacy is summed.
    `accountant` serves for DP-SGD alone; Gaussian releases compose exactly.

    | event | outcome |
    |---|---|
    | Gaussian | `gaussian_epsilon` |
    | Poisson-sampled Gaussian | `poisson_gaussian_bound` |
    | pure | `pure_bound`: the sum, or the optimal composition at `delta` where that is less |
    | message with its label | `message_epsilon` |
    | metric | `ValueError`: metric privacy is no (epsilon, delta) |
    | any, `releases` negative or no integer, `delta` out of range | `ValueError` |

    >>> epsilon_of(PureEvent(0.5), 2, 1e-5)
    Bound(epsilon=1.0, accountant='pure, summed', delta=0.0)
    """
    one_of("accountant", accountant, ACCOUNTANTS)
    if isinstance(event, GaussianEvent):
        return Bound(gaussian_epsilon(event.noise_multiplier, releases, delta), EXACT, delta)
    if isinstance(event, PoissonGaussianEvent):
        return _sampled(event, releases, delta, accountant)
    if isinstance(event, PureEvent):
        return pure_bound(event.epsilon, releases, delta)
    if isinstance(event, MessageEvent):
        epsilon = message_epsilon(event.noise_multiplier, event.label_epsilon, releases, delta)
        return Bound(epsilon, BESIDE, delta)
    if isinstance(event, MetricEvent):
        raise ValueError(f"expected an event with an (epsilon, delta), got event={event}")
    raise ValueError(f"expected an event of a known kind, got event={event!r}")


def tail_floor(event: Event, releases: int) -> float:
    """What the cut tails of drawn noise add to delta, over all releases: 0.0 but for tiny noise.

    For as many values as a release can have. A shift of more than some 35 standard deviations, or
    440 Laplace scales, is where it begins to show. Randomised response, an event as Laplace's,
    draws coins and has no tails; its epsilon is never so large that this could matter.

    >>> tail_floor(GaussianEvent(0.5), 10**6), 0 < tail_floor(GaussianEvent(0.025), 1) < 1e-5
    (0.0, True)
    """
    if isinstance(event, GaussianEvent | PoissonGaussianEvent | MessageEvent):
        return tail_delta("gaussian", releases, MOST_VALUES, 1.0 / event.noise_multiplier)
    if isinstance(event, PureEvent):
        return tail_delta("laplace", releases, MOST_VALUES, event.epsilon)
    return 0.0


def _sampled(
    event: PoissonGaussianEvent, steps: int, delta: float, accountant: Accountant
) -> Bound:
    """The bound of DP-SGD; who vouches for it goes with the rate at which records were drawn."""
    bound = poisson_gaussian_bound(
        event.noise_multiplier, event.sample_rate, steps, delta, accountant
    )
    return replace(
        bound, accountant=f"{bound.accountant}, Poisson sampling at rate {event.sample_rate:.4g}"
    )
