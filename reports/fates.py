"""Fates of cells in a line: why one was skipped or failed, without the traceback around it."""

import re

from reports.records import CellResult

BEGIN = "Traceback (most recent call last):"
OURS = re.compile(r"(?:fedbert|evaluation|privacy|attacks|reports)(?:\.\w+)*\.\w*Error: (?=\S)")
"""Kind of an error that tells in one line what was expected and found: the kind says no more."""


def why(record: CellResult) -> str:
    r"""Why a cell was skipped or failed, in one line; "" of one that is done.

    Of a traceback it is the first line of the error that was raised last.

    >>> _last("Traceback (most recent call last):\n  File ...\nKeyError: 'a'\n")
    "KeyError: 'a'"
    >>> _last("Traceback (most recent call last):\n  ...\nfedbert.errors.InputError: expected b")
    'expected b'
    """
    return record.reason or _last(record.traceback)


def reason(record: CellResult) -> str:
    """A cell's status and why it has no numbers, in one line."""
    return f"{record.status}: {why(record)}"


def _last(traceback: str) -> str:
    """The first line of the error that a traceback ends with; of other text the last line."""
    _, begin, told = traceback.rpartition(BEGIN)
    lines = told.strip().splitlines()
    if not begin:
        return lines[-1] if lines else ""
    after = (line for line in told.splitlines() if line and not line.startswith(" "))
    return OURS.sub("", next(after, ""), count=1)
