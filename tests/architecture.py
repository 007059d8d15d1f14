"""Generator of `docs/architecture.md`: `python -m tests.architecture` writes it anew.

The table of files is made from the first line of every module; the text above it is kept.
"""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCUMENT = ROOT / "docs" / "architecture.md"
PACKAGES = ("fedbert", "privacy", "attacks", "evaluation", "reports", "disk", "benchmarks")
MARK = "<!-- From here on generated: python -m tests.architecture -->\n"


def first_line(path: Path) -> str:
    """Return the first line of a module's docstring; empty where it has none."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def modules() -> list[Path]:
    """Return every module of ours, package by package, relative to the root."""
    found = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))]
    return [path.relative_to(ROOT) for path in found]


def table() -> str:
    """Return a heading and a table for every folder."""
    lines: list[str] = []
    folders: dict[Path, list[Path]] = {path.parent: [] for path in modules()}
    for path in modules():
        folders[path.parent].append(path)
    for folder, paths in folders.items():
        own = folder / "__init__.py"
        lines += ["", f"## `{folder}/`", "", first_line(ROOT / own), ""]
        files = [path for path in paths if path != own]
        if files:
            lines += ["| file | what it holds |", "|---|---|"]
            lines += [f"| `{path.name}` | {first_line(ROOT / path)} |" for path in files]
    return "\n".join(lines) + "\n"


def document(current: str) -> str:
    """Return the document: what stands above the mark in `current`, and the tables of today."""
    return current.partition(MARK)[0] + MARK + table()


if __name__ == "__main__":
    DOCUMENT.write_text(document(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
