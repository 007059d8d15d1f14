"""Report of a run from its records: the page, the tables and the figures on disk."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fedbert.disk.writer import sweep, write_whole
from reports.beside import beside
from reports.checks import FAMILIES
from reports.csv_table import csv_table, json_table
from reports.drawn import INDEX, Drawn
from reports.faults import fault
from reports.frontier.answer import Answer, answer
from reports.frontier.wish import PRIVATE, wish_of
from reports.frontier.words import answer_markdown, sentences, unclaimed
from reports.page import Picture, Shown, decided, decisions, page
from reports.records import RECORDS, CellResult, read_records
from reports.rows import Row, setting_rows
from reports.samples import SAMPLES, samples
from reports.scores import FOLDER, read_scores, scores_path
from reports.tables import markdown, terminal_tables

if TYPE_CHECKING:
    from rich.table import Table

    from reports.figures.utility import LeakageFigure


@dataclass(frozen=True)
class RenderedReport:
    """The files that were written (the page first), and the tables for a terminal.

    answer: what was decided, and comes before them, a sentence each.
    """

    paths: tuple[Path, ...]
    tables: "tuple[Table, ...]"
    answer: tuple[str, ...] = ()


def render(
    run_directory: Path,
    own: Sequence[CellResult] | None = None,
    going: bool = False,
    figures: bool = True,
) -> RenderedReport:
    """The report of a run, written into its directory: the same records, the same bytes.

    going: the run goes on, and the page looks for news until it is written without. figures:
    whether they are drawn; where not, the page has those on disk as they are, which may lag behind.

    Reads `records.jsonl` (unless `own`, the records as they are to be shown, are given) and, where
    they are there, `grid.json` (shown as it is), `partition.json` ({task: {client: {label:
    count}}}, drawn), `scores/` (ROC curves) and `samples.json` (private sentences, shown on the
    page alone: without the file the page holds no text of the run).

    Raises: ValueError where there are no records or a file is not what it should be.
    """
    directory = Path(run_directory)
    sweep(directory, directory / "figures", directory / FOLDER)
    grid = _json(directory / "grid.json")
    records = in_order(_records(directory) if own is None else own, grid)
    wish, drawn = wish_of(grid), Drawn(directory / "figures", lagging=not figures)
    if wish is not None and wish.data == PRIVATE:
        records = unclaimed(records)
    rows = setting_rows(records)
    found = None if wish is None else answer(records, wish)
    if found is not None:
        pictures = _frontier(found, drawn)
    else:
        pictures = beside(decisions(records), drawn, _slug)
    pictures |= {**_leakage(rows, drawn), **_depths(records, rows, drawn)}
    pictures |= {**_rocs(directory, records, rows, drawn), **_partitions(directory, drawn)}
    pictures |= _audits(records, drawn)
    pictures = {name: each for name, each in pictures.items() if each.png}
    title = f"Privacy and utility: {directory.resolve().name}"
    private = samples(records, _json(directory / SAMPLES), SAMPLES)
    shown = Shown(grid, private, found, going)
    html = page(records, title, tuple(pictures.values()), shown)
    first = "" if found is None else answer_markdown(found)
    written = [_write(directory / "report.html", html)]
    written.append(_write(directory / "table.md", f"# {title}\n\n{first}{markdown(records)}"))
    written.append(_write(directory / "table.csv", csv_table(records)))
    written.append(_write(directory / "table.json", json_table(records)))
    for name, picture in pictures.items():
        if figures:
            written.append(_write(directory / "figures" / f"{name}.png", picture.png))
    if pictures and figures:
        _write(directory / "figures" / INDEX, drawn.index())
    told = tuple(sentences(found)) if found is not None else decided(records, grid)
    return RenderedReport(tuple(written), terminal_tables(records), told)


def plot(run_directories: Sequence[Path], out: Path) -> list[Path]:
    """The figures written to the folder `out`: several runs side by side, one colour per run.

    One run is coloured by strategy.

    Raises: ValueError without a run directory, or for one without records.
    """
    from reports.drawing.utility import draw_leakage
    from reports.figures.utility import comparison_data

    if not run_directories:
        raise ValueError("expected at least one run directory, got run_directories=[]")
    runs = {
        name: setting_rows(_records(directory))
        for name, directory in _names([Path(each) for each in run_directories]).items()
    }
    tasks = dict.fromkeys(row.task for rows in runs.values() for row in rows)
    written = []
    sweep(Path(out))
    for task in tasks:
        for family in FAMILIES:
            data = comparison_data(runs, task, family)
            if data is not None:
                path = Path(out) / f"compare-{_slug(task)}-{family}.png"
                written.append(write_whole(path, draw_leakage(data), shared=True))
    return written


def _frontier(found: Answer, drawn: Drawn) -> dict[str, Picture]:
    """File name to picture: utility against the worst attack, the frontier drawn."""
    from reports.figures.frontier import describe_frontier, frontier_data

    data = frontier_data(found)
    if data is None:
        return {}
    png = drawn.png("frontier", "reports.drawing.frontier:draw_frontier", data)
    return {"frontier": Picture("Frontier", png, describe_frontier(data), data.notice, data.task)}


def _leakage(rows: Sequence[Row], drawn: Drawn) -> dict[str, Picture]:
    """File name to picture: utility against either leakage, for every task."""
    from reports.figures.utility import describe, leakage_data

    pictures: dict[str, Picture] = {}
    for task in dict.fromkeys(row.task for row in rows):
        for family in FAMILIES:
            data: LeakageFigure | None = leakage_data(rows, task, family)
            if data is not None:
                title = f"{task}: utility against {family}"
                name = f"utility-{family}-{_slug(task)}"
                png = drawn.png(name, "reports.drawing.utility:draw_leakage", data)
                pictures[name] = Picture(title, png, describe(data), data.notice)
    return pictures


def _rocs(
    directory: Path, records: Sequence[CellResult], rows: Sequence[Row], drawn: Drawn
) -> dict[str, Picture]:
    """File name to picture: ROC curves of every task's settings, those of the first seed each."""
    paths = {record.cell: scores_path(directory, record.cell) for record in records}
    found = [record for record in records if paths[record.cell].is_file()]
    if not found:
        return {}
    from reports.figures.roc import describe_roc, roc_data

    first = min(int(record.labels["seed"]) for record in found)
    pictures: dict[str, Picture] = {}
    for task in dict.fromkeys(record.labels["task"] for record in found):
        shown = [r for r in found if (r.labels["task"], int(r.labels["seed"])) == (task, first)]
        if shown:
            scores = {record.cell: read_scores(paths[record.cell]) for record in shown}
            notice = fault([row for row in rows if row.task == task])
            data = replace(roc_data(shown, scores), notice=notice)
            title = f"{task}: members found against false alarms"
            name = f"roc-{_slug(task)}"
            png = drawn.png(name, "reports.drawing.roc:draw_roc", data)
            pictures[name] = Picture(title, png, describe_roc(data), notice)
    return pictures


def _depths(records: Sequence[CellResult], rows: Sequence[Row], drawn: Drawn) -> dict[str, Picture]:
    """File name to picture: recovery against cut depth, for every task with several cuts."""
    from reports.figures.depth import depth_data, describe_depth

    pictures: dict[str, Picture] = {}
    for task in dict.fromkeys(record.labels["task"] for record in records):
        data = depth_data(records, task)
        if data is not None:
            data = replace(data, notice=fault([row for row in rows if row.task == task]))
            title = f"{task}: recovery against cut depth"
            name = f"recovery-depth-{_slug(task)}"
            png = drawn.png(name, "reports.drawing.depth:draw_depth", data)
            pictures[name] = Picture(title, png, describe_depth(data), data.notice)
    return pictures


def _audits(records: Sequence[CellResult], drawn: Drawn) -> dict[str, Picture]:
    """File name to picture: what was spent and shown by round, for every cell that was audited."""
    from reports.figures.live import describe_live, live_data

    pictures: dict[str, Picture] = {}
    for record in records:
        if record.audit:
            data = live_data(record.audit)
            own = [record.labels[key] for key in ("task", "strategy", "defence", "level", "seed")]
            title = f"Live audit: {', '.join(each for each in own if each != '-')}"
            name = f"live-{record.cell}"
            png = drawn.png(name, "reports.drawing.live:draw_live", data)
            pictures[name] = Picture(title, png, describe_live(data), data.notice)
    return pictures


def _partitions(directory: Path, drawn: Drawn) -> dict[str, Picture]:
    """File name to picture: what each client holds, for every task of `partition.json`."""
    from reports.figures.utility import describe_partition, partition_data

    path = directory / "partition.json"
    tasks = _json(path)
    if tasks is None:
        return {}
    pictures: dict[str, Picture] = {}
    if not isinstance(tasks, Mapping):
        raise ValueError(f"expected an object by task, got {path} holding {type(tasks).__name__}")
    for task, counts in tasks.items():
        clients = counts.values() if isinstance(counts, Mapping) else [None]
        if not all(isinstance(held, Mapping) for held in clients):
            raise ValueError(f"expected counts by client and label, got {path} task={task!r}")
        data = partition_data(counts)
        title = f"{task}: examples per client"
        name = f"partition-{_slug(task)}"
        png = drawn.png(name, "reports.drawing.utility:draw_partition", data, title)
        pictures[name] = Picture(title, png, describe_partition(data))
    return pictures


def _records(directory: Path) -> list[CellResult]:
    """The records of a run; ValueError where there are none."""
    path = directory / RECORDS
    if not path.is_file():
        raise ValueError(f"expected a run directory with {RECORDS}, got {_other(directory)}")
    records = read_records(path)
    if not records:
        raise ValueError(f"expected at least one record, got an empty {path}")
    return records


def _other(directory: Path) -> str:
    """What a directory without records is, and what is there for it."""
    for checkpoint in (directory, directory / "checkpoint"):
        if (checkpoint / "manifest.json").is_file():
            what = "a checkpoint" if checkpoint == directory else "the folder of a training"
            return f"{what}, {directory}: `fedbert-eval audit run {checkpoint}` reports on it"
    return str(directory) if directory.is_dir() else f"no directory {directory}"


def in_order(records: Sequence[CellResult], grid: Any) -> list[CellResult]:
    """The records in the order of the grid's cells, where there is one; others come last."""
    cells = grid.get("cells") if isinstance(grid, dict) else None
    if not isinstance(cells, list):
        return list(records)
    order_of = {json.dumps(cell, sort_keys=True): number for number, cell in enumerate(cells)}
    specs = (json.dumps(record.spec, sort_keys=True) for record in records)
    order = [order_of.get(spec, len(order_of)) for spec in specs]
    return [records[i] for i in sorted(range(len(records)), key=order.__getitem__)]


def _json(path: Path) -> Any:
    """What a JSON file holds; None where there is no such file."""
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_text("utf-8"))
    except RecursionError:
        raise ValueError(f"expected JSON, got {path}: nested too deep") from None
    except ValueError as error:
        raise ValueError(f"expected JSON, got {path}: {error}") from error


def _names(directories: Sequence[Path]) -> dict[str, Path]:
    """A short name for each directory: its last part, or the whole path where that is not one."""
    last = [directory.resolve().name for directory in directories]
    return {
        name if last.count(name) == 1 else str(directory): directory
        for name, directory in zip(last, directories, strict=True)
    }


def _slug(text: str) -> str:
    """`text` as part of a file name.

    >>> _slug("stsb/../x y")
    'stsb-x-y'
    """
    return re.sub(r"[^A-Za-z0-9_]+", "-", text).strip("-")[:60] or "task"


def _write(path: Path, content: str | bytes) -> Path:
    """`path`, after its whole content has taken the place of what was there."""
    raw = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    return write_whole(path, raw)
