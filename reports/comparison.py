"""Comparison verdicts: did undefended training learn what a defence could take away?

Rows of one task, model, strategy and sweep are compared with one another. Where their undefended
training learnt nothing, no number of a defence means anything: the comparison is void.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from reports import metrics
from reports.estimate import Estimate
from reports.fates import why
from reports.labels import Pairs, further_labels
from reports.records import CellResult
from reports.wording import outward

HOLDS, VOID, UNSURE = "holds", "void", "cannot tell"
FAILED, BARE = "undefended row failed", "no undefended row"
VALUES = (HOLDS, VOID, UNSURE, FAILED, BARE)
UNDEFENDED = "none"
LEAST = 0.2
"""The share of the way from the baseline to the best value that a training must be able to have
gone: where even the upper end of the interval lies below, the comparison is void, and not merely
one of too few examples."""
CONSTANT = {
    "accuracy": "the majority class",
    "matthews": "the majority class",
    "pearson": "a constant answer",
    "spearman": "a constant answer",
    "masked_accuracy": "the most frequent token",
}
"""What a training has to leave, by the metrics that can tell: no guess without looking is better
by them. (By F1 and macro-F1 a coin is better than the majority class.)"""
UNKNOWN = "whether training failed or a defence took the task away cannot be told"
Group = tuple[str, str, str, Pairs]
"""Task, model, strategy and further labels: what compared rows have in common."""


@dataclass(frozen=True)
class Comparison:
    """Whether the undefended row of a group left its baseline.

    value: one of VALUES. short: in a few words; words: with the numbers; hint: what to try. All
    three are "" where the comparison holds.
    """

    value: str = BARE
    short: str = f"no undefended row: {UNKNOWN}"
    words: str = f"there is no undefended row: {UNKNOWN}"
    hint: str = 'add [[defences]] with name = "none"'

    @property
    def holds(self) -> bool:
        """Whether a defence may be judged by what it lost."""
        return self.value == HOLDS

    @property
    def told(self) -> str:
        """Words and hint as sentences; nothing where the comparison holds."""
        return f"{self.words}. Hint: {self.hint}." if self.words else ""


GOOD = Comparison(HOLDS, "", "", "")


def group_of(record: CellResult) -> Group:
    """The group of a record."""
    own = record.labels
    return own["task"], own["model"], own["strategy"], further_labels(own)


def undefended(record: CellResult) -> bool:
    """Whether a record is of a training without any mechanism."""
    written = record.spec.get("defence")
    bare = isinstance(written, dict) and set(written) == {"name"}
    return bare or record.labels["defence"] == UNDEFENDED


def comparisons(records: Iterable[CellResult]) -> dict[Group, Comparison]:
    """The verdict on each group of records, in order of appearance."""
    groups: dict[Group, list[CellResult]] = {}
    for record in records:
        own = groups.setdefault(group_of(record), [])
        if undefended(record):
            own.append(record)
    return {group: judged(own) for group, own in groups.items()}


def judged(rows: Sequence[CellResult]) -> Comparison:
    """The verdict on undefended trainings that differ in their seed alone.

    It holds where every seed's interval of the gain over the baseline lies above 0, all of them at
    once with the confidence of one (Bonferroni). It is void where one seed's lies below `LEAST` of
    what there was to gain. In between there are too few examples to tell.
    """
    done = [record for record in rows if record.status == "done" and record.utility]
    if not done:
        return _without_numbers(rows) if rows else GAP
    metric = next((name for name in done[0].utility if name in CONSTANT), None)
    gains = [gain(record, metric) for record in done] if metric is not None else [None]
    known = [each for each in gains if each is not None]
    if metric is None or len(known) < len(gains):
        text = f"{', '.join(done[0].utility)} has no baseline here: {UNKNOWN}"
        return Comparison(UNSURE, text, text, "add a metric that has one, such as accuracy")
    best = metrics.metric(metric).high or 1.0
    each_fate = [
        _fate(each.widened(len(known)), best - record.utility[metric].value + each.value)
        for each, record in zip(known, done, strict=True)
    ]
    value = next((each for each in (VOID, UNSURE) if each in each_fate), HOLDS)
    failed = sum(record.status == "failed" for record in rows)
    if value == HOLDS and failed:
        text = f"undefended training failed in {failed} of {len(rows)} seeds: {UNKNOWN}"
        return Comparison(
            UNSURE, text, text, next(_see(each) for each in rows if each.status == "failed")
        )
    if value == HOLDS:
        return GOOD
    numbers = "; ".join(
        f"seed {record.labels['seed']}: {outward(record.utility[metric])}, gain {outward(each)}"
        for record, each, fate in zip(done, known, each_fate, strict=True)
        if fate == value
    )
    left = f"undefended training did not leave {CONSTANT[metric]}"
    if value == VOID:
        short, hint = f"this comparison is void: {left}", _hint(done[0].labels["strategy"])
    else:
        short = f"too few examples to tell whether undefended training left {CONSTANT[metric]}"
        hint = f"judge on more examples, or {_hint(done[0].labels['strategy'])}"
    of = f" in {each_fate.count(value)} of {len(done)} seeds" if len(done) > 1 else ""
    return Comparison(value, short, f"{short}{of} ({metrics.title(metric)}, {numbers})", hint)


GAP = Comparison()


def _without_numbers(rows: Sequence[CellResult]) -> Comparison:
    """The verdict on undefended trainings of which none has a utility."""
    failed = [record for record in rows if record.status == "failed"]
    if failed:
        short = f"the undefended row failed: {UNKNOWN}"
        words = f"the undefended row failed ({why(failed[0])}): {UNKNOWN}"
        return Comparison(FAILED, short, words, _see(failed[0]))
    first = rows[0]
    fate = "has no utility" if first.status == "done" else f"was skipped ({why(first)})"
    text = f"the undefended row {fate}: {UNKNOWN}"
    return Comparison(BARE, text, text, f"`fedbert-eval show RUN {first.cell}` says what there is")


def _see(failed: CellResult) -> str:
    """Where a failed cell tells more, and what tries it again."""
    return (
        f"`fedbert-eval show RUN {failed.cell}` says more, and the command that ran the grid tries "
        "it once more"
    )


def gain(record: CellResult, metric: str) -> Estimate | None:
    """What a training gained over its baseline, paired by example where the record holds that.

    Else the interval of the utility less the baseline; None where there is none.
    """
    if metric in record.gains:
        return record.gains[metric]
    if metric not in record.utility:
        return None
    baseline = record.majority_baseline.get(metric)
    if baseline is None and metric in ("pearson", "spearman"):
        baseline = 0.0
    return None if baseline is None else record.utility[metric].less(baseline)


def brief(named: Mapping[str, Comparison]) -> str:
    """One line for a figure or the head of a table: each fault with the names it is of.

    Without names where it is that of all; "" where every comparison holds.

    >>> brief({"parallel": GOOD, "fedavg": GAP}).endswith("(fedavg)"), brief({"parallel": GOOD})
    (True, '')
    """
    found: dict[str, list[str]] = {}
    for name, each in named.items():
        if not each.holds:
            found.setdefault(each.short, []).append(name)
    return "; ".join(
        short if len(names) == len(named) else f"{short} ({'; '.join(names)})"
        for short, names in found.items()
    )


def capital(text: str) -> str:
    """A text with a capital letter first.

    >>> capital("a Word")
    'A Word'
    """
    return text[:1].upper() + text[1:]


def sentence(notice: str) -> list[str]:
    """A notice as a sentence; nothing for none."""
    return [f"{capital(notice)}."] if notice else []


def _fate(simultaneous: Estimate, room: float) -> str:
    """What one seed's gain shows; room: from the baseline to the best value."""
    if simultaneous.low > 0:
        return HOLDS
    return VOID if simultaneous.high < LEAST * room else UNSURE


def _hint(strategy: str) -> str:
    """What may make a training learn, that of this strategy."""
    if strategy == "one_message":
        return "try more records, more directions or another encoder"
    other = "" if strategy == "sequential" else "`sequential`, "
    return f"try more steps, {other}or another rate"
