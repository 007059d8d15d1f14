import re
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path

import pytest

from reports import glossary, metrics, page


class Definitions(HTMLParser):
    """The pairs of every list of definitions."""

    def __init__(self):
        HTMLParser.__init__(self)
        self.into, self.words, self.meanings = None, [], []

    def handle_starttag(self, tag, attrs):
        self.into = {"dt": self.words, "dd": self.meanings}.get(tag)
        if self.into is not None:
            self.into.append("")

    def handle_endtag(self, tag):
        self.into = None

    def handle_data(self, data):
        if self.into is not None:
            self.into[-1] += data


def _told(records):
    parser = Definitions()
    parser.feed(page.page(records, "a title"))
    return dict(zip(parser.words, parser.meanings, strict=True))


def test_every_word_that_the_page_explains_comes_from_the_file(examples, monkeypatch):
    records = examples.grid(("sst2", "mlm"))
    told = _told(records)
    assert set(page.TERMS) < set(told)
    assert {metrics.title(name) for name in ("accuracy", "perplexity", "auc")} <= set(told)
    assert told == {term: glossary.meanings()[term] for term in told}
    other = {term: f"another meaning of {term}" for term in glossary.meanings()}
    monkeypatch.setattr(glossary, "meanings", lambda: other)
    assert _told(records) == {term: other[term] for term in told}


def test_the_template_explains_no_word_of_its_own():
    template = resources.files("reports").joinpath("templates/page.html.j2").read_text("utf-8")
    assert re.findall(r"<dt>(.*?)</dt>", template) == ["{{ word }}"]


def test_the_packaged_glossary_is_that_of_the_documents():
    packaged = resources.files("reports").joinpath("glossary.md").read_text("utf-8")
    assert packaged == Path("docs/glossary.md").read_text("utf-8")


def test_every_metric_stands_in_the_file_under_title_and_name():
    text = Path("docs/glossary.md").read_text("utf-8")
    for each in metrics.METRICS.values():
        assert f"- **{each.title}** (`{each.name}`): " in text, each.name


@pytest.mark.parametrize("text", ["- no term", "- **a**: b\n- **a**: c", "- **a**:"])
def test_an_item_that_is_none_is_refused(text):
    with pytest.raises(ValueError, match="expected a new term with its meaning, got item="):
        glossary.parsed(text)
