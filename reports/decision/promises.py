"""Promises of a setting: which views have a claim about the text that allows little enough.

A claim counts where it allows less than half of the members (of whatever is its unit) to be found
while 1 % of all others are accused. Its curve being concave, no two texts are then told apart with
an advantage of .98 or more. A larger epsilon is a number, and no promise. Metric privacy bounds
near texts alone: of any two texts it allows everything, so that it promises nothing by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from reports.binding import binds
from reports.frontier.wish import Wish
from reports.rows import Row


@dataclass(frozen=True)
class Promise:
    """A view's claim about the text, where epsilons can be compared: by all but epsilon."""

    view: str
    terms: str
    delta: float | None


def open_views(row: Row, wish: Wish) -> list[str]:
    """The views of an adversary on which something crosses and nothing of the text is promised."""
    own = [each for each in row.guarantees if each.view in wish.views]
    return [each.view for each in own if each.kind != "nothing sent" and not binds(row, each)]


def promised(row: Row, wish: Wish) -> dict[Promise, float]:
    """The epsilons of the promises against an adversary, by what has to be alike to compare them.

    Of a view with several claims that is its first one's; where that is of labels it has none.
    """
    found = {}
    for each in row.guarantees:
        if each.view in wish.views and binds(row, each):
            main = each.epsilon is not None and each.unit != "label"
            terms = each.short.partition(" (")[2].partition(")")[0] if main else each.short
            epsilon = each.epsilon if main and each.epsilon is not None else 0.0
            found[Promise(each.view, terms, each.delta)] = epsilon
    return found


def places(found: Sequence[dict[Promise, float]]) -> list[float]:
    """The place of each by its epsilons; 0 of all where these cannot be compared.

    They can where view, unit, relation, scope and delta are the same, and of any two the one has no
    larger epsilon on any view.
    """
    epsilons = [tuple(own[key] for key in sorted(own, key=_name)) for own in found]
    order = sorted(set(epsilons), key=sum)
    rise = all(a <= b for one, next_ in pairwise(order) for a, b in zip(one, next_, strict=False))
    same = len({frozenset(own) for own in found}) == 1
    return [float(order.index(own)) if same and rise else 0.0 for own in epsilons]


def _name(promise: Promise) -> tuple[str, str]:
    return promise.view, promise.terms
