"""Binding claims: those about the text that allow an attack little enough to be a promise."""

import math

from reports.rows import GuaranteeCell, Row

FPR, LESS_THAN = 0.01, 0.5


def of_text(each: GuaranteeCell) -> bool:
    """Whether a view's claims say anything of the text: a claim of labels alone does not."""
    return each.kind == "metric guarantee" or bool(set(each.units) - {"label"})


def by_line(epsilon: float, delta: float, fpr: float) -> float:
    """The largest true-positive rate that epsilon and delta allow at a false-positive rate.

    Kairouz, Oh and Viswanath 2015, theorem 2.1.

    >>> by_line(0.0, 0.0, 0.25), by_line(1000.0, 0.0, 0.25)
    (0.25, 1.0)
    """
    odds = math.exp(min(epsilon, 700.0))
    return min(1.0, odds * fpr + delta, 1 - max(0.0, 1 - delta - fpr) / odds)


def binds(row: Row, each: GuaranteeCell) -> bool:
    """Whether a view's claim about the text counts: by its curve, else by epsilon and delta."""
    texts = set(each.units) - {"label"}
    curves = [own for own in row.allows if own.view == each.view and own.unit in texts]
    found = [own.tpr_at(FPR) for own in curves]
    known = {own.unit for own in curves}
    if each.epsilon is not None and each.unit in texts - known:
        found.append(by_line(each.epsilon, each.delta or 0.0, FPR))
    return any(most < LESS_THAN for most in found)
