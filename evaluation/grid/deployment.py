"""Deployment section of a grid: what only the user can say of a model that is to be released."""

from datetime import date
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from fedbert.setting_types import Text
from fedbert.settings import refused, settings

Sector = Literal["Technology", "Healthcare", "Education", "Government", "Energy", "Finance"]


def _day(value: str) -> str:
    try:
        return date.fromisoformat(value).isoformat()
    except ValueError:
        raise refused("a day as YYYY-MM-DD") from None


Day = Annotated[str, AfterValidator(_day)]


@settings
class DeploymentSettings:
    """What a disclosure says in the user's own words; none of it changes a training.

    name: of what is released.
    curators: who releases it.
    description: what it is.
    intended_use: what it is for.
    region: of the people in the data, or whose law applies.
    sector: its field.
    published: the day of the release, as YYYY-MM-DD.
    person: how many records one person may have.
    preprocessing: what was done to the data before, and whether that was counted.
    tuning: how the settings were chosen.
    refresh: whether, and when, the same data will be used again.
    justification: why this protection and this strength of it.
    test_again: the day by which it is to be tested again, as YYYY-MM-DD.
    authors: who wrote this.
    """

    name: Text | None = None
    curators: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None
    description: Text | None = None
    intended_use: Text | None = None
    region: Text | None = None
    sector: Sector | None = None
    published: Day | None = None
    person: Text | None = None
    preprocessing: Text | None = None
    tuning: Text | None = None
    refresh: Text | None = None
    justification: Text | None = None
    test_again: Day | None = None
    authors: Annotated[tuple[Text, ...], Field(min_length=1)] | None = None

    def to_json(self) -> dict[str, Any]:
        """Return what was said, as it stands in a grid file."""
        said = {key: value for key, value in vars(self).items() if value is not None}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in said.items()}
