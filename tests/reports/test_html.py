"""Policy of the pages: nothing runs, nothing is fetched, and their own style and pictures pass."""

import base64
import hashlib
from html.parser import HTMLParser

import pytest

from reports.card.content import CONSISTENT, Card, Check
from reports.card.files import as_html
from reports.page import Picture, page

PICTURE = Picture("a <title>", b"\x89PNG\r\n", "words")


class Parsed(HTMLParser):
    """The elements of a page in order, and the texts of its styles and scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.own: dict[str, list[str]] = {"style": [], "script": []}
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = tag if tag in self.own else ""

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.own[self.inside].append(data)


@pytest.fixture(params=["page", "card"])
def text(request: pytest.FixtureRequest, examples) -> str:
    if request.param == "page":
        return page(examples.grid(("sst2",)), "a <b>title</b>", [PICTURE])
    return as_html(Card({"name": "<style>x"}, ("c",), (Check("w", CONSISTENT, "d"),), ()))


def test_a_policy_stands_first_and_allows_what_the_page_has_alone(text: str) -> None:
    parsed = Parsed(text)
    tags = [tag for tag, _ in parsed.elements]
    metas = [(i, a) for i, (tag, a) in enumerate(parsed.elements) if "http-equiv" in a]
    ((place, meta),) = metas
    assert tags[:place] == ["html", "head", "meta"]  # the character set
    assert meta["http-equiv"] == "Content-Security-Policy"
    rules = dict(rule.strip().split(" ", 1) for rule in (meta["content"] or "").split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    names = {"default-src", "base-uri", "form-action", "img-src"}
    for tag, texts in parsed.own.items():
        for text in texts:
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    used = {f"{tag}-src" for tag, texts in parsed.own.items() if texts}
    assert set(rules) == names | used and "style-src" in used
    assert [tag for tag, _ in parsed.elements].count("script") == len(parsed.own["script"]) <= 1


def test_nothing_on_the_page_needs_more_than_the_policy_allows(text: str) -> None:
    parsed = Parsed(text)
    loading = {"link", "iframe", "object", "embed", "form", "base", "svg", "video"}
    assert not loading & {tag for tag, _ in parsed.elements}
    for tag, attributes in parsed.elements:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        if tag == "img":
            assert (attributes["src"] or "").startswith("data:image/png;base64,")
    assert ("img" in {tag for tag, _ in parsed.elements}) == (PICTURE.alt in text)
