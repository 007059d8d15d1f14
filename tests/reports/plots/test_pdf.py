"""PDF figures are vectors in TrueType letters of 8 points, as wide as a column, and say it all."""

import re
import zlib
from pathlib import Path

import pytest

from reports.drawing.style import WIDTHS, style_of, written
from reports.noise_mode import REPEATABLE
from reports.plots.catalogue import FIGURES, pieces
from reports.plots.run import read_runs
from reports.plots.written import Asked, plot

RUN = Path("docs/results/watched-generated")
ROUGH = {"cost", "training", "utility", "views", "epsilon"}


def _content(pdf: bytes) -> bytes:
    """What a page draws: every stream that could be inflated."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.S)
    found = []
    for each in streams:
        try:
            found.append(zlib.decompress(each))
        except zlib.error:
            continue
    return b"\n".join(found)


@pytest.mark.parametrize("kind", sorted(ROUGH & {*FIGURES}))
def test_a_pdf_is_vector_with_its_fonts_inside(kind: str) -> None:
    runs = read_runs([RUN, RUN / "training"])
    found = [piece for run in runs for _, piece in pieces(kind, run)]
    assert found
    style = style_of("paper", "column")
    pdf = written(found[0].draw(style), style, "pdf", found[0].words)
    assert b"/Subtype /Image" not in pdf and b"/Type3" not in pdf
    assert b"/CIDFontType2" in pdf and b"/FontFile2" in pdf  # what is called type 42
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", pdf)
    assert box is not None and float(box[1]) == pytest.approx(72 * WIDTHS["column"], abs=0.5)
    sizes = {float(each) for each in re.findall(rb"/F\S+ ([\d.]+) Tf", _content(pdf))}
    assert 8.0 in sizes and min(sizes) >= 5.5, sizes  # exponents and indices are smaller


def test_files_of_repeatable_noise_say_so_and_those_of_none_do_not(tmp_path: Path) -> None:
    asked = Asked(("views",), ("svg", "pdf", "png"))
    plot([Path("docs/results/one-message-sst2")], tmp_path / "claims", asked)
    every = list((tmp_path / "claims").glob("views-*.*"))
    assert {path.suffix for path in every} == {".svg", ".pdf", ".png"}
    for path in every:
        told, words = path.read_bytes(), REPEATABLE[:60]
        assert words.encode() in told or words.encode("utf-16-be") in told, path.name
    plot([Path("docs/results/membership-sst2")], tmp_path / "bare", asked)
    (svg,) = (tmp_path / "bare").glob("views-*.svg")
    assert "repeatable" not in svg.read_text()
