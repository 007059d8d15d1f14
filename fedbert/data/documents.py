"""Documents of masked-LM text: rows of a table, or what stands between two of WikiText's titles."""

import re
from collections.abc import Sequence

_HEADING = re.compile(r"= (?!=)\S.*(?<!=) =")


def documents(rows: Sequence[str]) -> list[str]:
    """Return the documents in rows of text.

    Where WikiText's title rows (" = Title = ", between blank rows) occur, each begins a document,
    and what precedes the first is one too; otherwise every row is a document. In text without any
    blank row the title's form alone decides. Blank rows are dropped.

    >>> documents([" = Bees = ", "", "They hum.", " = = Wax = = ", "", " = Ants = ", "", "No."])
    ['= Bees =\\nThey hum.\\n= = Wax = =', '= Ants =\\nNo.']
    >>> documents(["They hum.", "", "They do not."])
    ['They hum.', 'They do not.']
    """
    stripped = [row.strip() for row in rows]
    spaced = "" in stripped
    found: list[list[str]] = []
    titles = 0
    for before, row, after in zip(["", *stripped], stripped, [*stripped[1:], ""], strict=False):
        title = bool(_HEADING.fullmatch(row)) and not (spaced and (before or after))
        titles += title
        if title or not found:
            found.append([])
        if row:
            found[-1].append(row)
    if not titles:
        return [row for row in stripped if row]
    return ["\n".join(document) for document in found if document]
