"""Decisions and the answers of frontiers: the one as the other, for figure and first screen."""

from collections.abc import Sequence
from dataclasses import replace

from reports.decision.choice import Decision, Judged, Setting, refuted
from reports.decision.lacks import LITTLE, REFUTED, UNJUDGED
from reports.decision.share import gained, share
from reports.estimate import Estimate
from reports.frontier.answer import Answer, Candidate, Tried, baseline_of
from reports.frontier.leakage import told_apart
from reports.records import CellResult

FURTHER = "a more private level keeps enough, too"


def as_answer(decision: Decision) -> Answer:
    """A grid's decision as an answer of a frontier, for the figure that both have."""
    reference = decision.reference
    own = [each.tried for each in decision.settings]
    candidates = tuple(
        Candidate(name, tuple(each for each in own if each.row.defence == name), None)
        for name in dict.fromkeys(each.row.defence for each in own)
    )
    chosen = None if decision.chosen is None else decision.chosen.tried
    answer = None if chosen is None else Candidate(chosen.row.defence, (chosen,), chosen)
    least = None
    if reference is not None and reference.row.utility is not None and not decision.unknown:
        base = baseline_of(reference.row)
        least = None if base is None else decision.wish.least(reference.row.utility.value, base)
    tried = None if reference is None else reference.tried
    return Answer(decision.wish, least, tried, candidates, answer, decision.numbers)


def of_answer(found: Answer, settings: Sequence[Setting]) -> Decision:
    """A frontier's answer as a decision: what it says of each setting, and of the chosen one."""
    seeds = {row: [each for each in group if each.status == "done"] for row, group in settings}

    def own(each: Tried) -> list[CellResult]:
        return seeds.get(each.row, [])

    numbers = found.numbers
    broken = {row for row, group in settings if refuted(group)}
    reference = found.reference
    whole = None if reference is None else _gain(reference, own(reference), numbers)
    undefended = () if reference is None else (Judged(reference, None, bare=True),)
    chosen = None if found.chosen is None else found.chosen.best
    judged: list[Judged] = []
    best = None
    for candidate in found.candidates:
        for each in candidate.tried:
            part = _gain(each, own(each), numbers)
            ratio = None if part is None or whole is None else share(part, whole)
            faults = _faults(each, candidate, chosen)
            judged.append(Judged(each, ratio, (REFUTED,) if each.row in broken else faults))
            best = judged[-1] if each is chosen else best
    task = settings[0][0].task
    decision = Decision(task, found.wish, numbers, None, tuple(judged), best)
    decision = replace(decision, reference=next(iter(undefended), None), undefended=undefended)
    subject = [] if chosen is None else own(chosen)
    return replace(decision, told=told_apart(subject, numbers))


def _gain(each: Tried, seeds: Sequence[CellResult], numbers: int) -> Estimate | None:
    return gained(seeds, each.row.metric, numbers)


def _faults(each: Tried, candidate: Candidate, chosen: Tried | None) -> tuple[str, ...]:
    """Why a level is not the answer."""
    if each is chosen:
        return ()
    if not each.useful:
        return (LITTLE if each.row.comparison.holds else UNJUDGED,)
    return (candidate.lost,) if each is candidate.best and candidate.lost else (FURTHER,)
