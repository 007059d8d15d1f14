"""Report of a run from its records: the page, the tables and the figures on disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from fedbert.disk.writer import sweep, write_whole
from reports.beside import beside
from reports.checks import FAMILIES
from reports.csv_table import csv_table, json_table
from reports.drawn import INDEX, Drawn
from reports.faults import fault
from reports.frontier.answer import Answer, answer
from reports.frontier.wish import PRIVATE, wish_of
from reports.frontier.words import answer_markdown, sentences, unclaimed
from reports.noise_mode import noise_note
from reports.page import Picture, Shown, decided, decisions, page
from reports.records import CellResult
from reports.rows import Row, setting_rows
from reports.run_folder import in_order, json_of, records_of, slug
from reports.samples import SAMPLES, samples
from reports.scores import FOLDER, read_scores, scores_path
from reports.tables import markdown, terminal_tables

if TYPE_CHECKING:
    from rich.table import Table

    from reports.figures.utility import LeakageFigure


@dataclass(frozen=True)
class RenderedReport:
    """The files that were written (the page first), and the tables for a terminal.

    answer: what was decided, and comes before them, a sentence each; last, what claims in it mean.
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
    grid = json_of(directory / "grid.json")
    records = in_order(records_of(directory) if own is None else own, grid)
    wish, drawn = wish_of(grid), Drawn(directory / "figures", lagging=not figures)
    if wish is not None and wish.data == PRIVATE:
        records = unclaimed(records)
    rows = setting_rows(records)
    found = None if wish is None else answer(records, wish)
    if found is not None:
        pictures = _frontier(found, drawn)
    else:
        pictures = beside(decisions(records), drawn, slug)
    pictures |= {**_leakage(rows, drawn), **_depths(records, rows, drawn)}
    pictures |= {**_rocs(directory, records, rows, drawn), **_partitions(directory, drawn)}
    pictures |= _audits(records, drawn)
    pictures = {name: each for name, each in pictures.items() if each.png}
    title = f"Privacy and utility: {directory.resolve().name}"
    private = samples(records, json_of(directory / SAMPLES), SAMPLES)
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
    note = noise_note(records) if told else ""
    return RenderedReport(
        tuple(written),
        terminal_tables(records, noted=bool(note)),
        (*told, *([note] if note else [])),
    )


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
                name = f"utility-{family}-{slug(task)}"
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
            name = f"roc-{slug(task)}"
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
            name = f"recovery-depth-{slug(task)}"
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
    tasks = json_of(path)
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
        name = f"partition-{slug(task)}"
        png = drawn.png(name, "reports.drawing.utility:draw_partition", data, title)
        pictures[name] = Picture(title, png, describe_partition(data))
    return pictures


def as_shown(directory: Path, own: Sequence[CellResult] | None = None) -> list[CellResult]:
    """The records of a run (or `own`) in its report's order, and with the claims that it shows.

    Raises: ValueError where there are none.
    """
    grid = json_of(directory / "grid.json")
    records = in_order(records_of(directory) if own is None else own, grid)
    wish = wish_of(grid)
    return unclaimed(records) if wish is not None and wish.data == PRIVATE else records


def _write(path: Path, content: str | bytes) -> Path:
    """`path`, after its whole content has taken the place of what was there."""
    raw = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    return write_whole(path, raw)
