"""Settings of a run as one table for the page: a row each, its columns grouped by view."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from reports.checks import VIEWS
from reports.claims import Claim, Referred
from reports.decision.choice import Decision, Judged
from reports.decision.words import outcome, share_text
from reports.frontier.leakage import above_chance
from reports.leak import Leak
from reports.leaks import worst
from reports.metrics import SHOWN
from reports.rows import Row
from reports.story import beats_majority

RECOVERED, GUARANTEED = "recovered", "guaranteed"
MEMBERS = ("auc", "client_auc")


@dataclass(frozen=True)
class ViewCell:
    """What one view's adversary recovers of a setting at worst, and what it is promised.

    recovered: by text and by members; above: the larger of both above chance, to sort by. epsilon:
    to sort by; infinite without a guarantee.
    """

    recovered: tuple[Leak, ...]
    claim: Claim | None
    above: float | None
    epsilon: float


@dataclass(frozen=True)
class Line:
    """One setting of the table. fate: what was decided of it, in words; kind: "good", "bad", ""."""

    row: Row
    beats: bool | None
    kept: str
    fate: str
    kind: str
    views: tuple[tuple[str, ViewCell], ...]


def columns_shown(rows: Iterable[Row]) -> dict[str, tuple[str, ...]]:
    """By view its columns: RECOVERED where any row measured it, GUARANTEED where any is promised.

    Views without either are left out.
    """
    every = list(rows)
    seen = {leak.view for row in every for leak in row.leaks}
    told = {each.view for row in every for each in row.guarantees if each.claimed}
    parts = {view: ((RECOVERED, seen), (GUARANTEED, told)) for view in VIEWS}
    found = {
        view: tuple(part for part, those in own if view in those) for view, own in parts.items()
    }
    return {view: own for view, own in found.items() if own}


def lines(
    rows: Sequence[Row], referred: Sequence[Referred], decisions: Sequence[Decision]
) -> list[Line]:
    """The table's lines in the rows' order. decisions: one per task, of the same rows."""
    judged = {_key(each.row): (each, found) for found in decisions for each in found.every}
    shown = columns_shown(rows)
    made = []
    for row, claims in zip(rows, referred, strict=True):
        each, found = judged.get(_key(row), (None, None))
        fate = "" if each is None or found is None else outcome(each, found)
        itself = each is None or found is None or each is found.reference
        kept = "" if itself or each is None else share_text(each.share)
        views = tuple((view, _cell(row, view, claims.get(view))) for view in shown)
        made.append(Line(row, beats_majority(row), kept, fate, _kind(each, found), views))
    return made


def _key(row: Row) -> tuple[object, ...]:
    return row.task, row.model, row.strategy, row.defence, row.level, row.further, row.seeds


def _kind(each: Judged | None, found: Decision | None) -> str:
    if each is None or found is None or found.unknown is not None or each.bare:
        return ""
    return "bad" if each.faults else "good"


def _cell(row: Row, view: str, claim: Claim | None) -> ViewCell:
    own = [leak for leak in row.leaks if leak.view == view]
    text = next((leak for each in SHOWN if (leak := worst(own, "inversion", each))), None)
    members = next((leak for each in MEMBERS if (leak := worst(own, "membership", each))), None)
    found = tuple(leak for leak in (text, members) if leak is not None)
    above = max((above_chance(leak.estimate.value, leak.chance) for leak in found), default=None)
    promised = next((each for each in row.guarantees if each.view == view), None)
    none = promised is None or promised.epsilon is None
    epsilon = math.inf if none or promised is None else promised.epsilon or 0.0
    return ViewCell(found, claim, above, epsilon)
