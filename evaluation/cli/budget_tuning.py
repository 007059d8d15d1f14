"""Privacy budgets of settings that were chosen on the records, without training."""

import secrets

from evaluation.cli.budget_risk import allowed_lines, figure
from evaluation.cli.budget_text import breach_lines, refusing
from evaluation.cli.told import Line
from privacy.claims import selected_allowed
from privacy.composition import epsilon_of
from privacy.events import Event, GaussianEvent, PoissonGaussianEvent
from privacy.selection import (
    BY_SELECTION,
    Selection,
    selected_bound,
    selected_multiplier,
)

BITS = 53  # of a uniform value


def tuning_lines(
    asked: tuple[float | None, float | None],
    delta: float,
    training: tuple[float | None, int],
    chosen: tuple[float, float],
    draw: bool,
    records: int | None,
) -> list[str]:
    """Return what choosing the best of several trainings costs, or how much noise each needs.

    asked: the target epsilon, or each training's noise multiplier. training: the sample rate (None:
    nothing is sampled), and steps or releases. chosen: mean and shape of the number of trainings.
    draw: draw that number too.

    Raises:
        InputError: for a number out of range.
    """
    (target, noise), (rate, count) = asked, training
    with refusing():
        among = Selection(*chosen)
        if noise is None:
            noise = selected_multiplier(target or 0.0, delta, among, count, rate)
        event: Event = GaussianEvent(noise) if rate is None else PoissonGaussianEvent(noise, rate)
        best, one = selected_bound(event, count, among, delta), epsilon_of(event, count, delta)
        of = f"the best of {among.mean:g} trainings on average, shape {among.shape:g}"
        drawn = among.number(secrets.randbits(BITS) / 2**BITS)
        made = f"trainings to make: {drawn}  (tell nobody; drawn anew each time)"
        return [
            Line(
                f"noise multiplier  {figure(noise, 6)}  (of each training)", noise_multiplier=noise
            ),
            Line(
                f"epsilon           {figure(best.epsilon)}  (at delta {delta:g}; {of}; "
                f"{BY_SELECTION})",
                epsilon=best.epsilon,
                delta=delta,
                accountant=BY_SELECTION,
                chosen_among=among.to_json(),
            ),
            Line(
                f"one training      {figure(one.epsilon)}  (its settings chosen without the "
                "records)",
                epsilon_of_one_training=one.epsilon,
            ),
            *allowed_lines(selected_allowed(event, count, among)),
            Line(
                "Holds for the best training's model alone, judged by public data. Their number is "
                "drawn at random before the first, each takes settings drawn from a public list, "
                "none of which costs more than these (as much noise, as few steps, as small a "
                "rate), and noise of its own, and neither their number nor any but the best is "
                "ever shown.",
                holds_for={"model": "the best training's", "views": ["release"], "count": count}
                | ({} if rate is None else {"unit": "record", "relation": "add-or-remove-one"}),
            ),
            *([Line(made, trainings_to_make=drawn)] if draw else []),
            *breach_lines(delta, records),
        ]
