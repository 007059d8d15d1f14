"""Sample sentences on the page: escaped, shaded and underlined, told in words, only if given."""

import html
import json
import re
from dataclasses import replace

import pytest

from fedbert.disk.writer import SUFFIX
from reports.records import append_record
from reports.render import render
from reports.samples import LEVELS, samples

MARKUP = "<script>alert(1)</script>"


def stored(record, *words):
    best = {"attack": "prior", "words": [w[0] for w in words[:-1]] + ["wrong"]}
    return {record.cell: [{"words": [list(w) for w in words], "best": best}]}


@pytest.fixture
def run(examples, tmp_path):
    record = examples.done()
    append_record(tmp_path / "run" / "records.jsonl", record)
    words = (("never", 0, 6), ("embed", 6, 6), ("##ding", 2, 6), (MARKUP, 4, 6), ("end", 5, 6))
    (tmp_path / "run" / "samples.json").write_text(json.dumps(stored(record, *words)))
    return tmp_path / "run"


def test_each_word_is_marked_by_how_often_it_was_recovered(run):
    text = render(run).paths[0].read_text()
    part = text[text.index('id="sentences"') : text.index('id="guarantees"')]
    found = re.findall(r'<span class="w w(\d)" title="([^"]*)">([^<]*)</span>', part)
    assert found == [
        ("0", "recovered 0 of 6 times", "never"), ("4", "recovered 6 of 6 times", "embed"),
        ("1", "recovered 2 of 6 times", "ding"),
        ("2", "recovered 4 of 6 times", html.escape(MARKUP)),
        ("3", "recovered 5 of 6 times", "end"),
    ]  # fmt: skip
    plain = html.unescape(re.sub(r"<[^>]*>", "", part))
    assert "embedding" in plain  # pieces of a word stand together
    assert "prior, 4 of 5 right" in plain and "as private as the data" in plain
    assert '<span class="w miss" title="wrong">wrong</span>' in part
    for number, name in enumerate(LEVELS):  # the legend
        assert f'<span class="w w{number}">{name}</span>' in part
    styles = re.findall(r"\.w(\d) \{[^}]*border-bottom-style: (\w+)", text)
    assert len({style for _, style in styles}) == 4  # told apart without colour
    assert text.count("<script") == 1


def test_an_unknown_word_is_shown_and_not_counted(examples):
    words = [["good", 3, 3], ["[UNK]", None, 0], ["film", 0, 3]]
    entry = {"words": words, "best": {"attack": "prior", "words": ["good", "bad", "the"]}}
    record = examples.done()
    ((sentence,),) = [each.sentences for each in samples([record], {record.cell: [entry]}, "f")]
    assert [word.text for word in sentence.words] == ["good", "[UNK]", "film"]
    told = "unknown to the tokenizer: not counted"
    assert sentence.words[1].told == sentence.guess[1].told == told
    assert sentence.told == "1 of 2 right"


def test_without_the_file_the_page_holds_no_sentences(run):
    (run / "samples.json").unlink()
    text = render(run).paths[0].read_text()
    assert "Sample sentences" not in text and "embed" not in text
    others = [path for path in run.rglob("*") if path.is_file() and path.suffix != ".html"]
    assert all(b"##ding" not in path.read_bytes() for path in others)


def test_the_recipe_for_removing_text_takes_what_a_kill_left_of_it(run):
    """A run killed while it wrote the sentences, or a page with them; then the README's recipe."""
    render(run)
    for name, text in ((f".samples.json.{'0a' * 6}{SUFFIX}", "samples.json"),
                       (f".report.html.{'1b' * 6}{SUFFIX}", "report.html"),
                       (f"figures/.x.png.{'2c' * 6}{SUFFIX}", "x.png")):  # fmt: skip
        (run / name).mkdir()
        (run / name / text).write_text("embedding")
    (run / ".samples.json.4711.tmp").write_text("embedding")  # as earlier versions wrote it
    (run / "samples.json").unlink()
    render(run)
    found = [p for p in run.rglob("*") if p.is_file()]
    assert [p.name for p in found if b"embedding" in p.read_bytes()] == []
    assert [p.name for p in run.rglob("*") if "tmp" in p.name] == []


def test_one_seed_of_a_setting_is_shown(examples):
    records = [examples.done(seed=k) for k in range(3)] + [examples.done(defence=2)]
    every = {}
    for record in records[1:]:
        every |= stored(record, ("a", 0, 1), ("b", 1, 1))
    every["ff"] = []
    found = samples(records, every, "samples.json")
    assert [(each.labels["defence"], each.labels["seed"]) for each in found] == [
        ("none", "1"), ("gaussian token", "0"),
    ]  # fmt: skip
    gone = [replace(examples.failed(), cell=records[1].cell)]
    assert samples(gone, every, "samples.json") == []


def sentence(words, best):
    return {"CELL": [{"words": words, "best": {"attack": "x", "words": best}}]}


@pytest.mark.parametrize(
    "broken",
    [
        [1],
        {"CELL": 3},
        {"CELL": [{"words": [["a", 1, 1]]}]},
        sentence([["a", 2, 1]], ["a"]),
        sentence([["a", 0, 0]], ["a"]),
        sentence([[1, 1, 1]], [1]),
        sentence([["a", 1, 1]], []),
    ],
)
def test_a_broken_file_is_refused_with_its_name(examples, broken):
    record = examples.done()
    text = json.dumps(broken).replace("CELL", record.cell)
    with pytest.raises(ValueError, match=r"expected .* got samples\.json"):
        samples([record], json.loads(text), "samples.json")
