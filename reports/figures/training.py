"""Training curves as plain data: loss by round beside the epsilon that was spent by then."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from reports.figures.live import Curve, live_data
from reports.figures.naming import joined, level_text
from reports.labels import further_labels, phrase
from reports.records import CellResult


@dataclass(frozen=True)
class Course:
    """One training, by round. loss: mean over the round; spent: epsilon so far; bound: the lower
    bound that canaries show; claimed: the epsilon of all rounds; None where nothing is."""

    name: str
    loss: Curve
    spent: Curve
    bound: Curve
    claimed: float | None
    confidence: str = ""
    notice: str = ""


@dataclass(frozen=True)
class TrainingFigure:
    """The trainings of one task, or one training by itself; seed: whose the courses are."""

    task: str
    courses: tuple[Course, ...]
    seed: str = ""

    @property
    def notice(self) -> str:
        """The faults that stopped any of the trainings."""
        return "; ".join(dict.fromkeys(each.notice for each in self.courses if each.notice))


def training_data(records: Sequence[CellResult], task: str) -> TrainingFigure | None:
    """What each audited training of a task spent and showed by round, of the first seed.

    None where no record holds a live audit. Records hold no losses.
    """
    own = [each for each in records if each.labels["task"] == task and each.audit]
    if not own:
        return None
    seed = min((each.labels["seed"] for each in own), key=lambda text: (len(text), text))
    chosen = [each for each in own if each.labels["seed"] == seed]
    courses = [_course(_name(each.labels), each.audit, ()) for each in chosen]
    return TrainingFigure(task, tuple(courses), seed)


def course_of(
    task: str, name: str, losses: Sequence[float], audit: Mapping[str, Any] | None
) -> TrainingFigure | None:
    """One training from its checkpoint's losses and its live audit; None where it has neither."""
    loss = tuple((number, float(each)) for number, each in enumerate(losses, start=1))
    if not loss and audit is None:
        return None
    return TrainingFigure(task, (_course(name, audit, loss),))


def describe_training(data: TrainingFigure) -> str:
    """The figure in words, for those who cannot see it."""
    parts = [f"{data.notice}." if data.notice else ""]
    parts.append(f"Training on {data.task} by round{f', seed {data.seed}' if data.seed else ''}.")
    for each in data.courses:
        told = []
        for what, curve in (("loss", each.loss), ("epsilon spent", each.spent),
                            ("epsilon shown at least", each.bound)):  # fmt: skip
            if curve:
                told.append(f"{what} {curve[-1][1]:.3g} after round {curve[-1][0]}")
        if each.claimed is not None:
            told.append(f"epsilon claimed for all rounds {each.claimed:.3g}")
        parts.append(f"{each.name}: {', '.join(told) or 'nothing is spent'}.")
    return " ".join(part for part in parts if part)


def _course(name: str, audit: Mapping[str, Any] | None, loss: Curve) -> Course:
    if audit is None:
        return Course(name, loss, (), (), None)
    live = live_data(audit)
    return Course(name, loss, live.spent, live.bound, live.claimed, live.confidence, live.notice)


def _name(labels: Mapping[str, str]) -> str:
    return joined((labels["defence"] + phrase(further_labels(labels)), level_text(labels["level"])))
