"""Lines that carry their numbers: printed for people, merged into one JSON object for machines."""

from collections.abc import Iterable, Mapping
from typing import Any

from evaluation.cli.shared import say_json
from reports.terminal import say

SCHEMA = 1
"""Version of the form of every object that is printed so."""


class Line(str):
    """A line, and what it says as values: keys are names of quantities, never of settings."""

    values: Mapping[str, Any]

    def __new__(cls, text: str, **values: Any) -> "Line":
        """Return a line that carries values."""
        made = super().__new__(cls, text)
        made.values = values
        return made


def merged(lines: Iterable[str]) -> dict[str, Any]:
    """Return all that lines carry: lists and tables of one name are joined.

    >>> merged([Line("a", epsilon={"pld": 1.0}), "b", Line("c", epsilon={"rdp": 2.0}, delta=0.1)])
    {'epsilon': {'pld': 1.0, 'rdp': 2.0}, 'delta': 0.1}
    """
    found: dict[str, Any] = {}
    for line in lines:
        for name, value in getattr(line, "values", {}).items():
            there = found.get(name)
            if isinstance(there, dict) and isinstance(value, dict):
                found[name] = there | value
            elif isinstance(there, list) and isinstance(value, list):
                found[name] = there + value
            else:
                found[name] = value
    return found


def warned(text: str) -> Line:
    """Return a warning."""
    return Line(f"Warning: {text}", warnings=[text])


def tell(lines: Iterable[str], as_json: bool, command: str) -> None:
    """Print lines, or what they carry as JSON: {"schema", "command", values, "in_words"}."""
    every = list(lines) if as_json else lines
    if as_json:
        words = [str(line) for line in every]
        say_json(command, {**merged(every), "in_words": words}, SCHEMA)
        return
    for line in every:
        say(line)
