"""Wish of a frontier: the adversary, the utility that is needed, and whose data the search used."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from reports import checks

ALL = "all"
ADVERSARIES = (*checks.VIEWS, ALL)
PUBLIC, SPENT, PRIVATE = "public", "spent", "private"
DATA = (PUBLIC, SPENT, PRIVATE)


@dataclass(frozen=True)
class Wish:
    """What a defence has to reach.

    least_utility: absolute; least_share: of what undefended training gains over the majority
    baseline; one of the two is None. most_leakage: above chance, 1 being everything; None: any.

    Raises: ValueError for anything else.
    """

    data: str
    adversary: str
    least_utility: float | None = None
    least_share: float | None = None
    most_leakage: float | None = None

    def __post_init__(self) -> None:
        """Refuses what is no wish."""
        checks.one_of(self.data, DATA, "frontier.data")
        checks.one_of(self.adversary, ADVERSARIES, "frontier.adversary")
        for name in ("least_utility", "least_share", "most_leakage"):
            if getattr(self, name) is not None:
                checks.number(getattr(self, name), f"frontier.{name}")
        if (self.least_utility is None) is (self.least_share is None):
            raise ValueError("expected least_utility or least_share of a frontier, one of the two")

    @property
    def views(self) -> tuple[str, ...]:
        """The views of the adversary."""
        return checks.VIEWS if self.adversary == ALL else (self.adversary,)

    @property
    def against(self) -> str:
        """The adversary in words.

        >>> Wish("public", "peer", least_share=0.9).against
        'the peer view'
        """
        return "all five views" if self.adversary == ALL else f"the {self.adversary} view"

    def least(self, utility: float, baseline: float) -> float:
        """The utility that is needed, where undefended training reaches `utility`.

        >>> round(Wish("public", "all", least_share=0.9).least(0.8, 0.5), 3)
        0.77
        """
        if self.least_utility is not None:
            return self.least_utility
        return baseline + (self.least_share or 0.0) * (utility - baseline)


def wish_of(grid: Any) -> Wish | None:
    """The wish that a run's `grid.json` holds; None where it is no frontier's.

    Raises: ValueError for one that cannot be read.
    """
    asked = grid.get("frontier") if isinstance(grid, Mapping) else None
    if asked is None:
        return None
    if not isinstance(asked, Mapping):
        raise ValueError(f"expected the table of a frontier, got frontier={asked!r}")
    checks.has_keys(asked, ("data", "adversary"), "a frontier")
    names = ("data", "adversary", "least_utility", "least_share", "most_leakage")
    return Wish(**{name: asked[name] for name in names if name in asked})
