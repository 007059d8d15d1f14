"""LaTeX tables fit a page's width, measured in LaTeX's own letters, and lose nothing."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib import get_data_path
from matplotlib.ft2font import FT2Font, LoadFlags

from reports.plots.latex import GAP, LATEX, PAGE, latex_tables
from reports.plots.run import read_runs
from reports.plots.table import table
from reports.rows import setting_rows

RESULTS = Path("docs/results")
RUNS = [path.parent for path in sorted(RESULTS.glob("*/records.jsonl"))]
ROMAN = FT2Font(f"{get_data_path()}/fonts/ttf/cmr10.ttf")
FOLDED = re.compile(r"p\{([\d.]+)mm\}")


def _mm(text: str) -> float:
    """The width of a text in 8 points of Computer Modern."""
    for plain, told in LATEX.items():
        text = text.replace(told, "n" if told.startswith("$") else plain)
    ROMAN.set_size(8, 72)
    ROMAN.set_text(text.encode("ascii", "replace").decode(), flags=LoadFlags.NO_HINTING)
    return ROMAN.get_width_height()[0] / 64 / 72 * 25.4


def _tables(text: str) -> Iterator[tuple[list[str], list[list[str]]]]:
    """Kinds of columns and cells of every table; heads of several lines as their longest."""
    flat = re.sub(
        r"\\begin\{tabular\}\[b\]\{@\{\}l@\{\}\}(.*?) \\\\ (.*?)\\end\{tabular\}",
        lambda found: max(found[1], found[2], key=len),
        text,
    )
    for kinds, body in re.findall(
        r"\\begin\{tabular\}\{(.*?)\}\n(.*?)\\end\{tabular\}", flat, re.S
    ):
        lines = [line[:-3].split(" & ") for line in body.splitlines() if line.endswith(r" \\")]
        yield re.findall(r"l|p\{[\d.]+mm\}", re.sub(r">\{.*?\}", "", f"{kinds}}}")), lines


def _width(kinds: list[str], lines: list[list[str]]) -> float:
    columns = zip(kinds, *lines, strict=True)
    widths = [
        float(found[1]) if (found := FOLDED.match(kind)) else max(map(_mm, cells))
        for kind, *cells in columns
    ]
    return sum(widths) + GAP * len(widths)


@pytest.mark.parametrize("chosen", [*([run] for run in RUNS), RUNS], ids=len)
def test_tables_of_all_results_fit_a_page(chosen: list[Path]) -> None:
    runs = read_runs(chosen)
    rows = {run.name: setting_rows(run.records) for run in runs}
    text = table(rows, "latex")
    found = list(_tables(text))
    assert found and all(_width(*each) <= PAGE for each in found)
    for kinds, lines in found:
        for kind, *cells in zip(kinds, *lines, strict=True):
            if room := FOLDED.match(kind):  # and no word is wider than its column
                assert max(_mm(word) for cell in cells for word in cell.split()) <= float(room[1])
    assert sum(len(lines) - 1 for _, lines in found) >= sum(map(len, rows.values()))


def test_what_is_the_same_is_said_once_and_metrics_stand_in_heads() -> None:
    heads = ["task", "setting", "utility", "claim", "comparison"]
    lines = [
        ["sst2", "none", "0.8 [0.7, 0.9] (accuracy)", "none", "void"],
        ["sst2", "noise", "0.7 [0.6, 0.8] (accuracy)", "token ε 8.0 (forward)", "void"],
    ]
    text = latex_tables(heads, lines, "Mind the noise.")
    assert "In every line: task: sst2; comparison: void." in text and "Mind the noise." in text
    assert r"{@{}l@{}}utility \\ accuracy\end{tabular}" in text
    assert r"none & 0.8 [0.7, 0.9] & none \\" in text
    assert r"noise & 0.7 [0.6, 0.8] & token $\varepsilon$ 8.0 (forward) \\" in text
    other = latex_tables(heads, [lines[0], ["cola", "none", "0.1 [0, 1] (F1)", "none", "holds"]])
    assert "(accuracy)" in other and "cola & none & 0.1 [0, 1] (F1) & holds" in other
    assert "In every line: claim: none." in other
    (alone,) = _tables(latex_tables(heads, lines[:1]))
    assert len(alone[0]) == len(heads)


def test_a_long_table_goes_on_with_the_same_heads() -> None:
    text = latex_tables(["setting", "n"], [[f"s{n}", str(n)] for n in range(85)])
    found = list(_tables(text))
    assert [len(lines) for _, lines in found] == [41, 41, 6]
    assert {tuple(lines[0]) for _, lines in found} == {("setting", "n")}
