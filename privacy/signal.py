"""Signal of one unit beside the noise of a release: where noise drowns whatever is said.

The noise multiplier is the standard deviation of the noise over the most that one unit can change
a release by, so one over it bounds the signal-to-noise ratio of that unit, in any direction.
"""

from privacy.events import Event, GaussianEvent, MessageEvent, PoissonGaussianEvent, PureEvent

FAINT = 1_000.0
"""Above it a budget is warned of: epsilon .002 at delta 1e-5, say."""

LOST = 10_000.0
"""Above it no training starts: not even the sum of a million units would be heard over it."""


def noise_over_signal(event: Event) -> float | None:
    """The noise of one release over the most that one unit changes it by.

    Under pure differential privacy one over epsilon, the scale of Laplace noise. None for metric
    privacy, whose signal goes by the distance.

    >>> noise_over_signal(GaussianEvent(2.0)), noise_over_signal(PureEvent(0.5))
    (2.0, 2.0)
    """
    if isinstance(event, GaussianEvent | PoissonGaussianEvent | MessageEvent):
        return event.noise_multiplier
    return 1 / event.epsilon if isinstance(event, PureEvent) else None


def faint_words(event: Event) -> str:
    """The warning that noise drowns what one unit says; "" where it does not.

    >>> faint_words(GaussianEvent(1.0))
    ''
    """
    ratio = noise_over_signal(event)
    if ratio is None or ratio <= FAINT:
        return ""
    return (
        f"the noise is {ratio:,.0f} times the most that one unit changes a release by: a message "
        f"of one unit drowns in it, and so does a sum of fewer than {ratio:,.0f} that is noised "
        f"once (a training takes at most {LOST:,.0f} times)"
    )
