"""Glossary of the words of reports, command line and code, read from `docs/glossary.md`.

`reports/glossary.md` is a link to that file, so that a wheel holds a copy of it.
"""

import re
from functools import cache
from importlib import resources

_ITEM = re.compile(r"- \*\*(?P<term>[^*]+)\*\*(?: \([^)]*\))?: (?P<meaning>.+)", re.DOTALL)


@cache
def meanings() -> dict[str, str]:
    """Every term with its meaning as plain text, in the order of the file.

    >>> meanings()["release view"]
    'what everybody sees in the end: the trained model.'
    """
    return parsed(resources.files("reports").joinpath("glossary.md").read_text("utf-8"))


def parsed(text: str) -> dict[str, str]:
    """The terms of a text: list items "- **term** (`code`): meaning", on one line or several.

    Raises: ValueError for an item that is none, or for a term that stands there twice.

    >>> parsed("- **cut layer** (`cut_layer`): how many\\n  the clients keep.")
    {'cut layer': 'how many the clients keep.'}
    """
    found: dict[str, str] = {}
    for item in re.findall(r"^- .+(?:\n {2}\S.*)*", text, re.MULTILINE):
        match = _ITEM.fullmatch(item)
        if match is None or match["term"] in found:
            raise ValueError(f"expected a new term with its meaning, got item={item!r}")
        found[match["term"]] = " ".join(match["meaning"].replace("`", "").split())
    return found
