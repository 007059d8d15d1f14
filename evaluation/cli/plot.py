"""`fedbert-eval plot`: figures and tables of runs, for a paper or a screen."""

from pathlib import Path

import click

from evaluation.cli.shared import FILE, RUNS, examples, or_refuse
from fedbert.errors import InputError, nearest
from reports.terminal import say

FIGURES = (
    "utility", "frontier", "epsilon", "claims", "roc", "depth", "views", "classes", "cost",
    "training", "partition", "ranking",
)  # fmt: skip
FORMATS, TABLES = ("svg", "pdf", "png"), ("latex", "markdown", "csv")


def among(values: tuple[str, ...], known: tuple[str, ...], option: str) -> tuple[str, ...]:
    """Return names, also those that stand together with commas, each once.

    >>> among(("svg,pdf", "svg"), FORMATS, "--format")
    ('svg', 'pdf')
    >>> among(("rock",), FIGURES, "--figure")
    Traceback (most recent call last):
    fedbert.errors.InputError: --figure: expected one of utility, frontier, epsilon, claims, roc, \
depth, views, classes, cost, training, partition, ranking, got 'rock': did you mean 'roc'?
    """
    names = tuple(dict.fromkeys(name.strip() for each in values for name in each.split(",")))
    for name in names:
        if name not in known:
            hint = nearest(name, known)
            told = f"{option}: expected one of {', '.join(known)}, got {name!r}"
            raise InputError(f"{told}{hint}")
    return names


@click.command(
    epilog=examples("plot runs/mine --format svg,pdf", "plot runs/a runs/b --figure utility")
)
@click.argument("runs", nargs=-1, required=True, type=FILE)
@click.option(
    "--figure", "figures", multiple=True, metavar="NAME",
    help=f"Which figures, of {', '.join(FIGURES)} [default: all that the runs have data for].",
)  # fmt: skip
@click.option(
    "--format", "formats", default="svg", show_default=True, metavar="FORMATS",
    help="Of svg, pdf and png, with commas.",
)  # fmt: skip
@click.option(
    "--style", type=click.Choice(("paper", "screen", "grey")), default="paper", show_default=True,
    help="Colours that everybody tells apart; larger; or without colours.",
)  # fmt: skip
@click.option(
    "--width", type=click.Choice(("column", "page")), default="column", show_default=True,
    help="84 mm, or 174 mm.",
)  # fmt: skip
@click.option(
    "--table", type=click.Choice(TABLES), help="A table of all settings besides, in this form."
)
@click.option(
    "--out", type=FILE, default=RUNS / "plots", show_default=True, help="Where the figures go."
)
def plot(
    runs: tuple[Path, ...],
    figures: tuple[str, ...],
    formats: str,
    style: str,
    width: str,
    table: str | None,
    out: Path,
) -> None:
    """Draw RUNS beside each other, for a paper.

    Each run has its own figures, and what several leak at which utility stands in one besides;
    nothing is averaged over runs. Text is 8 points high, and stays text in SVG and PDF. What each
    figure shows is told in words, in figures.md and within each file. A figure for which a run has
    no data is left out, and a line says why.
    """
    chosen = among(figures, FIGURES, "--figure")
    forms = among((formats,), FORMATS, "--format")
    from reports.plots.written import Asked
    from reports.plots.written import plot as draw

    asked = Asked(chosen, forms, style, width, table)
    found = or_refuse(lambda: draw(list(runs), out, asked))
    for line in found.left_out:
        say(line, err=True)
    for path in found.paths:
        say(str(path))
