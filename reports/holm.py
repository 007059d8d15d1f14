"""Holm's correction of p-values for many comparisons."""

from collections.abc import Sequence


def holm(ps: Sequence[float]) -> list[float]:
    """Each p-value as it counts among all of them: at level a the chance of any false alarm is a.

    It holds whatever the comparisons have to do with each other.

    Reference: Holm (1979).

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order = sorted(range(len(ps)), key=ps.__getitem__)
    adjusted, most = [0.0] * len(ps), 0.0
    for rank, number in enumerate(order):
        most = max(most, min(1.0, (len(ps) - rank) * ps[number]))
        adjusted[number] = most
    return adjusted
