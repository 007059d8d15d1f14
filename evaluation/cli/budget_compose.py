"""Privacy budgets of several trainings on the same records, composed from what they recorded."""

from collections.abc import Iterator

from evaluation.auditing.several_trainings import Nothing, Together, together
from evaluation.auditing.trainings import read_trainings
from evaluation.cli.budget_risk import allowed_lines, figure, reached
from evaluation.cli.budget_text import refusing
from evaluation.cli.told import Line, warned
from privacy.checks import open_unit

ASSUMED = (
    "Assumed: all trainings had the same records, and each record was in each. Data are known by "
    "a keyed hash alone, so that nothing here can tell; what only one training had, its own claim "
    "covers. Each view is that of one and the same party: whoever also holds the released model of "
    "a training that it had no part in, sees that as well. Covered are these trainings and no "
    "other that the records were in."
)


def compose_lines(paths: tuple[str, ...], delta: float | None) -> Iterator[str]:
    """Yield what several trainings together allow each view, and what is assumed.

    Raises:
        InputError: for a path that holds no training, or claims that do not fit each other.
    """
    with refusing():
        if delta is not None:
            open_unit("delta", delta)
        trainings = read_trainings(paths)
        found = list(together(trainings, delta))
    for each in found:
        yield from _lines(each)
    for training in trainings:
        if training.repeatable and training.costs:
            yield warned(
                f"the noise of {training.name} is repeatable: whoever has seed, data and "
                "settings can take it off, and nothing of this holds against them."
            )
    yield Line(ASSUMED, assumed=ASSUMED)


def _lines(each: Together | Nothing) -> Iterator[str]:
    if isinstance(each, Nothing):
        unit = f", {each.unit}" if each.unit else ""
        kind = "" if each.silent else "no guarantee: "
        fate = "nothing sent" if each.silent else "no guarantee"
        claim = {"view": each.view, "unit": each.unit, "kind": fate, "why": each.why}
        yield Line(f"{each.view}{unit}: {kind}{each.why}", claims=[claim])
        return
    times = "one training" if each.trainings == 1 else f"{each.trainings} trainings"
    scope = "about the input of each message" if each.local else "about the data set"
    yield Line(
        f"{each.view}, {each.unit}, {each.relation}: epsilon {figure(each.epsilon)} at delta "
        f"{each.delta:g} over {times} ({each.accountant}), {scope}",
        claims=[
            {
                "view": each.view,
                "unit": each.unit,
                "relation": each.relation,
                "kind": "guarantee",
                "epsilon": each.epsilon,
                "delta": each.delta,
                "accountant": each.accountant,
                "trainings": each.trainings,
                "scope": "local" if each.local else "data set",
                "attack": reached(each.allowed),
            }
        ],
    )
    yield from (f"  {line}" for line in allowed_lines(each.allowed))
