"""Names of settings in figures: the series, which has a mark of its own, and the level in short."""

import re
from collections.abc import Sequence

from reports.labels import phrase
from reports.rows import Row

SHORT = {
    "target_epsilon": "ε", "epsilon": "ε", "eps": "ε", "noise_multiplier": "σ", "eta": "η",
    "label_epsilon": "label ε",
}  # fmt: skip
"""Letters that stand for what a level sets."""


def level_text(level: str) -> str:
    """A level in few letters; nothing for none.

    >>> level_text("target_epsilon=8.0"), level_text("noise_multiplier=0.05"), level_text("-")
    ('ε 8', 'σ 0.05', '')
    """
    if level in ("-", ""):
        return ""
    name, found, value = level.partition("=")
    if not found:
        name, found, value = level.partition(" ")
    if name not in SHORT:
        return level
    return f"{SHORT[name]} {value.removesuffix('.0')}"


def shortened(text: str) -> str:
    """A text with every level in it in few letters.

    >>> shortened("gaussian, token, target_epsilon=8.0, clip = 2")
    'gaussian, token, ε 8, clip = 2'
    """
    return re.sub(r"(?<!\w)(?:\w+=|eps )[\d.e+-]*\d", lambda found: level_text(found[0]), text)


def named(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """Series and level of each row; strategy and model are told where they differ."""
    parts = [
        name for name in ("strategy", "model") if len({getattr(row, name) for row in rows}) > 1
    ]
    found = []
    for row in rows:
        more = ", ".join(getattr(row, part) for part in parts)
        name = row.defence + phrase(row.further) + (f" ({more})" if more else "")
        found.append((name, level_text(row.level)))
    return found


def mark_of(name: str, order: Sequence[str], own: Sequence[str]) -> int:
    """The number of a series' colour and marker: its place in the order of all series.

    order: the series of all figures that are drawn together, so that one looks the same in each.
    own: those of the figure, where it is drawn alone.

    >>> mark_of("b", ["a", "b"], ["b"]), mark_of("b", [], ["b"])
    (1, 0)
    """
    return order.index(name) if name in order else len(order) + own.index(name)


def marks_of(groups: Sequence[str], order: Sequence[str]) -> tuple[int, ...]:
    """The numbers of the marks of defences, each that of its first series, as `mark_of` has them.

    order: of series, which are defences with what else tells settings apart.

    >>> marks_of(["none", "b", "c"], ["none", "a", "b, rate 1 (fedavg)", "b, rate 2 (fedavg)"])
    (0, 2, 4)
    """
    found: list[int] = []
    for group in groups:
        more = f"{group}, ", f"{group} ("
        alike = [i for i, name in enumerate(order) if name == group or name.startswith(more)]
        alike.sort(key=lambda i: order[i] != group)
        later = max([len(order) - 1, *found]) + 1
        found.append(next((i for i in alike if i not in found), later))
    return tuple(found)


def joined(name: tuple[str, str]) -> str:
    """Series and level in one phrase.

    >>> joined(("gaussian", "ε 8")), joined(("none", ""))
    ('gaussian, ε 8', 'none')
    """
    return ", ".join(part for part in name if part)
