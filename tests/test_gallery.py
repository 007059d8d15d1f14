"""The gallery is current: its text, its files, what they say in words, and its commands."""

import re
from html import unescape
from pathlib import Path

import pytest
from click.testing import CliRunner

from evaluation.cli.plot import FIGURES, among, plot
from reports.noise_mode import noise_note
from reports.plots.catalogue import order_of, pieces
from reports.plots.run import read_runs
from reports.plots.written import _together
from tests import gallery


def test_the_text_is_current_and_shows_every_kind_of_figure() -> None:
    text = gallery.DOCUMENT.read_text(encoding="utf-8")
    assert text == gallery.document(), "run `python -m tests.gallery`"
    assert {kind for made in gallery.GALLERY for kind, _ in made.shown} == set(FIGURES)


def test_every_file_is_there_and_all_of_them_are_small() -> None:
    named = {gallery.path_of(made, name) for made in gallery.GALLERY for _, name in made.shown}
    found = {path for path in gallery.FOLDER.rglob("*") if path.is_file()}
    assert found == named
    assert sum(path.stat().st_size for path in found) < 1.5e6
    for made in re.findall(r"!\[.*?\]\((.*?)\)", gallery.DOCUMENT.read_text(encoding="utf-8")):
        assert Path("docs", made) in found


@pytest.mark.parametrize("made", gallery.GALLERY, ids=lambda made: made.out)
def test_each_command_is_valid_and_its_figures_say_what_the_records_say(
    made: gallery.Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(
        "reports.plots.written.plot",
        lambda runs, out, asked: seen.append((runs, asked.figures)) or pytest.skip.Exception,
    )
    CliRunner().invoke(plot, made.command[1:])
    ((paths, kinds),) = seen
    assert all(path.is_dir() for path in paths) and among(kinds, FIGURES, "") == kinds
    runs = read_runs(paths)
    words = [piece.words for kind in kinds for run in runs for _, piece in pieces(kind, run)]
    words += [piece.words for _, piece in _together(runs, order_of(runs))]
    for _, name in made.shown:
        svg = gallery.path_of(made, name).read_text(encoding="utf-8")
        told = unescape(re.search(r'aria-label="(.*?)"', svg)[1])
        bare = told.removesuffix(noise_note(r for run in runs for r in run.records)).strip()
        assert bare in words, f"{name}: run `python -m tests.gallery`"
