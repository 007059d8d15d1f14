"""Claims of a report: each distinct sentence once, with a name by which rows refer to it."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from reports.rows import Row
from reports.tables import together
from reports.wording import what_is_allowed


@dataclass
class Claim:
    """What some settings say of some views: in short, in full, and what it allows an attack.

    settings: the rows that say so, as (task, name).
    """

    name: str
    views: str
    short: str
    sentence: str
    settings: list[str] = field(default_factory=list)
    allows: list[str] = field(default_factory=list)


Referred = dict[str, Claim]
"""By view the claim that a row refers to."""


def claims(rows: Sequence[Row]) -> tuple[list[Claim], list[Referred]]:
    """Every distinct claim, named in order of appearance; and for each row its claims by view."""
    found: dict[tuple[str, str, str], Claim] = {}
    referred: list[Referred] = []
    for row in rows:
        own: Referred = {}
        for views, short, sentence in together(row.guarantees):
            name = f"C{len(found) + 1}"
            claim = found.setdefault((views, short, sentence), Claim(name, views, short, sentence))
            each = views.split(", ")
            claim.settings.append(row.name)
            told = [what_is_allowed(one) for one in row.allows if one.view in each]
            claim.allows += [text for text in told if text not in claim.allows]
            own |= dict.fromkeys(each, claim)
        referred.append(own)
    return list(found.values()), referred
