"""Generator of `docs/parameters.md`: `python -m tests.parameters` writes it anew."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from evaluation.grid.build import TARGETS, calibrated_parameters, parameters_of, resolve
from evaluation.grid.catalogue import FAMILIES, MECHANISMS, Entry
from evaluation.grid.defence import CALIBRATED_FOR

PATH = Path("docs/parameters.md")
HEAD = """# Parameters of mechanisms and attacks

What a grid may set beside a name, with its default where it has one; without a default it has to be
given. Facts of the training (delta, releases, rounds, ...) are known where the grid is silent.
A target is one of `target_epsilon`, `target_tpr_at_1pct` and `target_advantage`.
Generated: `python -m tests.parameters`.
"""


def told(parameters: Mapping[str, inspect.Parameter], without: tuple[str, ...]) -> str:
    """Return names with their defaults, as Markdown."""
    parts = []
    for name, each in parameters.items():
        if name in without or not plain(each.default):
            continue
        default = "" if each.default is each.empty else f" = {written(each.default)}"
        parts.append(f"`{name}{default}`")
    return ", ".join(parts) or "none"


def plain(default: Any) -> bool:
    """Return whether a grid can hold such a value."""
    return default is inspect.Parameter.empty or isinstance(default, str | int | float | None)


def written(default: Any) -> str:
    """Return a default as TOML has it; "none" where there is none."""
    return str(default).lower() if isinstance(default, bool) or default is None else repr(default)


def rows(entries: Mapping[str, Entry], mechanisms: bool) -> list[str]:
    """Return one row for each entry."""
    found = []
    for name in entries:
        kind = resolve(name, dict(entries), "parameters")
        own = told(parameters_of(kind), ("name", "view", "uses_decoder"))
        line = f"| `{name}` | {own} |"
        if mechanisms:
            by = calibrated_parameters(kind)
            line += f" {told(by, (*CALIBRATED_FOR, *TARGETS)) if by else '-'} |"
        found.append(line)
    return found


def document() -> str:
    """Return the whole document."""
    lines = [
        HEAD,
        "## Mechanisms",
        "",
        "| name | parameters | or, with a target |",
        "|---|---|---|",
    ]
    lines += rows(MECHANISMS, True)
    for family, entries in FAMILIES.items():
        lines += ["", f"## Attacks: {family}", "", "| name | parameters |", "|---|---|"]
        lines += rows(entries, False)
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PATH.write_text(document(), encoding="utf-8")
