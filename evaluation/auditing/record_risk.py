"""Records most at risk of an audited model: who they are is told in a file, how sure in the card.

By the spread of each record's loss over the training (LT-IQR), where the training kept traces; by
its leverage on the released head; and by LiRA, where the adversary trained shadows.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from attacks.membership.lira import OnlineLira
from attacks.membership.updates import read_last_layer
from evaluation.adversary.inference import batches
from evaluation.auditing.adversary import example_set
from evaluation.auditing.membership import Candidates
from evaluation.auditing.record_list import write_list
from evaluation.auditing.subject import Subject
from evaluation.metrics.record_risk import (
    LEAST,
    TOP,
    found_at,
    leverage,
    loss_iqr,
    order_of,
    precision_at,
)
from fedbert.data.batches import Encoded
from fedbert.data.sources import load_one
from fedbert.errors import InputError
from fedbert.loss_trace import traces_of
from fedbert.prepare import examples_of
from reports.wording import interval

LISTED = "records at risk"
FPR = 0.01
SHADOWS = "--shadows 16"


@dataclass(frozen=True)
class Records:
    """Records that a model was trained on.

    rows [record]: the row of each in its source, from 1. positions [record]: in the training's
    pool; None for records of a file.
    """

    encoded: Encoded
    rows: np.ndarray
    positions: np.ndarray | None


@dataclass(frozen=True)
class Scores:
    """Scores [record] by column, NaN where there is none; and why a column has none."""

    columns: dict[str, np.ndarray]
    missing: dict[str, str]


def records_of(subject: Subject, members: Path | None, data: str | None) -> Records:
    """Return the records to rank: those of a file, or what the training's clients hold.

    data: the source of the training's data, where the user names it.

    Raises:
        InputError: where nobody says who was trained on.
    """
    if members is not None:
        read = np.asarray(load_one(subject.task, members).rows)
        encoded = subject.encoded(members)
        return Records(encoded, read[encoded.documents], None)
    if subject.own is None:
        raise InputError(f"expected --members with --records, got none: {subject.unknown}")
    own, config = subject.own, subject.config
    named = replace(config.data, source=config.data.source if data is None else data)
    read = np.asarray(examples_of(replace(config, data=named))[0]["train"].rows)
    positions = np.sort(np.concatenate([data.in_pool for data in own.clients]))
    encoded = own.pool.take(positions)
    return Records(encoded, read[own.pool.documents[positions]], positions)


@dataclass(frozen=True)
class Ranked:
    """Records with their scores; by: the column that they are ordered by."""

    records: Records
    scores: Scores
    by: str


def ranked(subject: Subject, records: Records) -> Ranked:
    """Return the scores of records, before anything that takes long is measured.

    Raises:
        InputError: where nothing can be measured that ranks records.
    """
    scores = _scores(subject, records)
    first = next((name for name in ("loss_iqr", "leverage") if name in scores.columns), None)
    if first is None:
        raise InputError(f"expected scores for --records, got none: {_told(scores)}")
    return Ranked(records, scores, first)


def write_risk(path: Path, known: Ranked, who: Candidates | str, lira: np.ndarray | None) -> str:
    """Write the list of records, most at risk first, and return in words what it goes by.

    who, lira [candidate]: the candidates of membership, and their scores by on-line LiRA; None
    without shadows.
    """
    records, scores, first = known.records, known.scores, known.by
    columns = dict(scores.columns)
    columns["lira"] = np.full(len(records.rows), np.nan)
    precision = [f"how right is not measured: it takes {SHADOWS}"]
    if lira is not None and not isinstance(who, str) and who.positions is not None:
        precision = _precision(columns, records, who, lira)
    nothing = np.full(len(records.rows), np.nan)
    written = {name: columns.get(name, nothing) for name in ("loss_iqr", "visits", "leverage")}
    written |= {"row": records.rows, "lira": columns["lira"]}
    write_list(path, order_of(columns[first]), written)
    by = {"loss_iqr": "the spread of their losses (LT-IQR)", "leverage": "leverage"}[first]
    parts = [f"{len(records.rows)} listed by {by}", *precision, _told(scores)]
    return "; ".join(part for part in parts if part)


def _told(scores: Scores) -> str:
    return "; ".join(f"{name} not measured: {why}" for name, why in scores.missing.items())


def _scores(subject: Subject, records: Records) -> Scores:
    """Return what can be said of each record without a model of one's own."""
    found, missing = dict[str, np.ndarray](), dict[str, str]()
    traced = _traced(subject, records)
    if isinstance(traced, str):
        missing["LT-IQR"] = traced
    else:
        found["loss_iqr"], found["visits"] = traced
    if subject.task.kind == "mlm":
        missing["leverage"] = "needs a head on one vector of each record"
    else:
        asked = example_set(subject, records.encoded)
        every = np.arange(len(records.rows))
        shown = batches(asked, records.encoded, every, subject.config.seed, "leverage")
        inputs, logits, _ = (each.numpy() for each in read_last_layer(subject.split, shown))
        found["leverage"] = leverage(inputs, None if subject.task.regression else logits)
    return Scores(found, missing)


def _traced(subject: Subject, records: Records) -> tuple[np.ndarray, np.ndarray] | str:
    """Return the spread of each record's losses and their number [record], or why there is none."""
    if records.positions is None or subject.checkpoint is None:
        return "needs the training's checkpoint, and its own rows"
    if subject.one_message:
        return "needs steps: every record was sent once"
    kept = traces_of(subject.checkpoint.state.arrays)
    if kept is None:
        return "the training kept no traces: train with [training] loss_traces = true"
    known = np.isin(kept[0], records.positions)
    where = np.searchsorted(records.positions, kept[0][known])
    spread, visits = loss_iqr(where, kept[1][known], len(records.positions))
    if np.isnan(spread).all():
        return f"no record was seen {LEAST} times"
    return spread, visits


def _precision(
    columns: dict[str, np.ndarray], records: Records, who: Candidates, lira: np.ndarray
) -> list[str]:
    """Fill in LiRA's scores, and return how many of the top records it finds, by each ranking."""
    positions, own = who.positions, records.positions
    if positions is None or own is None:
        return []
    asked = who.members & who.judged & np.isin(positions, own)
    where = np.searchsorted(own, positions[asked])
    columns["lira"][where] = lira[asked]
    others = lira[~who.members & who.judged]
    try:
        found = found_at(lira[asked], others, FPR)
    except InputError as error:
        return [f"how right is not measured: {error}"]
    told = []
    for name, words in (("loss_iqr", "LT-IQR"), ("leverage", "leverage")):
        if name in columns and not np.isnan(columns[name][where]).all():
            estimate, of_all = precision_at(columns[name][where], found)
            told.append(
                f"of the top {TOP:.0%} by {words} LiRA finds {interval(estimate)} "
                f"(n={estimate.n}) at {FPR:.0%} of false alarms, of all {of_all:.3f}"
            )
    return told


def lira_of(scores: dict[str, np.ndarray]) -> np.ndarray | None:
    """Return the scores of on-line LiRA [candidate], where it ran."""
    return scores.get(OnlineLira().name)
