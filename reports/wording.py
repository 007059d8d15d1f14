"""Numbers in words: with their interval, their unit, and what they are to be read beside."""

import math
from collections.abc import Sequence

from reports.estimate import Estimate
from reports.leak import Leak
from reports.tradeoff import Allowed

ABSENT = "-"
FEW = 12
"""How many names stand in a list before the rest is counted."""


def interval(estimate: Estimate | None) -> str:
    """Value and interval, to three decimals or, above ten, to one.

    >>> interval(Estimate(0.86, 0.84, 0.881, n=10)), interval(None)
    ('0.860 [0.840, 0.881]', '-')
    """
    if estimate is None:
        return ABSENT
    places = 1 if max(abs(estimate.low), abs(estimate.high)) >= 10 else 3
    value, low, high = (f"{x:.{places}f}" for x in (estimate.value, estimate.low, estimate.high))
    return f"{value} [{low}, {high}]"


def outward(estimate: Estimate) -> str:
    """The same, its ends never rounded to the inside.

    >>> outward(Estimate(0.5, 0.4236, 0.5764, n=10))
    '0.500 [0.423, 0.577]'
    """
    places = 1 if max(abs(estimate.low), abs(estimate.high)) >= 10 else 3
    low, high = rounded_down(estimate.low, places), rounded_up(estimate.high, places)
    return f"{estimate.value:.{places}f} [{low:.{places}f}, {high:.{places}f}]"


def rounded_up(value: float, places: int = 0) -> float:
    """A number to so many places, never below itself; what arithmetic leaves over is none.

    >>> rounded_up(27.28), rounded_up(100 * 0.07)
    (28.0, 7.0)
    """
    return math.ceil(value * 10.0**places - 1e-9) / 10.0**places


def rounded_down(value: float, places: int = 0) -> float:
    """A number to so many places, never above itself."""
    return 0.0 - rounded_up(-value, places)


def decimal(value: float | None) -> str:
    """A number to three decimals, or a dash for none."""
    return ABSENT if value is None else f"{value:.3f}"


def size(count: float | None) -> str:
    """A number of bytes with its decimal unit.

    >>> size(131e6), size(999), size(None)
    ('131 MB', '999 B', '-')
    """
    if count is None:
        return ABSENT
    for unit in ("B", "kB", "MB", "GB"):
        if count < 999.5:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"


def duration(seconds: float | None) -> str:
    """Seconds to three figures, without an exponent."""
    if seconds is None:
        return ABSENT
    return f"{seconds:.0f} s" if seconds >= 99.5 else f"{seconds:.3g} s"


def claim(short: str) -> str:
    """A claim's short form in words.

    >>> claim("eps 4.0 (record, replace-one, data set)"), claim("eps 19.2 (client, local)")
    ('epsilon 4 (record, replace-one, data set)', 'epsilon 19.2 (client, local)')
    """
    return short.replace("eps ", "epsilon ").replace(".0 (", " (")


def beside(leak: Leak) -> str:
    """What the number is to be read beside: chance, who knew more, reference attack and bound.

    As far as there are any; a bound is rounded up.
    """
    parts = ["chance unknown" if leak.chance is None else f"chance {leak.chance:.3g}"]
    if leak.informed is not None:
        parts.append(f"{leak.informed.value:.3f} for {leak.informed_basis}")
    if leak.reference_attack is not None:
        parts.append(f"reference attack {leak.reference_attack.value:.3f}")
    if leak.reconstruction_bound is not None:
        parts.append(f"bound {math.ceil(1000 * leak.reconstruction_bound) / 1000:.3f}")
    elif leak.bound_basis:
        parts.append("no bound")
    return ", ".join(parts)


def what_is_allowed(claim: Allowed) -> str:
    """What a claim allows an attack on the unit that it speaks of, and on no other."""
    rests = f" ({claim.basis})" if claim.basis else ""
    told = f"{claim.words}; {claim.further_words}"
    return f"{claim.view}, who tells one {claim.unit} in from out: {told}{rests}"


def few(names: Sequence[str]) -> str:
    """Names in a row, those after the first few counted.

    >>> few(["a", "a", "b"]), few([str(i) for i in range(14)])[-13:]
    ('a; b', '11 and 2 more')
    """
    every = list(dict.fromkeys(names))
    more = f" and {len(every) - FEW} more" if len(every) > FEW else ""
    return "; ".join(every[:FEW]) + more


def sortable(number: float | None) -> str:
    """A number for the table's script to sort by; "" for none.

    >>> sortable(0.123456789), sortable(float("inf")), sortable(None)
    ('0.123457', 'inf', '')
    """
    return "" if number is None else f"{number:.6g}"


def percent(fraction: float) -> str:
    """A fraction in hundredths; the sign stays on the number's line.

    >>> percent(0.921).split()
    ['92', '%']
    """
    return f"{round(100 * fraction)}\N{NO-BREAK SPACE}%"


def at_most(fraction: float) -> str:
    """A fraction in hundredths that nothing lies above: never rounded down.

    >>> at_most(0.2728).split()
    ['28', '%']
    """
    return percent(rounded_up(100 * fraction) / 100)
