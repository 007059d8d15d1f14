"""Spreadsheet cells: text from elsewhere that a spreadsheet would take for a formula is quoted."""

import re
from collections.abc import Iterable

from reports.terminal import harmless

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
ABSENT = "-"


def quoted(values: Iterable[object]) -> list[object]:
    """Return the cells of a row, in harmless form, an apostrophe before those that would be run.

    Numbers, also as text, and a dash alone stay as they are.

    >>> quoted(["=1+1", "-0.5", -0.5, "-", "sst2", "@SUM(A1)", "-1+1|cmd"])
    ["'=1+1", '-0.5', -0.5, '-', 'sst2', "'@SUM(A1)", "'-1+1|cmd"]
    """
    return [_quoted(harmless(value)) if isinstance(value, str) else value for value in values]


def _quoted(text: str) -> str:
    if text == ABSENT or NUMBER.fullmatch(text) or not FORMULA.match(text):
        return text
    return f"'{text}"
