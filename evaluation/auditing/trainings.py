"""Trainings as recorded: claims and costs, of a checkpoint, an export or a run's record."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.auditing.spent import Spent, spent_of
from evaluation.auditing.subject import check_entries
from fedbert.checkpoint import read
from fedbert.errors import InputError
from fedbert.manifest import refuse_faulty
from fedbert.setting_types import ONE_MESSAGE
from reports.frontier.wish import PRIVATE, wish_of
from reports.records import RECORDS, CellResult, read_records


@dataclass(frozen=True)
class Training:
    """One training as it was recorded: its claims, and what was spent on them.

    name: the path, as it was given. entries: claims by view. labels: where those of a training by
    one message go; None for any other. records_per_user: as its settings state.
    """

    name: str
    entries: dict[str, tuple[dict[str, Any], ...]]
    costs: tuple[dict[str, Any], ...]
    labels: str | None
    records_per_user: int | None
    repeatable: bool

    def spent(self, claim: dict[str, Any]) -> Spent:
        """Return what stands behind a claim.

        Raises:
            InputError: for a claim with no recorded cost.
        """
        found = spent_of(list(self.costs), claim, self.labels, self.records_per_user)
        if found is None:
            told = f"{claim['view']} ({claim['unit']})"
            raise InputError(
                f"expected a cost behind each claim, got none of {told} in {self.name}"
            )
        return found


def read_trainings(paths: tuple[str, ...]) -> list[Training]:
    """Return the trainings of checkpoints, exports or runs; of a run's many cells "RUN:CELL".

    Raises:
        InputError: for fewer than two, the same twice, or a path that holds none.
    """
    if len(paths) < 2:
        raise InputError(f"expected two trainings or more, got {len(paths)}")
    found = [_training(path) for path in paths]
    places = [(Path(run).resolve(), cell) for run, _, cell in (p.partition(":") for p in paths)]
    for number, place in enumerate(places):
        if place in places[:number]:
            raise InputError(f"expected different trainings, got {found[number].name} twice")
    return found


def _training(text: str) -> Training:
    run, _, cell = text.partition(":")
    directory = Path(run)
    if not directory.is_dir():
        raise InputError(f"expected a checkpoint, an export or a run, got no folder {run}")
    inside = directory / "checkpoint"
    if (inside / "manifest.json").is_file():
        directory = inside
    if (directory / "manifest.json").is_file():
        return _of_manifest(directory, text)
    if (directory / RECORDS).is_file():
        _refuse_search(directory, run)
        return _of_record(_record(directory / RECORDS, cell, run), text)
    raise InputError(f"expected manifest.json or {RECORDS}, got neither in {directory}")


def _refuse_search(directory: Path, run: str) -> None:
    """Refuse a search on private data, whose trainings are in no ledger."""
    place = directory / "grid.json"
    try:
        grid = json.loads(place.read_text("utf-8")) if place.is_file() else None
        wish = wish_of(grid)
    except ValueError as error:
        raise InputError(f"expected the grid of a run, got {error} in {place}") from None
    if wish is not None and wish.data == PRIVATE:
        raise InputError(f"expected trainings with a ledger, got a search on private data: {run}")


def _of_manifest(directory: Path, text: str) -> Training:
    checkpoint = read(directory)
    manifest, config = checkpoint.manifest, checkpoint.config
    check_entries(manifest, directory)
    refuse_faulty(manifest, directory)
    _refuse_choice(manifest["defence"], text)
    one = config.training.strategy == ONE_MESSAGE
    return Training(
        text,
        _by_view(manifest.get("guarantees", [])),
        tuple(manifest["costs"]),
        config.message.labels if one else None,
        config.data.records_per_user,
        config.noise == "repeatable",
    )


def _record(path: Path, cell: str, run: str) -> CellResult:
    """Return the one record that is meant."""
    try:
        records = read_records(path)
    except ValueError as error:
        raise InputError(str(error)) from None
    done = [each for each in records if each.status == "done" and each.cell.startswith(cell)]
    if len(done) == 1:
        return done[0]
    if cell:
        raise InputError(f"expected the id of one cell that is done, got {run}:{cell}")
    raise InputError(
        f"expected a run of one cell, got {len(done)} that are done in {run}: name one, {run}:CELL"
    )


def _of_record(record: CellResult, text: str) -> Training:
    spec = record.spec
    data, training, message = (_part(spec, name) for name in ("data", "training", "message"))
    costs = [each["cost"] for each in record.mechanisms.values() if each.get("cost") is not None]
    one = training.get("strategy") == ONE_MESSAGE
    _refuse_choice(_part(spec, "defence"), text)
    check_entries({"guarantees": record.guarantees, "costs": costs, "defence": {}}, Path(text))
    return Training(
        text,
        _by_view(record.guarantees),
        tuple(costs),
        message.get("labels", "within") if one else None,
        data.get("records_per_user"),
        spec.get("noise", "repeatable") == "repeatable",
    )


def _refuse_choice(defence: Mapping[str, Any], text: str) -> None:
    """Refuse what was chosen among trainings: nothing is known of its cost beside another's."""
    if defence.get("chosen_among") is not None:
        raise InputError(f"expected a training that was not chosen among several, got {text}")


def _part(spec: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = spec.get(name, {})
    return found if isinstance(found, Mapping) else {}


def _by_view(entries: list[dict[str, Any]]) -> dict[str, tuple[dict[str, Any], ...]]:
    found: dict[str, tuple[dict[str, Any], ...]] = {}
    for each in entries:
        found[each["view"]] = (*found.get(each["view"], ()), each)
    return found
