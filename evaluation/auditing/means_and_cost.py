"""Means of an audit's attackers and cost of its subject: how much was asked, how useful it is."""

from collections.abc import Callable
from typing import Any

from evaluation.auditing.membership import Candidates
from evaluation.auditing.request import Request
from evaluation.auditing.subject import Subject
from fedbert.prepare import Prepared
from fedbert.split import SplitBert

Judge = Callable[[Prepared, SplitBert, int], dict[str, Any]]
"""Returns the utility of a model on a training's evaluation splits, as a record holds it."""


def cost_of(subject: Subject, judge: Judge | None) -> dict[str, Any]:
    """Return the model's utility; nothing where there is no evaluation data, or nobody to judge."""
    own = subject.own
    if judge is None or own is None or not own.evaluation:
        return {}
    return judge(own, subject.split, subject.config.seed)


def means_of(request: Request, candidates: Candidates | str) -> dict[str, int]:
    """Return on how much the attacks ran, and how many models the adversary trained or had."""
    found = {"shadows": request.means.shadows, "references": len(request.means.references)}
    if isinstance(candidates, str):
        return found
    members = int((candidates.members & candidates.judged).sum())
    return found | {"members": members, "non_members": int(candidates.judged.sum()) - members}
