"""Tasks: which columns hold the text, what the labels mean, how success is measured.

Nothing here imports torch or transformers, so that the command line can list the tasks at once.
"""

import math
import re
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from fedbert.errors import InputError

Kind = Literal["classification", "regression", "mlm"]

MATCHED = ("validation_matched", "validation_mismatched")
OWN = "own"
"""The task of somebody's own columns, which `own_task` makes from their names."""
CLASS_METRICS = ("accuracy", "macro_f1", "f1", "matthews")
SCORE_METRICS = ("pearson", "spearman")
"""What may be asked of classes and of scores; the first where nothing is asked."""

_INTEGER = re.compile(r"(-?(?:0|[1-9][0-9]{0,17}))(?:\.0*)?")


@dataclass(frozen=True)
class Tsv:
    """Where a task lies in the folders of the official GLUE archive.

    `columns` and `label` name the header's columns; `positions` replaces them for the one file
    without a header (CoLA), text columns first, label last. Quotes are literal in every file.
    `short_rows` allows rows with too few columns to be left out, as the official readers do; the
    released QQP files have a few of them.
    """

    folder: str
    columns: tuple[str, ...]
    label: str = "label"
    positions: tuple[int, ...] = ()
    short_rows: bool = False


def is_of_pairs(name: str, pair: str | None) -> bool:
    """Return whether a task's examples have two texts; pair: the second column of one's own.

    >>> is_of_pairs("rte", None), is_of_pairs("sst2", None), is_of_pairs("own", "answer")
    (True, False, True)
    """
    known = TASKS.get(name)
    return pair is not None if known is None else len(known.columns) == 2


@dataclass(frozen=True)
class Task:
    """One task: its text columns, labels (in the hub's numbering), metrics and splits.

    `metrics` names the official metrics, the headline first. `evaluation` names the labelled
    splits to judge on, the headline first. `score_range` bounds the labels of a regression.
    `of_likeness`: more alike pairs score higher, as its guidelines tell everybody.
    `label` names the column of the labels. `guessed`: nobody said that the labels are scores.
    `group` names the column of the person that a row belongs to; None: each row is by itself.
    `attribute` names a column of what a text also tells, besides its label; nobody trains on it.
    """

    name: str
    columns: tuple[str, ...]
    label_names: tuple[str, ...]
    metrics: tuple[str, ...]
    kind: Kind = "classification"
    evaluation: tuple[str, ...] = ("validation",)
    score_range: tuple[float, float] = (0.0, 0.0)
    of_likeness: bool = False
    tsv: Tsv | None = None
    label: str = "label"
    guessed: bool = False
    group: str | None = None
    attribute: str | None = None

    @property
    def regression(self) -> bool:
        """Whether labels are real numbers instead of classes."""
        return self.kind == "regression"

    @property
    def of_ones_own(self) -> bool:
        """Whether columns or labels are somebody's own, instead of GLUE's."""
        known = TASKS.get(self.name)
        own = (self.columns, self.label_names)
        return known is None or own != (known.columns, known.label_names)

    @property
    def num_labels(self) -> int:
        """The number of outputs of the task head: classes, 1 for a score, 0 for masked-LM."""
        return {"regression": 1, "mlm": 0}.get(self.kind, len(self.label_names))


_ENTAILMENT = ("entailment", "not_entailment")
_ACCURACY = ("accuracy",)
_SENTENCES = ("sentence1", "sentence2")

_ALL = (
    Task(
        name="cola",
        columns=("sentence",),
        label_names=("unacceptable", "acceptable"),
        metrics=("matthews",),
        tsv=Tsv("CoLA", ("sentence",), positions=(3, 1)),
    ),
    Task(
        name="sst2",
        columns=("sentence",),
        label_names=("negative", "positive"),
        metrics=_ACCURACY,
        tsv=Tsv("SST-2", ("sentence",)),
    ),
    Task(
        name="mrpc",
        columns=_SENTENCES,
        label_names=("not_equivalent", "equivalent"),
        metrics=("f1", "accuracy"),
        tsv=Tsv("MRPC", ("#1 String", "#2 String"), label="Quality"),
    ),
    Task(
        name="stsb",
        columns=_SENTENCES,
        label_names=(),
        metrics=("pearson", "spearman"),
        kind="regression",
        score_range=(0.0, 5.0),
        of_likeness=True,
        tsv=Tsv("STS-B", _SENTENCES, label="score"),
    ),
    Task(
        name="qqp",
        columns=("question1", "question2"),
        label_names=("not_duplicate", "duplicate"),
        metrics=("f1", "accuracy"),
        tsv=Tsv("QQP", ("question1", "question2"), label="is_duplicate", short_rows=True),
    ),
    Task(
        name="mnli",
        columns=("premise", "hypothesis"),
        label_names=("entailment", "neutral", "contradiction"),
        metrics=_ACCURACY,
        evaluation=MATCHED,
        tsv=Tsv("MNLI", _SENTENCES, label="gold_label"),
    ),
    Task(
        name="qnli",
        columns=("question", "sentence"),
        label_names=_ENTAILMENT,
        metrics=_ACCURACY,
        tsv=Tsv("QNLI", ("question", "sentence")),
    ),
    Task(
        name="rte",
        columns=_SENTENCES,
        label_names=_ENTAILMENT,
        metrics=_ACCURACY,
        tsv=Tsv("RTE", _SENTENCES),
    ),
    Task(
        name="wnli",
        columns=_SENTENCES,
        label_names=("not_entailment", "entailment"),
        metrics=_ACCURACY,
        tsv=Tsv("WNLI", _SENTENCES),
    ),
    Task(
        name="mlm",
        columns=("text",),
        label_names=(),
        metrics=("masked_accuracy", "perplexity"),
        kind="mlm",
    ),
)

TASKS: dict[str, Task] = {task.name: task for task in _ALL}
"""Every task by name: the nine of GLUE, and "mlm" for pre-training on any text."""

NAMES = (*(name for name in TASKS if name != "mlm"), OWN, "mlm")
"""What a file of settings may call a task."""


def own_task(
    text: str, pair: str | None, label: str, labels: tuple[str, ...], metric: str | None
) -> Task:
    """Return the task of somebody's own columns: classes where labels are named, else scores.

    Raises:
        InputError: for columns or labels that are the same, a single label, or a metric that does
            not fit.
    """
    if labels and len({label_word(each) for each in labels}) < max(2, len(labels)):
        raise InputError(f"expected labels that differ, two at least, got labels={[*labels]}")
    known = CLASS_METRICS if labels else SCORE_METRICS
    if metric is not None and metric not in known:
        what = f"{len(labels)} labels" if labels else "scores (no labels are named)"
        raise InputError(f"expected one of {', '.join(known)} for {what}, got metric={metric!r}")
    if metric == "f1" and len(labels) > 2:
        raise InputError(
            f"expected macro_f1 for {len(labels)} labels, got metric='f1', which is that of the "
            "second of two"
        )
    task = Task(
        name=OWN,
        columns=(),
        label_names=labels,
        metrics=tuple(dict.fromkeys((metric or known[0], known[0]))),
        kind="classification" if labels else "regression",
        score_range=(-math.inf, math.inf),
        guessed=not labels and metric is None,
    )
    return with_columns(task, text, pair, label)


def with_columns(task: Task, text: str | None, pair: str | None, label: str | None) -> Task:
    """Return a task that reads other columns than its own: a pair only where one is named.

    Raises:
        InputError: for a second text without a first, or columns that are the same.
    """
    if text is None and pair is not None:
        raise InputError(f"expected the column of the first text as well, got pair={pair!r} alone")
    columns = task.columns if text is None else (text,) if pair is None else (text, pair)
    found = replace(task, columns=columns, label=label or task.label, tsv=None)
    if len({*columns, found.label}) <= len(columns):
        raise InputError(f"expected different columns, got {', '.join((*columns, found.label))}")
    return found


def grouped(task: Task, group: str | None, attribute: str | None = None) -> Task:
    """Return a task whose rows belong to persons, named in a column; None: to nobody.

    attribute: the column of an attribute that is to be inferred; None: there is none.

    Raises:
        InputError: for a column that holds the text or the label, or an attribute of masked-LM.
    """
    taken = task.columns if task.kind == "mlm" else (*task.columns, task.label)
    if group in taken:
        raise InputError(f"expected a column of its own for the persons, got group={group!r}")
    if attribute is not None and task.kind == "mlm":
        raise InputError(f"expected attribute with a task with labels, got attribute={attribute!r}")
    if attribute is not None and attribute in taken:
        raise InputError(
            f"expected another column for the attribute than text or label, got {attribute!r}"
        )
    return replace(task, group=group, attribute=attribute)


def label_word(cell: object) -> str | None:
    """Return how a label is spelt, however a file writes it; None for what is no label.

    >>> label_word(1), label_word(1.0), label_word(" 1.0"), label_word(True), label_word("neg")
    ('1', '1', '1', 'true', 'neg')
    """
    if isinstance(cell, int | float | Decimal):
        cell = str(cell)
    if not isinstance(cell, str):
        return None
    text = cell.strip()
    number = _INTEGER.fullmatch(text)
    if number is not None:
        return "0" if number[1] == "-0" else number[1]
    return text.lower() if text.lower() in ("true", "false") else text
