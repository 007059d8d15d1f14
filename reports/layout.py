"""Terminal tables whose heads, and whose first column, break within no word if they may be wide."""

from collections.abc import Iterable, Sequence

from rich.box import SIMPLE_HEAD
from rich.table import Table

from reports.terminal import cell


def longest_word(text: str) -> int:
    """The characters of a text's longest word: what a column needs that breaks none.

    >>> longest_word("defence, strategy"), longest_word("")
    (8, 0)
    """
    return max(map(len, text.split()), default=0)


def with_heads(table: Table, heads: Sequence[str], widths: Sequence[int] | None = None) -> Table:
    """The table with columns of these heads; widths: the most of each, unless a word is longer."""
    for number, head in enumerate(heads):
        least = longest_word(head)
        most = None if widths is None else max(widths[number], least)
        table.add_column(cell(head), min_width=least, max_width=most, overflow="fold")
    return table


def unbroken(table: Table) -> Table:
    """The table, its first column as wide as its lines, if it may be; the others make room."""
    first = table.columns[0]
    if first.max_width is None:
        first.min_width = max((longest_word(str(each)) for each in first.cells), default=0)
    else:
        texts = (str(first.header), *map(str, first.cells))
        lines = (line for text in texts for line in text.splitlines())
        first.width = min(first.max_width, max(map(len, lines), default=0))
    return table


def from_markdown(lines: Iterable[str]) -> Table:
    """The lines of a Markdown table as a table for a terminal.

    >>> table = from_markdown(["| a | b |", "|---|---|", "| 1 | 2 |"])
    >>> [str(each.header) for each in table.columns]
    ['a', 'b']
    """
    head, _, *rows = ([part.strip() for part in line.strip("| ").split("|")] for line in lines)
    table = with_heads(Table(box=SIMPLE_HEAD, pad_edge=False), head)
    for row in rows:
        table.add_row(*map(cell, row))
    return unbroken(table)
