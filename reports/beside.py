"""Pictures beside decisions: what shows, for each task, why that was decided."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from reports.decision.answers import as_answer
from reports.decision.choice import Decision
from reports.decision.words import line
from reports.drawn import Drawn
from reports.page import Picture

Slug = Callable[[str], str]
MOST, SHOWN = 300, 60
"""Above so many settings the figure beside a decision shows so many, those that matter: all of them
would be a cloud, drawn slowly."""


def beside(
    decisions: Sequence[Decision], drawn: Drawn, slug: Slug, order: Sequence[str] = ()
) -> dict[str, Picture]:
    """File name to picture: utility against the worst attack above chance, for every task.

    order: of the series of all figures of the page.
    """
    from reports.figures.frontier import describe_frontier, frontier_data, thinned

    pictures: dict[str, Picture] = {}
    for each in decisions:
        found = as_answer(each)
        data = frontier_data(found) if found.tried else None
        if data is None:
            continue
        if len(data.spots) > MOST:
            bare, passed = ({one.row.name for one in own} for own in (each.undefended, each.passed))
            data = thinned(data, bare, passed, SHOWN)
        data = replace(data, title=line(each)).among(order)
        name = f"decision-{slug(each.task)}"
        words = describe_frontier(data)
        png = drawn.png(name, data, "frontier:draw_decision", words, width="column")
        title = f"{each.task}: utility against the worst attack"
        pictures[name] = Picture(title, png, words, data.notice, each.task)
    return pictures
