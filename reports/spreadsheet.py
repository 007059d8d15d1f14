"""Spreadsheet cells: text from elsewhere that a spreadsheet would take for a formula is quoted."""

import re
from collections.abc import Iterable

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
FORMULA = re.compile(r"[\t\r\n]|\s*[=+\-@\uff1d\uff0b\uff0d\uff20]")
ABSENT = "-"


def quoted(values: Iterable[object]) -> list[object]:
    """Return the cells of a row, those with an apostrophe before them that would be run.

    Numbers, also as text, and a dash alone stay as they are.

    >>> quoted(["=1+1", "-0.5", -0.5, "-", "sst2", "@SUM(A1)", "-1+1|cmd"])
    ["'=1+1", '-0.5', -0.5, '-', 'sst2', "'@SUM(A1)", "'-1+1|cmd"]
    """
    return [f"'{value}" if _would_run(value) else value for value in values]


def _would_run(value: object) -> bool:
    if not isinstance(value, str) or value == ABSENT or NUMBER.fullmatch(value):
        return False
    return FORMULA.match(value) is not None
