"""The documents fit the code: the table of files is current, first lines can be searched."""

import re

from tests import architecture

APHORISMS = re.compile(
    r"(?:an?|the|what|how|who|whom|which|where|when|whether|why|from|to|at|is|was|are|can|does|"
    r"one|some|several|every|everything|see|look|cut|ask|\w+ing (?:the|a|an|every|one))(?![-\w])",
    re.IGNORECASE,
)
MODULES = architecture.modules()


def test_the_table_of_files_is_current() -> None:
    text = architecture.DOCUMENT.read_text(encoding="utf-8")
    again = "docs/architecture.md is not current: run `python -m tests.architecture`"
    assert text == architecture.document(text), again


def test_every_module_begins_with_a_noun_to_search_for() -> None:
    lines = {path: architecture.first_line(architecture.ROOT / path) for path in MODULES}
    for path, line in lines.items():
        assert line.endswith((".", "?")), f"{path}: expected one whole sentence, got {line!r}"
        assert not APHORISMS.match(line), f"{path}: expected a noun first, got {line!r}"
