"""Listing of what a grid can name, read from a generated table: no class is imported for it."""

import json
from pathlib import Path
from typing import Any

LISTED = Path(__file__).parent / "listed.json"
"""Made by `python -m tests.keys`; a test holds it equal to the classes."""
SCHEMA = 1
"""Version of the form in which `list --json` tells it."""


def listed() -> dict[str, Any]:
    """Return tasks, strategies, models, mechanisms, attacks and keys, with their parameters."""
    found: dict[str, Any] = json.loads(LISTED.read_text(encoding="utf-8"))
    return found
