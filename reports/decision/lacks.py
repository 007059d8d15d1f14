"""Lacks of a setting: why it is not one to ship, and what of its views stays open."""

from reports.binding import binds, of_text
from reports.decision.promises import open_views
from reports.frontier import leakage
from reports.frontier.wish import Wish
from reports.rows import Row

LITTLE, MAYBE_LITTLE = "keeps too little", "not shown to keep enough"
MUCH, MAYBE_MUCH = "leaks too much", "not shown to leak little"
UNPROMISED = "promises nothing of the text"
EMPTY = "promises too little of the text"
UNSEEN = "leaves a view where the text is neither promised nor attacked"
BLIND = "lacks an attack that ran on others"
ALARM = "an alarm stands against its numbers"
REFUTED = "makes a claim that a live audit refuted"
UNJUDGED, UNFINISHED = "cannot be judged", "did not finish"
UNSHOWN = (MAYBE_LITTLE, MAYBE_MUCH, BLIND, UNSEEN, UNJUDGED, UNFINISHED)
"""What more examples, attacks or seeds might take away."""
MANY = {
    LITTLE: "keep too little",
    MUCH: "leak too much",
    REFUTED: "make a claim that a live audit refuted",
    UNPROMISED: "promise nothing of the text",
    EMPTY: "promise too little of the text",
    UNSEEN: "leave a view where the text is neither promised nor attacked",
    ALARM: "have an alarm against their numbers",
    BLIND: "lack an attack that ran on others",
    MAYBE_LITTLE: "are not shown to keep enough",
    MAYBE_MUCH: "are not shown to leak little",
    UNJUDGED: UNJUDGED,
    UNFINISHED: UNFINISHED,
}
"""The same of several settings."""


def unattacked(row: Row) -> list[str]:
    """The views on which something crosses and no attack on the text was measured."""
    attacked = {each.view for each in leakage.of_text(row.leaks)}
    crosses = [each.view for each in row.guarantees if each.kind != "nothing sent"]
    return [view for view in crosses if view not in attacked]


def unpromised(row: Row, wish: Wish) -> list[str]:
    """What a setting lacks of promises against an adversary, and of attacks in their place."""
    claims = [own for own in row.guarantees if own.view in wish.views and of_text(own)]
    found = []
    if not any(binds(row, own) for own in claims):
        found.append(EMPTY if claims else UNPROMISED)
    if set(open_views(row, wish)) & set(unattacked(row)):
        found.append(UNSEEN)
    return found
