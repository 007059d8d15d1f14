"""Risks of a budget in lines: what an attack may reach, on a record and on a user of several."""

from collections.abc import Iterator
from typing import Any

from evaluation.cli.told import Line
from fedbert.config import USER_RECORDS
from fedbert.errors import expect
from privacy.allowed import MU_DELTA, TradeOff
from privacy.composed import Part, composed
from privacy.events import Event, GaussianEvent
from privacy.risk import FPR, Risk, Target

FPRS = (0.001, 0.01, 0.1)


def figure(value: float, places: int = 5) -> str:
    """The value to so many decimals, or figures where decimals would show next to nothing."""
    return f"{value:.{places}f}" if value >= 0.01 else f"{value:.{places}g}"


def allowed_lines(allowed: TradeOff) -> Iterator[str]:
    """What the whole trade-off curve allows an attack, which is less than one epsilon does."""
    yield Line("what an attack may reach at most, by the trade-off curve", attack=reached(allowed))
    for fpr in FPRS:
        yield f"TPR at {100 * fpr:g} % FPR  {figure(allowed.tpr_at(fpr))}"
    yield f"advantage (TPR - FPR)  {figure(allowed.advantage)}"
    if allowed.mu is not None:
        yield f"mu  {figure(allowed.mu)}  (of two Gaussians, for every delta down to {MU_DELTA:g})"


def reached(allowed: TradeOff) -> dict[str, Any]:
    """The same as values: fractions, by the attack's share of false alarms."""
    at = {f"{fpr:g}": allowed.tpr_at(fpr) for fpr in FPRS}
    return {"tpr_at_fpr": at, "advantage": allowed.advantage, "mu": allowed.mu}


def risk_lines(target: Target, event: Event, count: int) -> Iterator[str]:
    """What the noise found reaches of the risk that was asked for; nothing of an epsilon."""
    if isinstance(target, Risk):
        found = target.of_event(event, count)
        name = f"TPR at {100 * FPR:g} % FPR" if target.measure == "tpr_at_1pct" else "advantage"
        text = f"{name:18}  {found:g}  (at most {target.most:g} was asked for)"
        yield Line(text, **{target.measure: found})


def user_lines(event: Event, releases: int, delta: float, records: int | None) -> Iterator[str]:
    """Yield what so many releases allow against a user of up to `records` records; None: nothing.

    Of a mechanism whose releases are of one record each (a message with its label) the records'
    messages add up. Else the records may lie in one sum, or be drawn into one step together.

    Raises:
        InputError: for a count out of range.
    """
    if records is None:
        return
    known = f"1 <= records_per_user <= {USER_RECORDS}"
    expect(1 <= records <= USER_RECORDS, known, "records_per_user", records)
    if isinstance(event, GaussianEvent):
        part = Part(GaussianEvent(event.noise_multiplier / records), releases)
    else:
        part = Part(event, releases, records)
    found = composed((part,))
    bound = found.bound(delta)
    values = {
        "records": records,
        "epsilon": None if bound is None else bound.epsilon,
        "delta": delta,
        "accountant": None if bound is None else bound.accountant,
        "attack": reached(found.allowed()),
    }
    text = f"for a user with up to {records} records, who come and go together"
    yield Line(text, user=values)
    if bound is None:
        yield f"no epsilon is known at delta {delta:g}"
    else:
        yield f"epsilon  {figure(bound.epsilon)}  ({bound.accountant})"
    yield from map(str, allowed_lines(found.allowed()))
