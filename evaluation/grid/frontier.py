"""Frontier section of a grid: whom to defend against, and how much utility has to be left."""

from typing import Annotated, Any, Literal

from pydantic import Field

from fedbert.errors import InputError, shown
from fedbert.settings import settings
from privacy.risk import CHANCE

Adversary = Literal["all", "forward", "backward", "aggregator", "peer", "release"]
CHANCES = {f"target_{measure}": chance for measure, chance in CHANCE.items()}
Share = Annotated[float, Field(gt=0, le=1)]


@settings
class FrontierSettings:
    """What `fedbert-eval frontier` looks for: the defence that leaks least and keeps the utility.

    data: whose records the search trains on: "public", "spent" (they have no privacy left to lose),
        or "private": then no epsilon is claimed, since a search is in no ledger.
    adversary: one of the five views, or "all" of them together.
    least_utility: of the task's headline metric, the lower end of its interval over the seeds.
    least_share: in its place, as a share of what undefended training gains over the majority.
    most_leakage: of the worst attack, as a share of what lies above chance (0 to 1), the upper end
        of its simultaneous interval; without it, the least that can be had.
    steps: how many levels of a defence are tried at most.
    tolerance: the share of the range between the bounds below which no level is looked for.
    """

    data: Literal["public", "spent", "private"]
    adversary: Adversary = "all"
    least_utility: float | None = None
    least_share: Share | None = None
    most_leakage: Share | None = None
    steps: Annotated[int, Field(ge=2, le=30)] = 6
    tolerance: Annotated[float, Field(gt=0, lt=1)] = 0.03

    def __post_init__(self) -> None:
        """Check that there is one wish for utility."""
        if (self.least_utility is None) is (self.least_share is None):
            got = "none" if self.least_utility is None else "both"
            raise InputError(f"expected one of least_utility and least_share, got {got}")

    def to_json(self) -> dict[str, Any]:
        """Return the section as it stands in a grid file."""
        return {key: value for key, value in vars(self).items() if value is not None}


def check_ends(key: str, ends: tuple[Any, ...]) -> None:
    """Refuse bounds that are not two different numbers, or an epsilon or a risk that falls.

    Raises:
        InputError: one line with the key.
    """
    numbers = [each for each in ends if isinstance(each, int | float) and each is not True]
    if len(ends) != 2 or len(numbers) != 2 or ends[0] == ends[1]:
        what = "two different numbers, the most private one first"
        raise InputError(f"search: expected {what}, got {key}={shown(list(ends))}")
    risk = CHANCES.get(key.rpartition(".")[2])
    if risk is not None and not risk < ends[0] < ends[1] < 1:
        what = f"a risk above {risk:g}, which guessing reaches, that rises and stays below 1"
        raise InputError(f"search: expected {what}, got {key}={shown(list(ends))}")
    if key.endswith("epsilon") and not 0 < ends[0] < ends[1]:
        what = "an epsilon above 0 that rises"
        raise InputError(f"search: expected {what}, got {key}={shown(list(ends))}")
