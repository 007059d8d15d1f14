"""Settings and their claims in words, as a title names them."""

from collections.abc import Sequence

from reports.checks import VIEWS
from reports.plain import in_words, key_words
from reports.rows import GuaranteeCell, Row
from reports.wording import claim

ANEW = "Train anew with secret noise, audit that model, then ship"
"""What is to be done where noise that can be made again was simulated."""


def named(row: Row, claimed: bool = False) -> str:
    """A setting with its strategy, in words; claimed: its target epsilon is told by the claim."""
    further = "".join(f", {key_words(key)} {value}" for key, value in row.further)
    told = claimed and row.level.startswith("target_epsilon=") and "," not in row.level
    level = "" if told or row.level in ("-", "") else f", {in_words(row.level)}"
    return f"{row.defence}{level}{further} ({row.strategy})"


def to_ship(row: Row, claimed: bool) -> str:
    """What is to be done with a setting; what was trained with repeatable noise is not shipped."""
    act = f"{ANEW}:" if claimed and "repeatable" in row.noise else "Ship"
    return f"{act} {named(row, claimed)}"


def claim_text(each: GuaranteeCell) -> str:
    """A guarantee in short, as words, with its delta."""
    short = "no guarantee" if each.short == "none" else claim(each.short)
    if each.delta is None or not short.endswith(")"):
        return short
    return f"{short[:-1]}, delta {each.delta:g})"


def in_views(names: Sequence[str]) -> str:
    """Views in words.

    >>> in_views(["peer"]), in_views(["backward", "peer", "release"])
    ('the peer view', 'the backward, peer and release views')
    """
    if len(names) == len(VIEWS):
        return "all five views"
    *first, last = names
    if not first:
        return f"the {last} view"
    return f"the {', '.join(first)} and {last} views"
