"""First screen of a decision: the line, who reads what, which records, what it costs, how sure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from reports import metrics
from reports.binding import of_text
from reports.comparison import capital
from reports.decision.choice import SURELY, Decision, Judged
from reports.decision.lacks import unattacked
from reports.decision.promises import open_views
from reports.decision.words import (
    achieved,
    does,
    kept_text,
    line,
    nearest,
)
from reports.estimate import Estimate
from reports.frontier.leakage import Told, Worst
from reports.named import in_views, named
from reports.plain import WHO, everybody
from reports.tradeoff import Allowed, beside_leak
from reports.wording import at_most, duration, outward, percent, size

SHIP, NONE, UNKNOWN = "ship", "none", "unknown"
"""How a line reads: something may be shipped, nothing may, or nobody can tell."""


@dataclass(frozen=True)
class Verdict:
    """What the first screen says of a task.

    kind: one of SHIP, NONE, UNKNOWN. line: the decision; near: what it keeps and leaks, or what
    comes nearest where nothing may be shipped.
    answers: questions and their answers. wished: what it was held against. views: the decision for
    each adversary by itself.
    """

    task: str
    kind: str
    line: str
    near: str
    answers: tuple[tuple[str, str], ...]
    wished: str = ""
    views: tuple[tuple[str, str], ...] = ()


def verdict(found: Decision, alone: Sequence[Decision] = (), left: str = "") -> Verdict:
    """The first screen of a decision. alone: for each view by itself. left: what is missing yet."""
    kind = UNKNOWN if found.unknown else SHIP if found.chosen else NONE
    seen = [] if found.unknown else [each for each in alone if _seen(each)]
    views = tuple((each.wish.adversary, " ".join([line(each), *_near(each)])) for each in seen)
    first = f"{left} So far: " if left else ""
    return Verdict(
        found.task, kind, first + line(found), " ".join(_near(found)), answers(found),
        wished(found), views,
    )  # fmt: skip


def _near(found: Decision) -> list[str]:
    """What is kept and leaked by the setting to ship, or by the nearest where there is none."""
    told = nearest(found) if found.chosen is None else achieved(found.chosen)
    return [told] if told else []


def of_frontier(found: Decision, title: str) -> Verdict:
    """The first screen of a frontier's answer, which says by itself what it was held against."""
    if found.chosen is None:
        return Verdict(found.task, NONE, title, "", ())
    return Verdict(found.task, SHIP, title, achieved(found.chosen), answers(found))


def answers(found: Decision) -> tuple[tuple[str, str], ...]:
    """Who reads the text, who tells members, what it costs, and how sure all that is."""
    shown = found.shown
    if shown is None:
        return ()
    bare = shown.bare
    which = f"Of {'undefended training' if bare else named(shown.row)}"
    if found.chosen is None and not bare:
        which += ", the nearest to what is wished for"
    read = f"{_readers(found.told)} {_open(shown, found)}".strip()
    return (
        ("Who can read my text?", f"{which}: {read[:1].lower()}{read[1:]}"),
        ("Which records are at risk?", _records(shown, found.told.members)),
        ("What does it cost?", _cost(shown, found)),
        ("How sure is that?", _sure(found, shown)),
    )


NAMES_NOBODY = (
    "This page names nobody: fedbert-eval audit run CHECKPOINT --records FILE lists whom a trained "
    "model puts most at risk."
)


def _records(each: Judged, worst: Worst | None) -> str:
    """Who tells members, what the claim allows at most, and where they are listed."""
    told, claim = capital(_reads(worst, "who was trained on")), _allows(each, worst)
    if claim is not None:
        who = MEMBERS.get(claim.unit, "these")
        told += (
            f" The promise on the {claim.view} view, which holds for any attack, allows at most "
            f"{at_most(claim.tpr_at(0.01))} of {who} to be recognised, taking {percent(0.01)} of "
            "others for such."
        )
    return f"{told} {NAMES_NOBODY}"


MEMBERS = {"record": "these texts", "user": "users", "client": "clients"}
"""Whose membership claims bound, by their unit."""


def _allows(each: Judged, worst: Worst | None) -> Allowed | None:
    """The claim that bounds the worst attack on members; without one, that which allows most."""
    row = each.row
    if worst is None:
        own = [one for one in row.allows if one.unit in MEMBERS]
        return max(own, key=lambda one: one.tpr_at(0.01), default=None)
    key = worst.attack, worst.view, worst.metric
    same = (leak for leak in row.leaks if (leak.attack, leak.view, leak.metric) == key)
    return beside_leak(next(same, None), row.allows)


def _readers(told: Told) -> str:
    """Who reads the text, and who tells labels."""
    labels = "" if told.labels is None else f" {capital(_reads(told.labels, 'the labels'))}"
    return "" if told.text is None and not labels else _reads(told.text, "the text") + labels


def _reads(worst: Worst | None, what: str) -> str:
    """What the worst attack on something does."""
    if worst is None:
        return f"no attack on {what} was measured."
    return f"{WHO.get(worst.view, worst.view)} {does(worst)}."


ALONE = "Who trains holds all the text and reads it."
"""Of the strategy `centralised`."""


def _open(each: Judged, found: Decision) -> str:
    """The views without a promise, and those on which no attack on the text was measured."""
    own = {one.view: of_text(one) for one in each.row.guarantees}
    open_, blind = open_views(each.row, found.wish), unattacked(each.row)
    bare = [view for view in open_ if not own[view]]
    little = [view for view in open_ if own[view]]
    told = [ALONE] if each.row.strategy == "centralised" else []
    told += [f"Nothing of the text is promised against {everybody(bare)}."] if bare else []
    told += [f"What is claimed against {everybody(little)} allows nearly all."] if little else []
    if blind:
        told.append(f"Whether {everybody(blind, 'or')} can read it was not measured.")
    silent = [one.view for one in each.row.guarantees if one.kind == "nothing sent"]
    told += [f"Nothing is sent to {_others(silent)}."] if silent else []
    return " ".join(told)


def _others(silent: Sequence[str]) -> str:
    """Those to whom nothing is sent: all but who gets the model, or by name."""
    if set(silent) >= {"forward", "backward", "aggregator", "peer"}:
        return "a server or another client"
    return everybody(silent, "or")


def _cost(each: Judged, found: Decision) -> str:
    """Utility beside that of undefended training, bytes and seconds."""
    row, reference = each.row, found.reference
    if row.utility is None:
        return "No utility was measured."
    told = f"{capital(metrics.title(row.metric))} {_held(each, found.numbers)}"
    if reference is not None and reference is not each:
        told += f" in place of {_held(reference, found.numbers)} undefended: it {kept_text(each)}"
    spent = [f"{size(row.bytes)} sent"] if row.bytes is not None else []
    spent += [f"{duration(row.seconds)} of computing in all"] if row.seconds is not None else []
    return " ".join([f"{told}.", *([", ".join(spent) + "."] if spent else [])])


def _held(each: Judged, numbers: int) -> str:
    """A utility with the mean over seeds of intervals that hold together with all others."""
    utility, metric = each.row.utility, metrics.METRICS.get(each.row.metric)
    if utility is None:
        return "none"
    wide = [own.widened(numbers) for _, own in each.tried.seeds] or [utility.widened(numbers)]
    ends = fmean([own.low for own in wide]), fmean([own.high for own in wide])
    low, high = ends if metric is None else map(metric.clamp, ends)
    return outward(replace(utility, low=min(low, utility.value), high=max(high, utility.value)))


def _sure(found: Decision, each: Judged) -> str:
    """What the intervals hold for, and what they do not."""
    seeds = len(each.row.seeds)
    every = [leak.estimate for leak in each.row.leaks]
    every += [] if each.row.utility is None else [each.row.utility]
    sure = min((one.confidence for one in every), default=Estimate.confidence)
    return (
        f"With {percent(sure)} confidence all {found.numbers} measured numbers of the page lie "
        f"within these intervals at once{_over(seeds)}; figure and table draw narrower ones, each "
        "for itself. They speak of the attacks that were run: others may do better, and only a "
        "guarantee bounds those. To choose a setting by figures that were taken of the records to "
        "be protected costs privacy that no epsilon here counts (fedbert-eval budget tuning). "
        "This page compares settings: the model that is handed over has to be audited."
    )


def _over(seeds: int) -> str:
    """What is told of several trainings."""
    if seeds == 1:
        return " (of one training)"
    return f" (of {seeds} trainings: the mean of what is kept, the worst of what leaks)"


def wished(found: Decision) -> str:
    """What a setting has to reach, in a sentence."""
    wish = found.wish
    least, most = percent(wish.least_share or 0.0), percent(wish.most_leakage or 1.0)
    return (
        f"Held against default limits (frontier takes yours): at least {least} kept of what "
        f"the best undefended training gains, {percent(SURELY)} at the lower end; no attack on "
        f"{in_views(wish.views)} more than {most} of the way from guessing to all; something "
        "promised of the text."
    )


RULES = (
    "The way from guessing to all: the share of it that an attack comes, the upper end over all "
    "attacks that were run, by each metric that says how much is read and not how surely (no "
    "precision, no AUC without the model); F1, ROUGE and single tokens of names, numbers and dates"
    " where chance is known, any other with unknown chance from 0; of several that tell the same, "
    "the first; content, rare and single words, numbers among them, that were met fewer than 100 "
    "times, only where they lie above chance. A promise: a guarantee about more than labels, "
    "against one of the views or more, that allows less than half to be found at 1 % of false "
    "alarms, by its curve, or without one by epsilon and delta; metric privacy promises nothing of"
    " two distant texts and is none. A view on which something crosses has to be promised, or its "
    "text attacked. A claim that a live audit refuted is never shipped. Of several settings that "
    "pass: the one with the fewest views without a promise; then, of what leaks no more than can "
    "be told from the least, the one of the smallest epsilon, on no view larger, where claims are "
    "alike, delta included; else the one that keeps most. Another wish: fedbert-eval frontier."
)
"""How the wish is meant, and how one setting is taken of several."""


def _seen(found: Decision) -> bool:
    """Whether anything crosses on the adversary's view, and something of it is known."""
    every = [*found.settings, *([found.reference] if found.reference else [])]
    views = found.wish.views
    own = [cell for each in every for cell in each.row.guarantees if cell.view in views]
    crosses = any(cell.kind != "nothing sent" for cell in own)
    claimed = any(of_text(cell) for cell in own)
    return crosses and (claimed or any(each.tried.worst is not None for each in every))
