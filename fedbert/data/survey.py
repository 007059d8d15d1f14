"""Survey of a data set: rows, labels, repeats within and across splits, texts that are cut."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from fedbert.data.batches import Encoded
from fedbert.data.examples import Examples
from fedbert.data.people import rows_of_each
from fedbert.data.repeats import coin_groups
from fedbert.data.sources import HELD_OUT
from fedbert.data.tables import one_line, printable
from fedbert.tasks import Task

MOST = 12  # labels in a line


def essentials(
    examples: Mapping[str, Examples], encoded: Mapping[str, Encoded], max_length: int
) -> tuple[str, ...]:
    """Return what is to be known of a task's splits before anything is trained, a line each."""
    train = examples["train"]
    parts = [f"{split} {len(each):,} rows" for split, each in examples.items()]
    lines = [f"data: {', '.join(parts)}"]
    if any(each.held_out for each in examples.values()):
        of = "persons" if train.people else "texts"
        lines[0] += f" (there is one split: the seed keeps {HELD_OUT:.0%} of its {of} to judge on)"
    skipped = sum(each.skipped for each in examples.values())
    lines[0] += f"; {skipped} rows with too few fields were left out" if skipped else ""
    if train.task.kind != "mlm":
        lines.append(f"labels of train: {labels_in_words(train)}")
    lines.append(f"repeats: {repeats_in_words(examples)}")
    if told := texts_in_words(train):
        lines.append(f"texts: {told}")
    if train.people:
        lines.append(f"persons: {people_in_words(examples, encoded['train'])}")
    cut = cut_share(encoded)
    if cut is not None and train.task.kind != "mlm":
        lines.append(f"max_length {max_length} cuts {cut:.1%} of the texts")
    return tuple(lines)


def coin_in_words(labels: np.ndarray, members: np.ndarray, task: Task, seed: int) -> str:
    """Return how many rows the coin of a seed leaves to train on, and of classes how many of each.

    labels, members [example]. Texts that read alike to the model go by one coin.

    >>> from fedbert.tasks import TASKS
    >>> coin_in_words(np.array([0, 1, 1]), np.array([True, True, False]), TASKS["sst2"], 0)
    'trained on (seed 0): 2 rows (negative 1, positive 1); the coin keeps 1 for the attacks'
    """
    told = ""
    if task.kind == "classification":
        counts = np.bincount(labels[members], minlength=len(task.label_names))
        pairs = list(zip(task.label_names, counts, strict=True))[:MOST]
        listed = ", ".join(f"{printable(one_line(name, 40))} {count:,}" for name, count in pairs)
        told = f" ({listed})"
    kept, trained = int((~members).sum()), int(members.sum())
    left = f"the coin keeps {kept:,} for the attacks"
    return f"trained on (seed {seed}): {trained:,} rows{told}; {left}"


def labels_in_words(examples: Examples) -> str:
    """Return how often each label occurs, or between what the scores lie."""
    labels = examples.labels
    if examples.task.regression:
        return f"scores from {labels.min():g} to {labels.max():g}, mean {labels.mean():.4g}"
    counts = label_counts(examples)
    listed = list(counts.items())[:MOST]
    told = [f"{printable(one_line(name, 40))} {count:,}" for name, count in listed]
    more = [f"and {len(counts) - MOST} labels more"] if len(counts) > MOST else []
    return ", ".join(told + more)


def label_counts(examples: Examples) -> dict[str, int]:
    """Return how often each label of a classification occurs, those that never do included."""
    names = examples.task.label_names
    counts = np.bincount(examples.labels, minlength=len(names))
    return {name: int(count) for name, count in zip(names, counts, strict=True)}


def repeats_in_words(examples: Mapping[str, Examples]) -> str:
    """Return how many rows of each split repeat another, and how many stand in train as well."""
    known = set(examples["train"].texts)
    told = []
    for split, each in examples.items():
        again = len(each) - len(set(each.texts))
        told.append(f"{again:,} of {split} repeat a row before them")
        if split != "train":
            told[-1] += f", {sum(text in known for text in each.texts):,} stand in train"
    return "; ".join(told)


def texts_in_words(train: Examples) -> str:
    """Return how many texts stand in several rows of train, and the most in which one does.

    A claim is about a row, and says less of such a text; nothing where there is none, and of
    masked-LM, whose rows are documents.

    >>> from fedbert.tasks import TASKS
    >>> rows = (("a", "b"), ("a", "c"), ("d", "d"))
    >>> texts_in_words(Examples(TASKS["rte"], rows, np.zeros(3), "")).split(":")[0]
    '1 text stands in several rows, up to 2'
    """
    if train.task.kind == "mlm":
        return ""
    rows = Counter(text for row in train.texts for text in {*row})
    several = [count for count in rows.values() if count > 1]
    if not several:
        return ""
    what = "1 text stands" if len(several) == 1 else f"{len(several):,} texts stand"
    row = "" if train.people else f" ([data] records_per_user = {max(several)} gives one for all)"
    return f"{what} in several rows, up to {max(several):,}: a claim about a record covers one{row}"


def people_in_words(examples: Mapping[str, Examples], pool: Encoded) -> str:
    """Return how many persons each split has, with how many rows, and how many of train as well.

    pool: train's examples as the model reads them, by which persons may share a text.
    """
    known = set(examples["train"].people)
    told = []
    for split, each in examples.items():
        rows = np.array(list(Counter(each.people).values()))
        median, most = np.median(rows), rows.max()
        told.append(f"{len(rows):,} in {split} with {median:g} rows (median), {most:,} at most")
        if split != "train":
            told[-1] += f", {len(known & {*each.people}):,} of them in train"
    units = rows_of_each(coin_groups(pool))
    if len(units) < len(known):
        told.append(
            f"by texts that persons of train share, the coin takes them for {len(units):,}, the "
            f"largest of {units.max():,} rows"
        )
    return "; ".join(told)


def left_out_in_words(rows: int, most: int | None) -> str:
    """Return how many rows of train a bound for each person left out."""
    return f"group_rows {most} leaves out {rows:,} rows of train"


def cut_share(encoded: Mapping[str, Encoded]) -> float | None:
    """Return the share of all texts whose end `max_length` cuts off; None where it is not known."""
    parts = [each.cut for each in encoded.values() if each.cut is not None]
    return float(np.concatenate(parts).mean()) if parts else None
