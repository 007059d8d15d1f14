"""Run as plots read it: records in order with what may be claimed of them, scores, partition."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports import live
from reports.as_shown import as_shown
from reports.checks import number
from reports.records import RECORDS, CellResult
from reports.run_folder import json_of, names_of, scores_path

if TYPE_CHECKING:
    from reports.scores import Scored

CURVE, MANIFEST = "live.json", Path("checkpoint") / "manifest.json"


@dataclass(frozen=True)
class Course:
    """What the folder of one training holds: its task, its defence, its losses, its live audit."""

    task: str
    name: str
    losses: tuple[float, ...]
    audit: Mapping[str, Any] | None


@dataclass(frozen=True)
class Run:
    """One run's folder. training: where it is the folder of a training, which has no records."""

    name: str
    directory: Path
    records: tuple[CellResult, ...]
    training: Course | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks of the records, in order."""
        return tuple(dict.fromkeys(record.labels["task"] for record in self.records))

    def partition(self, task: str) -> Mapping[str, Mapping[str, int]] | None:
        """What each client holds; None where that is not written down.

        Raises: ValueError for a file that holds something else.
        """
        path = self.directory / "partition.json"
        found = json_of(path)
        if found is None:
            return None
        counts = found.get(task) if isinstance(found, Mapping) else found
        if counts is None:
            return None
        clients = counts.values() if isinstance(counts, Mapping) else [None]
        if not all(isinstance(held, Mapping) for held in clients):
            raise ValueError(f"expected counts by client and label, got {path} task={task!r}")
        return {client: dict(held) for client, held in counts.items()}

    def scores(self, task: str) -> "tuple[list[CellResult], dict[str, dict[str, Scored]]]":
        """The cells of a task's first seed whose scores are kept, and these by cell and attack."""
        own = [
            record
            for record in self.records
            if record.labels["task"] == task and scores_path(self.directory, record.cell).is_file()
        ]
        first = min((int(record.labels["seed"]) for record in own), default=0)
        chosen = [record for record in own if int(record.labels["seed"]) == first]
        paths = {record.cell: scores_path(self.directory, record.cell) for record in chosen}
        if not paths:
            return [], {}
        from reports.scores import read_scores

        return chosen, {cell: read_scores(path) for cell, path in paths.items()}


def read_runs(directories: Sequence[Path]) -> list[Run]:
    """The runs in these folders, with names that tell them apart.

    Raises: ValueError without a folder, for one that is no run's, or for a file that is none.
    """
    if not directories:
        raise ValueError("expected at least one run directory, got run_directories=[]")
    named = names_of([Path(each) for each in directories])
    return [_run(name, directory) for name, directory in named.items()]


def _run(name: str, directory: Path) -> Run:
    if not (directory / RECORDS).is_file() and (directory / MANIFEST).is_file():
        return Run(name, directory, (), _course(directory))
    return Run(name, directory, tuple(as_shown(directory)))


def _course(directory: Path) -> Course:
    """What a training's folder says of its course; ValueError for what no training writes."""
    path = directory / MANIFEST
    manifest, audit = json_of(path), json_of(directory / CURVE)
    try:
        losses = tuple(number(each, "losses") for each in manifest["losses"])
        task = str(manifest["config"]["data"]["task"])
        name = str(manifest["defence"].get("name") or "none")
        if audit is not None:
            live.check(audit, CURVE)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"expected the manifest of a training, got {path}: {error}") from None
    return Course(task, name, losses, audit)
