"""Report of a run from its records: the page, the tables and the figures on disk."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fedbert.disk.writer import sweep, write_whole
from reports.as_shown import as_shown
from reports.beside import beside
from reports.csv_table import csv_table, json_table
from reports.drawn import INDEX, Drawn
from reports.frontier.answer import Answer, answer
from reports.frontier.wish import wish_of
from reports.frontier.words import answer_markdown, sentences
from reports.noise_mode import noise_note
from reports.page import Picture, Shown, decided, decisions, page
from reports.plots.run import Run
from reports.records import CellResult
from reports.run_folder import SCORES, json_of, slug
from reports.samples import SAMPLES, samples
from reports.tables import markdown


@dataclass(frozen=True)
class RenderedReport:
    """The files that were written (the page first), and what they are of.

    records: as they are shown. answer: what was decided, a sentence each; last, what claims in it
    mean, where noise can be made again.
    """

    paths: tuple[Path, ...]
    records: tuple[CellResult, ...] = ()
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
    sweep(directory, directory / "figures", directory / SCORES)
    grid, records = json_of(directory / "grid.json"), as_shown(directory, own)
    wish, drawn = wish_of(grid), _drawn(directory, figures, records)
    found = None if wish is None else answer(records, wish)
    made = decisions(records, found)
    run = Run(directory.name, directory, tuple(records))
    order = _order(run)
    pictures = beside(made, drawn, slug, order) if found is None else _frontier(found, drawn, order)
    pictures |= _plotted(run, drawn, order)
    pictures |= _audits(records, drawn)
    pictures = {name: each for name, each in pictures.items() if each.png}
    title = f"Privacy and utility: {directory.resolve().name}"
    private = samples(records, json_of(directory / SAMPLES), SAMPLES)
    shown = Shown(grid, private, found, going, made)
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
    told = tuple(sentences(found)) if found is not None else decided(records, made, grid)
    note = noise_note(records) if told else ""
    return RenderedReport(
        tuple(written),
        tuple(records),
        (*told, *([note] if note else [])),
    )


def _drawn(directory: Path, figures: bool, records: Sequence[CellResult]) -> Drawn:
    return Drawn(directory / "figures", lagging=not figures, note=noise_note(records))


def _order(run: Run) -> tuple[str, ...]:
    """The series of all figures, by which each has one look."""
    from reports.plots.catalogue import order_of

    return order_of([run])


def _frontier(found: Answer, drawn: Drawn, order: tuple[str, ...]) -> dict[str, Picture]:
    """File name to picture: utility against the worst attack, the frontier drawn."""
    from reports.figures.frontier import describe_frontier, frontier_data

    data = frontier_data(found)
    if data is None:
        return {}
    data, words = data.among(order), describe_frontier(data)
    png = drawn.png("frontier", data, "frontier:draw_decision", words, width="column")
    return {"frontier": Picture("Frontier", png, words, data.notice, data.task)}


PAGE = {
    "utility": ("utility-{part}-{task}", "{name}: utility against {part}"),
    "depth": ("recovery-depth-{task}", "{name}: recovery against cut depth"),
    "roc": ("roc-{task}", "{name}: members found against false alarms"),
    "partition": ("partition-{task}", "{name}: examples of each client"),
}
"""The figures of `plot` that stand on the page, with their files' names and their titles."""


def _plotted(run: Run, drawn: Drawn, order: tuple[str, ...]) -> dict[str, Picture]:
    """File name to picture: those of `plot` that stand on the page; ROC curves where scores are."""
    from reports.plots.catalogue import pieces

    pictures: dict[str, Picture] = {}
    for kind, (file, title) in PAGE.items():
        if kind == "roc" and not any(run.scores(task)[0] for task in run.tasks):
            continue
        for task, piece in pieces(kind, run):
            name = file.format(part=piece.part, task=slug(task))
            data = piece.ordered(order).data
            png = drawn.png(name, data, piece.by, piece.words, *piece.rest)
            told = title.format(part=piece.part, name=task)
            notice = getattr(piece.data, "notice", "")
            pictures[name] = Picture(told, png, piece.words, notice)
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
            name, words = f"live-{record.cell}", describe_live(data)
            png = drawn.png(name, data, "curves:draw_live", words)
            pictures[name] = Picture(title, png, words, data.notice)
    return pictures


def _write(path: Path, content: str | bytes) -> Path:
    """`path`, after its whole content has taken the place of what was there."""
    raw = content.encode("utf-8", "backslashreplace") if isinstance(content, str) else content
    return write_whole(path, raw)
