"""Figures as files: vector, text as text, the same bytes, in words, none without data."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from reports.drawing.style import FORMATS, STYLES, begin, drawn_in, style_of, tidy, written
from reports.figures.volume import describe_front, front_data
from reports.noise_mode import REPEATABLE, SOME
from reports.plots.catalogue import FIGURES, pieces
from reports.plots.latex import latex_tables
from reports.plots.run import read_runs
from reports.plots.table import table
from reports.plots.written import WORDS, Asked, plot
from reports.records import append_record
from reports.rows import setting_rows


def _run(place: Path, records) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    for record in records:
        append_record(place / "records.jsonl", record)
    return place


def test_svg_and_pdf_are_vector_with_text_as_text_and_repeat_themselves(
    examples, tmp_path: Path
) -> None:
    run = _run(tmp_path / "run", [examples.done(defence=d) for d in (0, 3, 4)])
    asked = Asked(("frontier",), ("svg", "pdf"))
    first = plot([run], tmp_path / "a", asked).paths
    again = plot([run], tmp_path / "b", asked).paths
    assert [path.name for path in first] == ["frontier-sst2.svg", "frontier-sst2.pdf", WORDS]
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in again]
    svg, pdf = first[0].read_text(), first[1].read_bytes()
    assert "<image" not in svg and svg.count("<text") > 10 and ">gaussian token<" in svg
    data = front_data([examples.done(defence=d) for d in (0, 3, 4)], "sst2")
    assert data is not None and describe_front(data)[:60] in svg
    assert 'role="img" aria-label="Frontiers for sst2' in svg
    assert b"/Subtype /Image" not in pdf and b"/FontFile2" in pdf and b"CreationDate" not in pdf
    assert float(re.search(r'width="([\d.]+)pt"', svg)[1]) == pytest.approx(84 / 25.4 * 72)
    sizes = set(re.findall(r"font:? ?[^;\"]*?([\d.]+)px", svg))
    assert sizes == {"8"}  # of 72 to an inch: points


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("width", ["column", "page"])
def test_every_style_and_width_draws(examples, style: str, width: str) -> None:
    own = style_of(style, width)
    with drawn_in(own):
        figure = begin(own, 1.0, "A title", "a notice", 1)
        tidy(figure.subplots())
    for form in FORMATS:
        assert len(written(figure, own, form, "words")) > 500
    looks = [own.look(number) for number in range(32)]
    for pair in (("marker", "linestyle"), ("color", "marker")):
        assert len({tuple(each[name] for name in pair) for each in looks}) == 32


def test_each_figure_is_left_out_with_a_reason_where_there_is_nothing(
    examples, tmp_path: Path
) -> None:
    run = _run(tmp_path / "run", [examples.failed()])
    found = plot([run], tmp_path / "out")
    assert found.paths == []
    assert [line.split(":")[0] for line in found.left_out] == list(FIGURES)
    assert all("left out, as it needs " in line for line in found.left_out)


def test_what_is_void_is_flagged_in_figure_and_words(examples, tmp_path: Path) -> None:
    record = examples.done(defence=3)
    (run,) = read_runs([_run(tmp_path / "run", [record])])
    for kind in ("frontier", "epsilon", "views", "cost", "roc"):
        ((_, piece),) = pieces(kind, run)
        assert piece.words.startswith("No undefended row: whether training failed or"), kind
    own = style_of()
    ((_, piece),) = pieces("views", run)
    assert b"No undefended row" in written(piece.draw(own), own, "svg", "")


def test_a_search_on_private_data_has_no_claim_in_any_figure(examples, tmp_path: Path) -> None:
    run = _run(tmp_path / "run", [examples.done(defence=d) for d in (0, 3)])
    (run / "grid.json").write_text(
        '{"frontier": {"data": "private", "adversary": "all", "least_share": 0.5}}'
    )
    (read,) = read_runs([run])
    assert pieces("epsilon", read) == [] and pieces("frontier", read) == []


def test_a_folder_of_a_training_has_its_curve_and_nothing_else(tmp_path: Path) -> None:
    folder = Path("docs/results/watched-generated/training")
    (run,) = read_runs([folder])
    assert [kind for kind in FIGURES if pieces(kind, run)] == ["training"]
    ((task, piece),) = pieces("training", run)
    assert task == "sst2" and "loss 1.18 after round 10" in piece.words
    broken = tmp_path / "checkpoint"
    broken.mkdir()
    (broken / "manifest.json").write_text('{"losses": ["x"]}')
    with pytest.raises(ValueError, match=r"expected the manifest of a training, got .*losses"):
        read_runs([tmp_path])


def test_tables_hold_every_setting_in_each_form(examples) -> None:
    rows = setting_rows([examples.done(defence=d, seed=s) for d in (0, 3) for s in (0, 1)])
    hostile = [replace(rows[0], defence=r"50 %_\{$x$} & <b>|"), rows[1]]
    text = table({"a": hostile}, "latex")
    assert r"50 \%\_\textbackslash{}\{\$x\$\} \& \textless{}b\textgreater{}\textbar{}" in text
    assert text.count(r"\toprule") == 2 and "ε" not in text
    assert "token $\\varepsilon$ 8.0, $\\delta$ 1e-05, replace-one, local (forward)" in text
    marked = table({"a": hostile}, "markdown")
    assert "<b>" not in marked and marked.count("\n") == 6
    for told in (" ".join(text.split()), marked):
        assert told.count(REPEATABLE) == 1
    for form in ("latex", "markdown"):
        assert "take it off" not in table({"a": rows[:1]}, form)
        secret = [replace(row, noise=("secret",)) for row in rows]
        assert "take it off" not in table({"a": secret}, form)
        assert table({"a": rows, "b": secret}, form).count(SOME) == 1
    two = table({"a": rows, "=b": rows}, "csv").splitlines()
    assert two[0].startswith("run,task,setting") and len(two) == 5
    assert two[0].endswith(",noise") and two[2].endswith(",repeatable")
    assert two[3].startswith("'=b,")
    assert latex_tables(["a"], []).count(r"\begin{tabular}") == 1


def test_the_start_needs_neither_torch_nor_transformers_nor_pyplot(tmp_path: Path) -> None:
    run = Path("docs/results/watched-generated/training").resolve()
    code = (
        "import sys; from evaluation.cli.main import cli\n"
        f"cli(['plot', {str(run)!r}, '--out', {str(tmp_path)!r}], standalone_mode=False)\n"
        "heavy = {'torch', 'transformers', 'opacus', 'scipy.stats', 'jinja2', 'datasets',"
        " 'matplotlib.pyplot', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stdout
    assert (tmp_path / "training-sst2.svg").is_file()
