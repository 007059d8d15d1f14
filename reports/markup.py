"""Markdown from plain texts: tables, and text with nothing in it that would be read as markup."""

from collections.abc import Iterable, Sequence

from reports.terminal import harmless


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a Markdown table of texts."""
    lines = [head, ["---"] * len(head), *([escaped(cell) for cell in row] for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


def escaped(text: str) -> str:
    """`text` with what Markdown and HTML would read as markup escaped, on one line."""
    for mark in ("\\", "`", "*", "_", "|", "]("):
        text = text.replace(mark, "\\" + mark)
    text = harmless(text)
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())


def listed(head: str, texts: Sequence[str]) -> list[str]:
    """A head with a list below it, as lines; none without texts."""
    return [head, "", *(f"- {escaped(each)}" for each in texts), ""] if texts else []
