"""Lacks of a setting: why it is not one to ship, and what of its views stays open."""

from reports.frontier.leakage import JUDGED
from reports.frontier.wish import Wish
from reports.rows import GuaranteeCell, Row

LITTLE, MAYBE_LITTLE = "keeps too little", "not shown to keep enough"
MUCH, MAYBE_MUCH = "leaks too much", "not shown to leak little"
UNPROMISED = "promises nothing of the text"
UNSEEN = "leaves a view neither promised nor attacked"
BLIND = "not attacked by all that read others"
ALARM = "an alarm stands against its numbers"
UNJUDGED, UNFINISHED = "cannot be judged", "did not finish"
UNSHOWN = (MAYBE_LITTLE, MAYBE_MUCH, BLIND, UNSEEN, UNJUDGED, UNFINISHED)
"""What more examples, attacks or seeds might take away."""
MANY = {
    LITTLE: "keep too little",
    MUCH: "leak too much",
    UNPROMISED: "promise nothing of the text",
    UNSEEN: "leave a view neither promised nor attacked",
    ALARM: "have an alarm against their numbers",
    BLIND: "were not attacked by all that read others",
    MAYBE_LITTLE: "are not shown to keep enough",
    MAYBE_MUCH: "are not shown to leak little",
    UNJUDGED: UNJUDGED,
    UNFINISHED: UNFINISHED,
}
"""The same of several settings."""


def of_text(each: GuaranteeCell) -> bool:
    """Whether a view's claims promise anything of the text: a claim of labels alone does not."""
    return each.kind == "metric guarantee" or bool(set(each.units) - {"label"})


def open_views(row: Row, wish: Wish) -> list[str]:
    """The views of an adversary on which something crosses and nothing of the text is promised."""
    own = [each for each in row.guarantees if each.view in wish.views]
    return [each.view for each in own if not of_text(each) and each.kind != "nothing sent"]


def unattacked(row: Row) -> list[str]:
    """The views on which something crosses and no attack of their own was measured."""
    attacked = {x.view for x in row.leaks if x.metric in JUDGED and not x.baseline}
    crosses = [each.view for each in row.guarantees if each.kind != "nothing sent"]
    return [view for view in crosses if view not in attacked]


def unpromised(row: Row, wish: Wish) -> list[str]:
    """What a setting lacks of promises against an adversary, and of attacks in their place."""
    found = []
    if not any(of_text(own) for own in row.guarantees if own.view in wish.views):
        found.append(UNPROMISED)
    if set(open_views(row, wish)) & set(unattacked(row)):
        found.append(UNSEEN)
    return found
