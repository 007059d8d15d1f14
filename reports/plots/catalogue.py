"""Catalogue of figures: what each shows, what it needs, and how it is made of a run."""

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from reports.checks import FAMILIES
from reports.faults import fault
from reports.plots.run import Run
from reports.rows import setting_rows

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from reports.drawing.style import Style


@dataclass(frozen=True)
class Piece:
    """One figure of one task, not drawn yet.

    part: of its file's name. by: what draws the data, "module:function" of `reports.drawing`; rest:
    what that is told besides.
    """

    part: str
    words: str
    data: Any
    by: str
    rest: tuple[str, ...] = ()

    def ordered(self, order: Sequence[str]) -> "Piece":
        """The same with the series of all figures, by which a series looks the same in each.

        Up to the last one of its own: what comes after does not make it another figure.
        """
        if not hasattr(self.data, "order"):
            return self
        last = max((i for i, name in enumerate(order) if name in self.data.series), default=-1)
        return replace(self, data=replace(self.data, order=tuple(order[: last + 1])))

    def draw(self, style: "Style") -> "Figure":
        """The figure, drawn."""
        module, _, name = self.by.partition(":")
        figure: Figure = _of(f"drawing.{module}", name)(self.data, *self.rest, style)
        return figure


@dataclass(frozen=True)
class Kind:
    """A kind of figure. shows: in a line; needs: what a run lacks of which there is none."""

    shows: str
    needs: str
    make: Callable[[Run, str], list[Piece]]


def _of(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"reports.{module}"), name)


def _piece(data: Any, describe: Any, draw: str, part: str = "") -> list[Piece]:
    """The piece of some data; nothing of None."""
    return [] if data is None else [Piece(part, describe(data), data, draw)]


def _plain(module: str, name: str, draw: str) -> Callable[[Run, str], list[Piece]]:
    """A figure whose data follow from the records alone, by `NAME_data` and `describe_NAME`."""

    def make(run: Run, task: str) -> list[Piece]:
        own = f"figures.{module}"
        data = _of(own, f"{name}_data")(run.records, task)
        return _piece(data, _of(own, f"describe_{name}"), draw)

    return make


def _utility(run: Run, task: str) -> list[Piece]:
    from reports.figures.utility import describe, leakage_data

    rows = setting_rows(run.records)
    return [
        piece
        for family in FAMILIES
        for piece in _piece(
            leakage_data(rows, task, family), describe, "scatter:draw_trade", family
        )
    ]


def _roc(run: Run, task: str) -> list[Piece]:
    from reports.figures.roc import describe_roc, rates_data, roc_data

    records, scores = run.scores(task)
    data = roc_data(records, scores) if records else rates_data(run.records, task)
    return _piece(_flagged(data, run, task), describe_roc, "rates:draw_rates")


def _depth(run: Run, task: str) -> list[Piece]:
    from reports.figures.depth import depth_data, describe_depth

    data = depth_data(run.records, task)
    return _piece(_flagged(data, run, task), describe_depth, "curves:draw_depths")


def _flagged(data: Any, run: Run, task: str) -> Any:
    """Data with what makes the task's comparison void; None of None."""
    rows = [row for row in setting_rows(run.records) if row.task == task]
    return None if data is None else replace(data, notice=fault(rows))


def _training(run: Run, task: str) -> list[Piece]:
    from reports.figures.training import course_of, describe_training, training_data

    own = run.training
    if own is None:
        data = training_data(run.records, task)
    else:
        data = course_of(own.task, own.name, own.losses, own.audit)
    return _piece(data, describe_training, "curves:draw_training")


def _partition(run: Run, task: str) -> list[Piece]:
    from reports.figures.utility import MANY, describe_partition, partition_data

    counts = run.partition(task)
    if counts is None:
        return []
    data = partition_data(counts)
    words = describe_partition(data) if len(data.clients) <= MANY else _in_all(data)
    return [Piece("", words, data, "bars:draw_clients", (task,))]


def _in_all(data: Any) -> str:
    sums = sorted(sum(row) for row in data.counts)
    labels = ", ".join(
        f"{sum(row[number] for row in data.counts)} {label}"
        for number, label in enumerate(data.labels)
    )
    return (
        f"Examples per client and label. {len(data.clients)} clients hold from {sums[0]} to "
        f"{sums[-1]} examples each; in all {labels}."
    )


FIGURES: dict[str, Kind] = {
    "utility": Kind(
        "utility against the worst attack of each family, both with intervals, by unit of privacy",
        "a setting with a utility and an attack",
        _utility,
    ),
    "frontier": Kind(
        "the settings that none beats in both, and the hypervolume behind them, by unit of privacy",
        "a setting with a guarantee, an attack, and a utility of which more is better",
        _plain("volume", "front", "scatter:draw_front"),
    ),
    "epsilon": Kind(
        "utility and leakage against the claimed epsilon, a row for each unit of privacy",
        "a setting that claims an epsilon above 0 with every seed",
        _plain("epsilon", "epsilon", "curves:draw_epsilon"),
    ),
    "claims": Kind(
        "the claimed epsilon against what canaries show at least",
        "a training with canaries and a claim ([audit] canaries)",
        _plain("claims", "claims", "curves:draw_claims"),
    ),
    "roc": Kind(
        "members found against false alarms, and what the claim forbids",
        "a membership attack judged at low false-positive rates",
        _roc,
    ),
    "depth": Kind(
        "tokens recovered against the layers before the cut",
        "attacks on the forward view at several cut layers",
        _depth,
    ),
    "views": Kind(
        "the worst attack of each setting on each view",
        "a measured attack",
        _plain("views", "views", "tiles:draw_views"),
    ),
    "classes": Kind(
        "recovery by class of token: content, numbers, rare and function words",
        "an attack on the forward view that was judged by class of token",
        _plain("classes", "classes", "bars:draw_classes"),
    ),
    "cost": Kind(
        "bytes sent and time of training against utility",
        "a setting with a utility and a cost",
        _plain("cost", "cost", "scatter:draw_cost"),
    ),
    "training": Kind(
        "loss, epsilon spent, and epsilon shown by canaries, by round",
        "a training with a live audit ([audit]), or the folder of a training",
        _training,
    ),
    "partition": Kind(
        "the examples of each client by label", "a partition.json of its task", _partition
    ),
    "ranking": Kind(
        "how often the order of two settings agrees over seeds",
        "two settings over the same two seeds",
        _plain("ranking", "ranking", "tiles:draw_ranking"),
    ),
}


def order_of(runs: Sequence[Run]) -> tuple[str, ...]:
    """Every series of the runs' settings, in order of appearance."""
    from reports.figures.settings import settings_of

    tasks = [(run, task) for run in runs for task in run.tasks]
    found = (each.series for run, task in tasks for each in settings_of(run.records, task))
    return tuple(dict.fromkeys(found))


def pieces(kind: str, run: Run) -> list[tuple[str, Piece]]:
    """The figures of a kind that a run has something for, with the task of each.

    Raises: ValueError for a file of the run that is not what it should be.
    """
    tasks: Sequence[str] = run.tasks if run.training is None else (run.training.task,)
    if run.training is not None and kind != "training":
        return []
    return [(task, piece) for task in tasks for piece in FIGURES[kind].make(run, task)]
