"""`plot` and `compare` by the real command: what they write, say and refuse."""

from pathlib import Path

import pytest

from evaluation.cli import plot
from reports.drawing import style
from reports.plots import catalogue, table

RESULTS = Path("docs/results").resolve()


def test_the_command_knows_every_figure_format_and_table() -> None:
    assert tuple(catalogue.FIGURES) == plot.FIGURES
    assert style.FORMATS == plot.FORMATS and tuple(table.TABLES) == plot.TABLES


def test_figures_and_a_table_are_written_and_what_is_left_out_is_said(here, tmp_path: Path) -> None:
    run = RESULTS / "watched-generated"
    asked = ("--figure", "claims,depth", "--format", "pdf,svg", "--table", "latex")
    done = here("plot", run, *asked, "--out", "out", "--style", "grey", "--width", "page")
    assert done.returncode == 0, done.stderr
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {"claims-sst2.pdf", "claims-sst2.svg", "table.tex", "figures.md"}
    assert done.stderr.startswith("depth: left out, as it needs attacks on the forward view")
    words = (tmp_path / "out/figures.md").read_text()
    assert "claimed 64, at least 0.465 by 120 canaries" in words
    for name in ("figures.md", "table.tex"):
        assert (tmp_path / "out" / name).read_text().count("take it off") == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--figure", "frontiers"), "got 'frontiers': did you mean 'frontier'?"),
        (("--format", "svg,jpeg"), "--format: expected one of svg, pdf, png, got 'jpeg'"),
        (("--style", "dark"), "'dark' is not one of"),
        (("--width", "84"), "'84' is not one of"),
    ],
)
def test_a_wrong_name_is_refused_and_leaves_nothing_behind(
    here, tmp_path: Path, arguments: tuple[str, ...], told: str
) -> None:
    done = here("plot", RESULTS / "cut-depth", *arguments, "--out", "out")
    assert done.returncode == 2 and told in done.stderr and done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_what_changed_is_told_in_plain_sentences(here, tmp_path: Path) -> None:
    done = here("compare", RESULTS / "glue-minilm-sequential", "--out", "out")
    assert done.returncode == 0, done.stderr
    assert "Token accuracy of nearest token (forward) " in done.stdout
    assert "one training each: what another seed would change is in no interval" in (
        done.stdout.lower()
    )
    assert (tmp_path / "out/comparison.csv").read_text().startswith("task,first,second,attack")
    done = here("compare", RESULTS / "cut-depth", RESULTS / "one-message-sst2", "--out", "no")
    assert done.returncode == 2 and "expected settings that both runs have" in done.stderr
    assert not (tmp_path / "no").exists()
