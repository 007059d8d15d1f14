"""Privacy budgets of a record's one message with its label beside it, without training."""

from evaluation.cli.budget_risk import allowed_lines, figure, risk_lines, user_lines
from evaluation.cli.budget_text import breach_lines, noise_line, refusing
from evaluation.cli.told import Line
from fedbert.errors import expect
from privacy.allowed import allowed_by
from privacy.calibration import multiplier_beside
from privacy.composition import BESIDE
from privacy.events import MessageEvent
from privacy.one_message import message_epsilon
from privacy.risk import Target
from reports.checks import VIEWS


def noise_lines(
    target: Target, delta: float, label_epsilon: float, releases: int, records: int | None
) -> list[str]:
    """Return the least noise with which a message and its label meet a budget together.

    Raises:
        InputError: for a number out of range, or a budget that the label alone takes.
    """
    expect(releases >= 1, "releases >= 1", "releases", releases)
    with refusing():
        multiplier = multiplier_beside(target, delta, releases, label_epsilon)
        spent = message_epsilon(multiplier, label_epsilon, releases, delta)
        return [
            noise_line(multiplier),
            Line(
                f"standard deviation  {figure(2 * multiplier, 6)}  (on every value of a message in "
                "the unit ball, replace-one)",
                standard_deviation=2 * multiplier,
                sensitivity=2.0,
            ),
            Line(
                f"epsilon             {figure(spent)}  (at delta {delta:g}; {BESIDE})",
                epsilon=spent,
                delta=delta,
                accountant=BESIDE,
            ),
            *risk_lines(target, MessageEvent(multiplier, label_epsilon), releases),
            _holds(label_epsilon, releases),
            *breach_lines(delta, records),
        ]


def epsilon_lines(
    noise_multiplier: float,
    delta: float,
    label_epsilon: float,
    releases: int,
    records: int | None,
    records_per_user: int | None = None,
) -> list[str]:
    """Return the epsilon of a message and its label together, and what it holds for.

    Raises:
        InputError: for a number out of range.
    """
    with refusing():
        spent = message_epsilon(noise_multiplier, label_epsilon, releases, delta)
        event = MessageEvent(noise_multiplier, label_epsilon)
        return [
            Line(f"epsilon at delta {delta:g}", delta=delta),
            Line(f"exact  {figure(spent)}  ({BESIDE})", epsilon={"exact": spent}),
            *allowed_lines(allowed_by(event, releases)),
            *user_lines(event, releases, delta, records_per_user),
            _holds(label_epsilon, releases),
            *breach_lines(delta, records),
        ]


def _holds(label_epsilon: float, releases: int) -> Line:
    times = "one message" if releases == 1 else f"{releases} messages"
    return Line(
        f"Holds for {times} of one record, its label answered at random with epsilon "
        f"{label_epsilon:g} each time, under the replace-one relation, against all five views of a "
        "training by one_message.",
        holds_for={
            "unit": "record",
            "relation": "replace-one",
            "views": [*VIEWS],
            "releases": releases,
            "label_epsilon": label_epsilon,
        },
    )
