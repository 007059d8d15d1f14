"""Differences in words: a plain sentence each, a Markdown report, and a table of numbers."""

import csv
import io
from collections.abc import Sequence

from reports import metrics
from reports.comparison import capital
from reports.differences.matched import Comparison
from reports.differences.pairs import LEVEL, Compared, Difference
from reports.markup import escaped
from reports.spreadsheet import quoted

POINTS = ("fraction", "probability")
NONE = "not distinguishable from none"
ALONE = "one training each: what another seed would change is in no interval"
LONE = (
    "one training on a side, and no seed in common: what another seed would change is in no "
    "interval, and no difference is told from none"
)
HEADS = (
    "task", "first", "second", "attack", "view", "metric", "before", "after", "difference", "low",
    "high", "seeds", "p", "p_adjusted", "distinguishable", "method",
)  # fmt: skip


def sentence(each: Difference) -> str:
    """One difference in a plain phrase, with its interval.

    >>> from reports.estimate import Estimate
    >>> key = "nearest token", "forward", "token_accuracy"
    >>> fell = Estimate(-0.61, -0.64, -0.58, 900)
    >>> sentence(Difference(key, 0.99, 0.38, fell, 3, False, 0.001, 0.01))
    'token accuracy of nearest token (forward) fell by 61.0 points (58.0 to 64.0)'
    """
    attack, view, metric = each.key
    what = metrics.title(metric) + (f" of {attack} ({view})" if attack else "")
    e = each.estimate
    fell = e.value < 0
    ends = (-e.high, -e.low) if fell else (e.low, e.high)
    scale, unit = (100, " points") if metrics.metric(metric).unit in POINTS else (1, "")
    size = f"{_number(abs(e.value) * scale)}{unit}"
    span = f"({_number(ends[0] * scale)} to {_number(ends[1] * scale)})"
    told = f"{what} {'fell' if fell else 'rose'} by {size} {span}"
    if e.value == 0:
        told = f"{what} differs by {size} {span}"
    if each.told:
        return told
    alone = each.p <= LEVEL
    return f"{told}, {NONE}" + (" among so many comparisons" if alone else "")


def lines(found: Comparison) -> list[str]:
    """What was compared, a line for each pair and difference, for a terminal."""
    told = [_head(found)]
    for pair in found.pairs:
        told += [_title(pair), *(f"  {capital(note)}." for note in notes(pair))]
        told += [f"  {capital(sentence(each))}." for each in pair.differences]
    return [*told, *(f"{capital(each)}." for each in found.alone)]


def notes(pair: Compared) -> list[str]:
    """What has to be known of a pair before its numbers: void, lacks, other data, code or seeds."""
    told = [pair.void] if pair.void else []
    if pair.apart:
        told.append(f"told apart by more than what is compared: {'; '.join(pair.apart)}")
    told += pair.lacking
    if any(each.separate and each.seeds > 1 for each in pair.differences):
        told.append("no seed in common: means over different seeds are compared, not pairs")
    if any(each.separate and each.seeds == 1 for each in pair.differences):
        told.append(LONE)
    paired = [each for each in pair.differences if not each.separate]
    single = [each for each in paired if each.seeds == 1]
    if single:
        told.append(ALONE if len(single) == len(paired) else f"{_of(single)}: {ALONE}")
    return told


def markdown(found: Comparison) -> str:
    """The comparison as a Markdown report."""
    parts = [f"# Comparison: {escaped(' and '.join(found.names))}", "", escaped(_head(found)), ""]
    for pair in found.pairs:
        parts += [f"## {escaped(_title(pair))}", ""]
        parts += [f"**{escaped(capital(note))}.**\n" for note in notes(pair)]
        parts += [f"- {escaped(capital(sentence(each)))}." for each in pair.differences]
        methods = dict.fromkeys(each.estimate.method for each in pair.differences)
        parts += ["", *(f"Interval: {escaped(method)}." for method in methods), ""]
    if found.alone:
        parts += ["## Without a partner", "", *(f"- {escaped(each)}" for each in found.alone), ""]
    return "\n".join(parts)


def csv_of(found: Comparison) -> str:
    """A line for each difference, numbers at full precision."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(quoted(HEADS))
    for pair in found.pairs:
        names = pair.first.setting.row.task, pair.first.name, pair.second.name
        for each in pair.differences:
            e = each.estimate
            numbers = each.before, each.after, e.value, e.low, e.high, each.seeds, each.p
            judged = each.adjusted, "yes" if each.told else "no", e.method
            writer.writerow(quoted([*names, *each.key, *numbers, *judged]))
    return text.getvalue()


def _head(found: Comparison) -> str:
    return (
        f"{found.count} differences in all. Each interval holds by itself with 95 %; a difference "
        f"counts as one where its p-value, corrected for all {found.count} (Holm), is at most "
        f"{LEVEL:g}."
    )


def _title(pair: Compared) -> str:
    row = pair.first.setting.row
    return f"{row.task}, {row.strategy}: {pair.second.name} against {pair.first.name}"


def _of(differences: Sequence[Difference]) -> str:
    names = (each.key[0] or metrics.title(each.key[2]) for each in differences)
    return ", ".join(dict.fromkeys(names))


def _number(value: float) -> str:
    text = f"{value:.1f}"
    return "0.0" if text == "-0.0" else text
