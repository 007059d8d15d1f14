"""Figures and tables of runs, written to a folder with their words beside them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from fedbert.disk.writer import sweep, write_whole
from reports.checks import FAMILIES
from reports.markup import escaped
from reports.noise_mode import noise_note
from reports.plots.catalogue import FIGURES, Piece, order_of, pieces
from reports.plots.run import Run, read_runs
from reports.plots.table import TABLES, table
from reports.rows import setting_rows
from reports.run_folder import slug

if TYPE_CHECKING:
    from reports.drawing.style import Style

WORDS = "figures.md"
"""The file beside the figures that tells each in words."""


@dataclass(frozen=True)
class Asked:
    """What is to be drawn, and how. figures: none for all; table: none for no table."""

    figures: tuple[str, ...] = ()
    formats: tuple[str, ...] = ("svg",)
    style: str = "paper"
    width: str = "column"
    table: str | None = None


@dataclass
class Plotted:
    """What was written, and a line for each figure that was left out, with why."""

    paths: list[Path] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)


def plot(run_directories: Sequence[Path], out: Path, asked: Asked = Asked()) -> Plotted:
    """The figures and the table of runs, written to the folder `out`.

    Of several runs each has its own figures; besides, utility against leakage of all of them
    stands in one, a series for each run and defence. Nothing is averaged over runs. The same
    records, the same bytes.

    Raises: ValueError without a run directory, or for what is no run.
    """
    from reports.drawing.style import style_of

    runs = read_runs(run_directories)
    sweep(Path(out))
    style, found = style_of(asked.style, asked.width), Plotted()
    told: list[tuple[str, str]] = []
    kinds = asked.figures or tuple(FIGURES)
    every = noise_note(record for run in runs for record in run.records)
    order = order_of(runs)
    for name, piece in _together(runs, order) if "utility" in kinds else []:
        _write(name, piece, style, asked, Path(out), found, every)
        told.append((name, piece.words))
    for run, prefix in zip(runs, _prefixes(runs), strict=True):
        for kind in kinds:
            own = pieces(kind, run)
            if not own:
                found.left_out.append(_why(kind, run, len(runs) > 1))
            note = noise_note(run.records)
            for task, piece in own:
                name = "-".join(slug(part) for part in (prefix, kind, piece.part, task) if part)
                _write(name, piece.ordered(order), style, asked, Path(out), found, note)
                told.append((name, piece.words))
    if asked.table is not None:
        ending = TABLES[asked.table]
        content = table({run.name: setting_rows(run.records) for run in runs}, asked.table)
        path = Path(out) / f"table.{ending}"
        found.paths.append(
            write_whole(path, content.encode("utf-8", "backslashreplace"), shared=True)
        )
    if told:
        lines = [f"## {escaped(name)}\n\n{escaped(words)}\n" for name, words in told]
        lines += [f"{escaped(every)}\n"] if every else []
        text = "# Figures in words\n\n" + "\n".join(lines)
        found.paths.append(write_whole(Path(out) / WORDS, text.encode(), shared=True))
    return found


def _prefixes(runs: Sequence[Run]) -> list[str]:
    """What the names of each run's files begin with: its own, numbered where two would be one."""
    if len(runs) == 1:
        return [""]
    names = [slug(run.name) for run in runs]
    return [
        name if names.count(name) == 1 else f"{number}-{name[:50]}"
        for number, name in enumerate(names, start=1)
    ]


def _together(runs: Sequence[Run], order: Sequence[str]) -> list[tuple[str, Piece]]:
    """Utility against leakage of several runs in one figure, for every task; none of one run.

    A defence has the colour that it has in its own run's figures, and another marker in each run.
    """
    from reports.figures.utility import comparison_data, describe

    rows = {run.name: setting_rows(run.records) for run in runs if run.records}
    if len(rows) < 2:
        return []
    found = []
    for task in dict.fromkeys(row.task for own in rows.values() for row in own):
        for family in FAMILIES:
            data = comparison_data(rows, task, family)
            if data is not None:
                piece = Piece("", describe(data), data, "scatter:draw_trade")
                piece = piece.ordered(_of_runs(data.series, tuple(rows), order))
                found.append((f"compare-{slug(task)}-{family}", piece))
    return found


def _of_runs(series: Sequence[str], runs: Sequence[str], order: Sequence[str]) -> list[str]:
    """The series of runs in an order in which one defence's have one colour, and other markers.

    >>> _of_runs(["x: b", "y: b (fedavg)"], ["x", "y"], ["a", "b"])[1::8]
    ['x: b', 'y: b (fedavg)']
    """
    from reports.drawing.letters import PALETTE

    room = len(order) + -len(order) % len(PALETTE)
    found = [""] * (room * len(runs))
    for number, run in enumerate(runs):
        for name in series:
            own = name.removeprefix(f"{run}: ")
            alike = (i for i, each in enumerate(order) if own == each or f"{own} (".startswith(
                f"{each} (") or each.startswith(f"{own} ("))  # fmt: skip
            if own != name and (place := next(alike, None)) is not None:
                found[number * room + place] = name
    return found


def _write(
    name: str, piece: Piece, style: "Style", asked: Asked, out: Path, found: Plotted, note: str
) -> None:
    """None; one figure is written in every format that was asked for.

    note: of noise that can be made again; it goes into each file, beside the figure in words.
    """
    from reports.drawing.style import written

    figure = piece.draw(style)
    for form in dict.fromkeys(asked.formats):
        path = out / f"{name}.{form}"
        content = written(figure, style, form, f"{piece.words} {note}".strip())
        found.paths.append(write_whole(path, content, shared=True))


def _why(kind: str, run: Run, several: bool) -> str:
    """Why a figure is left out, in a line."""
    of = f" of {run.name}" if several else ""
    return f"{kind}{of}: left out, as it needs {FIGURES[kind].needs}"
