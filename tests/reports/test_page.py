import html
import json
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from reports.page import page
from reports.plots.written import Asked, plot
from reports.records import append_record
from reports.render import render
from reports.rows import setting_rows
from reports.tables import markdown

VOID = {"meta", "img", "br"}
MARKUP = "<script>alert(1)</script>"


class Strict(HTMLParser):
    """Every tag is closed in order; ids, texts and attributes are kept."""

    def __init__(self):
        HTMLParser.__init__(self)
        self.open, self.ids, self.tags, self.attributes = [], [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def _parsed(text):
    parser = Strict()
    parser.feed(text)
    parser.close()
    assert parser.open == []
    return parser


def _run(tmp_path, records, name="run"):
    for record in records:
        append_record(tmp_path / name / "records.jsonl", record)
    return tmp_path / name


def test_a_run_becomes_a_page_tables_and_figures(examples, tmp_path):
    run = _run(tmp_path, examples.grid(("sst2", "mlm")))
    (run / "partition.json").write_text(json.dumps(examples.PARTITION))
    (run / "grid.json").write_text(json.dumps({"name": "the grid's own name"}))
    report = render(run)
    names = {str(path.relative_to(run)) for path in report.paths}
    assert names == {
        "report.html", "table.md", "table.csv", "table.json", "figures/partition-sst2.png",
        "figures/decision-sst2.png", "figures/decision-mlm.png",
        "figures/utility-inversion-sst2.png", "figures/utility-membership-sst2.png",
        "figures/utility-inversion-mlm.png", "figures/utility-membership-mlm.png",
    }  # fmt: skip
    assert all(path.stat().st_size > 0 for path in report.paths)
    assert report.paths[0].name == "report.html"
    assert len(report.records) == len(examples.grid(("sst2", "mlm")))
    text = report.paths[0].read_text("utf-8")
    parser = _parsed(text)
    images = [value for tag, name, value in parser.attributes if (tag, name) == ("img", "src")]
    assert len(images) == 7
    assert all(image.startswith("data:image/png;base64,") for image in images)
    assert parser.tags.count("img") == sum(
        1 for tag, name, value in parser.attributes if (tag, name) == ("img", "alt") and value
    )
    assert "the grid&#39;s own name" in text
    assert not list(run.rglob("*.tmp"))


def test_the_page_fetches_nothing_and_its_links_lead_somewhere(examples):
    text = page(examples.grid(("sst2",)), "a title")
    parser = _parsed(text)
    links = [value for _, name, value in parser.attributes if name in ("href", "src", "action")]
    assert links and all(link.startswith("#") and link[1:] in parser.ids for link in links)
    assert parser.tags.count("script") == 1 and not {"link", "iframe", "object"} & set(parser.tags)
    assert "url(" not in text and "@import" not in text and "://" not in text


def test_the_page_holds_every_sentence_reason_and_number(examples):
    records = examples.grid(("sst2",))
    text = html.unescape(page(records, "a title"))
    for record in records:
        for entry in record.guarantees:
            before, after = entry["sentence"].split(entry["view"], 1)  # views may stand together
            assert before in text and after.removeprefix(" view") in text
    for row in setting_rows(records):
        if row.utility:
            low, high = row.utility.low, row.utility.high
            assert f"{row.utility.value:.3f} [{low:.3f}, {high:.3f}]" in text
        for leak in row.leaks:
            assert f"{leak.estimate.value:.3f} [{leak.estimate.low:.3f}, " in text
    assert "TPR at 1 % FPR" in text and "unaware nearest" in text
    for words in ("dp-fedavg needs an update per client", "expected loss to be finite",
                  "Traceback (most recent call last)", "0123abc", "nothing is sent",
                  "Student's t", "0.093"):  # fmt: skip
        assert words in text


def test_the_page_and_the_table_say_that_no_guarantee_covers_them(examples):
    records = [examples.done()]
    told = " ".join(page(records, "t").split())
    for text in (html.unescape(told), markdown(records)):
        assert "No guarantee covers this report" in text and "the hash of the data" in text


def test_the_page_says_once_what_a_clipped_share_is_where_all_is_scaled(examples):
    told = "the clipped share counts those that it made shorter"
    for name, times in (("DPSGD", 0), ("DPSGD (automatic clipping)", 1)):
        records = [
            replace(record, mechanisms={"training": {"name": name, "clipped_share": 0.4}})
            for record in (examples.done(), examples.done(seed=1))
        ]
        assert page(records, "t").count(told) == times


def test_what_single_groups_get_is_told_where_somebody_looked(examples):
    record = examples.done()
    assert 'id="groups"' not in page([record], "t")
    value = next(iter(record.utility.values()))
    told = replace(record, subgroups={"accuracy by region": {"<b>north</b>": value}})
    text = page([told], "t")
    assert 'id="groups"' in text and "accuracy by region" in text
    assert "<b>north</b>" not in text and "&lt;b&gt;north" in text


def test_what_may_be_wrong_stands_once_before_any_figure(examples):
    told = "data x.csv for own: 6 of 30 words (20%) are [UNK] to the tokenizer"
    plain = [examples.done(), examples.done(seed=1)]
    records = [replace(record, doubts=[told]) for record in plain]
    for make, figures in ((lambda r: html.unescape(page(r, "t")), "side by side"),
                          (lambda r: markdown(r).replace("\\", ""), "## Utility")):  # fmt: skip
        text = make(records)
        assert text.count(told) == 1 and text.index(told) < text.index(figures)
        assert "What may be wrong" in text and "What may be wrong" not in make(plain)


@pytest.mark.parametrize(
    "place", ["defence", "task", "traceback", "reason", "sentence", "attack", "doubt"]
)
def test_markup_in_the_data_stays_text(examples, place):
    done, failed, skipped = examples.done(defence=3), examples.failed(), examples.skipped()
    if place in ("defence", "task"):
        done = replace(done, labels={**done.labels, place: MARKUP})
    elif place == "traceback":
        failed = replace(failed, traceback=MARKUP)
    elif place == "reason":
        skipped = replace(skipped, reason=MARKUP)
    elif place == "doubt":
        done = replace(done, doubts=[MARKUP])
    elif place == "sentence":
        done = replace(done, guarantees=[{**each, "sentence": MARKUP} for each in done.guarantees])
    else:
        done = replace(done, leakage=tuple(replace(each, attack=MARKUP) for each in done.leakage))
    text = page([done, failed, skipped], MARKUP)
    assert text.count("<script") == 1 and html.escape(MARKUP) in text
    assert _parsed(text).tags.count("script") == 1


def test_the_same_records_give_the_same_bytes(examples, tmp_path):
    records = examples.grid(("sst2",))
    found = []
    for place in ("one", "two"):
        run = _run(tmp_path / place, records)
        (run / "partition.json").write_text(json.dumps(examples.PARTITION))
        report = render(run)
        found.append({path.relative_to(run): path.read_bytes() for path in report.paths})
        render(run)
        assert found[-1] == {path.relative_to(run): path.read_bytes() for path in report.paths}
    assert found[0] == found[1]


def test_a_run_in_which_all_failed_still_renders(examples, tmp_path):
    report = render(_run(tmp_path, [examples.failed(), examples.failed(1), examples.skipped()]))
    assert [path.name for path in report.paths] == [
        "report.html",
        "table.md",
        "table.csv",
        "table.json",
    ]
    text = report.paths[0].read_text("utf-8")
    _parsed(text)
    assert "No cell finished" in text and "expected loss to be finite" in text
    assert "3 cells: 1 skipped, 2 failed" in text


def test_text_that_is_no_unicode_does_not_stop_a_report(examples, tmp_path):
    record = replace(examples.failed(), traceback="bad file name \udcff", reason="\udcff")
    assert render(_run(tmp_path, [record])).paths[0].is_file()


@pytest.mark.parametrize("content", [None, b"", b'{"cell"'])
def test_a_directory_without_records_is_refused(tmp_path, content):
    if content is not None:
        (tmp_path / "records.jsonl").write_bytes(content)
    with pytest.raises(ValueError, match=r"expected .* got "):
        render(tmp_path)


@pytest.mark.parametrize(
    ("inner", "what"), [("checkpoint", "the folder of a training"), (".", "a checkpoint")]
)
def test_the_folder_of_a_training_is_told_from_a_run(tmp_path, inner, what):
    checkpoint = tmp_path / inner
    checkpoint.mkdir(exist_ok=True)
    (checkpoint / "manifest.json").touch()
    calls = [lambda: render(tmp_path)]
    if inner == ".":  # of a training's folder its course is drawn
        calls.append(lambda: plot([tmp_path], tmp_path / "plots"))
    for call in calls:
        with pytest.raises(ValueError, match=f"with records.jsonl, got {what}, ") as error:
            call()
        assert f"`fedbert-eval audit run {checkpoint}` reports on it" in str(error.value)


@pytest.mark.parametrize("content", ["[1]", '{"sst2": 3}', '{"sst2": {"a": 3}}', "{"])
def test_a_broken_partition_is_refused_with_its_name(examples, tmp_path, content):
    run = _run(tmp_path, [examples.done()])
    (run / "partition.json").write_text(content)
    with pytest.raises(ValueError, match=r"expected .*partition\.json"):
        render(run)


def test_plot_compares_runs_whose_names_may_be_equal(examples, tmp_path):
    records = [examples.done(defence=0), examples.done(defence=3)]
    first, second = _run(tmp_path / "a", records), _run(tmp_path / "b", records)
    asked = Asked(("utility",), ("png",))
    written = plot([first, second], tmp_path / "out", asked).paths
    names = [path.name for path in written]
    assert names[:2] == ["compare-sst2-inversion.png", "compare-sst2-membership.png"]
    assert len(set(names)) == 7 and names[-1] == "figures.md"
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written[:-1])
    with pytest.raises(ValueError, match="at least one run"):
        plot([], tmp_path / "out")


HEAVY = ("torch", "transformers", "opacus", "privacy", "attacks", "evaluation")
WRITER = ["fedbert", "fedbert.disk", "fedbert.disk.writer"]


def test_reports_never_import_a_learning_library():
    code = (
        "import importlib, pkgutil, sys, reports\n"
        "names = [each.name for each in pkgutil.iter_modules(reports.__path__)]\n"
        "for name in names: importlib.import_module('reports.' + name)\n"
        f"print(len(names) > 8, sorted(set({HEAVY}) & set(sys.modules)),"
        " sorted(name for name in sys.modules if name.split('.')[0] == 'fedbert'))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == f"True [] {WRITER}"


def test_records_alone_need_only_the_standard_library():
    code = (
        "import sys; import reports.records;"
        "print(sorted({'numpy', 'rich', 'jinja2', 'matplotlib', 'scipy'} & set(sys.modules)))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
