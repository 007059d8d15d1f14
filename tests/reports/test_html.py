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
    """The elements of a page in order, and the texts of its styles."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.styles: list[str] = []
        self.inside = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self.inside = False

    def handle_data(self, data: str) -> None:
        if self.inside:
            self.styles.append(data)


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
    (style,) = parsed.styles
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert rules["style-src"] == f"'sha256-{digest}'" and rules["img-src"] == "data:"
    assert set(rules) == {"default-src", "base-uri", "form-action", "img-src", "style-src"}


def test_nothing_on_the_page_needs_more_than_the_policy_allows(text: str) -> None:
    parsed = Parsed(text)
    loading = {"script", "link", "iframe", "object", "embed", "form", "base", "svg", "video"}
    assert not loading & {tag for tag, _ in parsed.elements}
    for tag, attributes in parsed.elements:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        if tag == "img":
            assert (attributes["src"] or "").startswith("data:image/png;base64,")
    assert ("img" in {tag for tag, _ in parsed.elements}) == (PICTURE.alt in text)
