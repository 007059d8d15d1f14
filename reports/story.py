"""The sentences of a report that are made from its data."""

from collections.abc import Sequence

from reports import metrics
from reports.records import CellResult
from reports.rows import Row

DEFINITIONS: tuple[tuple[str, str], ...] = (
    ("forward view", "what the server sees of a client's text on its way up: the smashed data, "
     "that is, the activations at the cut layer."),
    ("backward view", "what the server sees on the way down: the gradients that clients send back "
     "through their own last layers."),
    ("aggregator view", "what the party that averages sees: each client's own update."),
    ("peer view", "what the other clients see: the averaged model, and state handed on to them."),
    ("release view", "what everybody sees in the end: the trained model."),
    ("guarantee", "a bound that holds against every attack, for one view, one unit of privacy (the "
     "token, sequence, record, client or label whose change it hides) and one neighbouring "
     "relation; an epsilon holds at the delta that its sentence names. "
     "\"Local\" speaks of the input of a message alone, \"data set\" of the whole training set. "
     "\"None\" means that nothing is claimed; it is neither infinity nor zero."),
    ("metric guarantee", "a bound that grows with distance: inputs whose rows lie d apart are "
     "protected with epsilon eta times d per release. It is no (epsilon, delta), not to be "
     "compared with one, and not counted among the guarantees."),
    ("utility", "the task's official metrics of the whole released model, used without the clip "
     "and the noise of its training."),
    ("inversion", "reconstructing private text: the share of tokens that an attack recovers, each "
     "at its place, from single messages. Who links several releases of one text gains up to what "
     "the guarantee's composition allows. Chance is what the best constant guess reaches without "
     "any message; an attack below it says less than guessing."),
    ("reference attack", "what a look-up of the nearest token is expected to recover under the "
     "mechanism in force, simulated on text that was not attacked. An attack clearly below it is "
     "weak, and says little about the defence."),
    ("reconstruction bound", "the most that any attack can recover on average if the mechanism "
     "keeps its guarantee, whatever it knows of language. It rests on the share of the most "
     "frequent word at each place of texts of each length. A rate clearly above it means that the "
     "mechanism does not do what it claims, or the attack knew of the text from elsewhere. Without "
     "a guarantee there is none; nor under metric privacy."),
    ("membership", "telling whether a record was trained on: AUC 0.5 is guessing, 1 is certainty. "
     "TPR at 1 % FPR is the share of members found while 1 % of non-members are accused."),
    ("worst attack", "of the attacks that were run on a setting, the one with the highest mean. "
     "Its interval is its own, not corrected for having been chosen. An attack measures a lower "
     "bound of what leaks: a low number says that these attacks failed, not that none can "
     "succeed."),
    ("baseline", "what stands for comparison and reads no message, such as a random guess: shown "
     "beside the attacks, never chosen as the worst of them."),
    ("interval", "in square brackets, at the confidence given. A number over several seeds is "
     "their mean; its interval adds Student's t over the seeds and the runs' own intervals in "
     "quadrature, cut at the bounds of the metric. With two seeds it is wide, and rightly so."),
    ("majority class", "what a model scores that always gives the most frequent answer. A defence "
     "whose utility interval reaches down to it has kept nothing that can be shown."),
    ("signal to noise", "the norm of the clipped message over the norm of the noise added to it."),
)  # fmt: skip
"""The words of the report and what they mean."""


def headline(rows: Sequence[Row]) -> str:
    """One sentence that sums up the settings: what stays useful, and what it still leaks."""
    measured = [row for row in rows if row.utility]
    if not measured:
        return "No cell of this run finished: there is nothing to report but the reasons below."
    guarded = [row for row in measured if row.units]
    if not guarded:
        text = f"None of the {_count(len(measured), 'measured setting')} carries a guarantee on any"
        return f"{text} view{_metric(measured)}{_leaks(measured)}."
    text = f"Of {_count(len(measured), 'measured setting')}, {len(guarded)} carry a guarantee on"
    text += f" at least one view{_metric(measured)}"
    judged = [row for row in guarded if beats_majority(row) is not None]
    if not judged:
        return f"{text}{_leaks(guarded)}."
    useful = [row for row in judged if beats_majority(row)]
    unjudged = len(guarded) - len(judged)
    aside = f" ({unjudged} more have none to compare with)" if unjudged else ""
    return (
        f"{text}; {len(useful) or 'none'} of these stay clearly above the "
        f"majority class{aside}{_leaks(useful)}."
    )


def task_story(rows: Sequence[Row]) -> list[str]:
    """For one task: a setting without a guarantee, the least leaking one, the least leaking one
    that stays useful.

    Leaking is judged by inversion, or by membership where no inversion was measured.
    """
    measured = [row for row in rows if row.utility]
    guarded = [row for row in measured if row.units]
    bare = [row for row in measured if not row.units and not row.metric_only]
    told = [f"Without a guarantee, {_told(row)}." for row in bare][:1]
    family = "inversion" if any(row.inversion for row in guarded) else "membership"
    known = [row for row in guarded if leak_value(row, family) is not None]
    if not known:
        return told
    words = {"inversion": "inversion", "membership": "membership inference"}[family]
    least = min(known, key=lambda row: leak_value(row, family) or 0.0)
    told.append(f"With one, the least open to {words} is {_told(least)}.")
    useful = [row for row in known if beats_majority(row)]
    if useful and not beats_majority(least):
        best = min(useful, key=lambda row: leak_value(row, family) or 0.0)
        told.append(f"Of those clearly better than the majority class, it is {_told(best)}.")
    return told


def beats_majority(row: Row) -> bool | None:
    """Whether the whole utility interval is better than the majority class; None if unknown."""
    if row.utility is None or row.majority_baseline is None:
        return None
    return metrics.clearly_better(
        row.metric, row.utility.low, row.utility.high, row.majority_baseline
    )


def leak_value(row: Row, family: str) -> float | None:
    """The worst attack's measured number; None where none was measured."""
    leak = row.inversion if family == "inversion" else row.membership
    return leak.estimate.value if leak else None


def tally(records: Sequence[CellResult]) -> str:
    """How many cells there are, and what became of them."""
    counts = {status: 0 for status in ("done", "skipped", "failed")}
    for record in records:
        counts[record.status] += 1
    parts = ", ".join(f"{count} {status}" for status, count in counts.items() if count)
    return f"{_count(len(records), 'cell')}: {parts}" if parts else "no cells"


def _told(row: Row) -> str:
    """One setting in words, with its intervals."""
    utility = row.utility
    if utility is None:
        return f"{row.name} ({row.strategy}) has no measured utility"
    places = 1 if abs(utility.high) >= 10 else 3
    text = (
        f"{row.name} ({row.strategy}): {metrics.title(row.metric)} "
        f"{utility.value:.{places}f} [{utility.low:.{places}f}, {utility.high:.{places}f}]"
    )
    verdict = beats_majority(row)
    if verdict is not None and row.majority_baseline is not None:
        words = "clearly better than" if verdict else "not clearly better than"
        text += f", {words} the majority class ({row.majority_baseline:.3f})"
    if row.inversion:
        found = row.inversion.estimate
        text += (
            f"; {row.inversion.attack} on its {row.inversion.view} view recovers "
            f"{_percent(found.value)} [{_percent(found.low)}, {_percent(found.high)}] of the tokens"
        )
    if row.membership:
        found = row.membership.estimate
        text += f"; membership AUC {found.value:.3f} [{found.low:.3f}, {found.high:.3f}]"
    return text


def _metric(rows: Sequence[Row]) -> str:
    """How many settings have metric privacy alone, in parentheses; nothing for none."""
    count = sum(row.metric_only for row in rows)
    return f" ({count} a metric guarantee alone, which is no epsilon)" if count else ""


def _leaks(rows: Sequence[Row]) -> str:
    """The span of both leakages over `rows`, as the end of a sentence."""
    inversions = [row.inversion.estimate.value for row in rows if row.inversion]
    memberships = [row.membership.estimate.value for row in rows if row.membership]
    parts = []
    if inversions:
        ends = dict.fromkeys(_percent(value) for value in (min(inversions), max(inversions)))
        parts.append(f"the worst inversion recovers {' to '.join(ends)} of the tokens")
    if memberships:
        span = dict.fromkeys(f"{value:.2f}" for value in (min(memberships), max(memberships)))
        parts.append(f"the worst membership AUC is {' to '.join(span)}")
    return f"; there {', and '.join(parts)}" if parts else ""


def _percent(fraction: float) -> str:
    return f"{100 * fraction:.1f} %"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")
