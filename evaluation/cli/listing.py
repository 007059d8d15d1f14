"""`fedbert-eval list` and `schema`: what a grid can name, and what a file may say."""

import json
import sys
from typing import TYPE_CHECKING

import click

from reports.terminal import console, say

if TYPE_CHECKING:
    from evaluation.grid.catalogue import Entry

SCHEMAS = ("grid", "training")


@click.command("list")
def list_() -> None:
    """List what a grid can name."""
    from rich.table import Table

    from evaluation.grid.catalogue import FAMILIES, MECHANISMS
    from evaluation.grid.durations import NOTE, estimated
    from fedbert.setting_types import SIZES, STRATEGIES
    from fedbert.tasks import CLASS_METRICS, OWN, SCORE_METRICS, TASKS

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("kind", "name", "what it is"):
        table.add_column(column)
    table.add_column("time per cell", no_wrap=True)
    for task in TASKS.values():
        table.add_row("task", task.name, f"{', '.join(task.columns)}; {', '.join(task.metrics)}")
    usual = f"{', '.join(CLASS_METRICS)}, or {', '.join(SCORE_METRICS)}"
    table.add_row("task", OWN, f"columns named by data.text, pair, label; {usual}")
    table.add_row("strategy", ", ".join(STRATEGIES), "how clients and server train")
    table.add_row(
        "model", ", ".join((*SIZES, "embedded")), "or a transformers directory, or a hub name"
    )
    for name, entry in MECHANISMS.items():
        table.add_row("mechanism", name, entry.summary)
    for family, entries in FAMILIES.items():
        for name, entry in entries.items():
            table.add_row(kind_of(family, entry), name, entry.summary, estimated(family, entry))
    shown = console(None if sys.stdout.isatty() else 100)
    shown.print(table)
    shown.print(f"\n{NOTE}")


def kind_of(family: str, entry: "Entry") -> str:
    """Return the family of an attack, and whether it is a baseline.

    >>> from evaluation.grid.catalogue import MEMBERSHIP
    >>> kind_of("membership", MEMBERSHIP["random_guess"])
    'membership (baseline)'
    """
    return f"{family} (baseline)" if entry.baseline else family


@click.command()
@click.argument("what", type=click.Choice(SCHEMAS))
def schema(what: str) -> None:
    """Print the JSON Schema of a grid or a training.

    Editors complete and check TOML files with it.
    """
    from evaluation.grid.schema import grid_schema, training_schema

    found = grid_schema() if what == "grid" else training_schema()
    for line in json.dumps(found, indent=2).splitlines():
        say(line)
