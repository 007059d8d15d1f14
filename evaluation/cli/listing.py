"""`fedbert-eval list` and `schema`: what a grid can name, and what a file may say."""

import importlib
import json
from typing import Any

import click

SCHEMAS = ("grid", "training")


@click.command("list")
def list_() -> None:
    """List what a grid can name."""
    from rich.console import Console
    from rich.table import Table

    from evaluation.grid.catalogue import MECHANISMS
    from evaluation.grid.durations import FAMILIES, NOTE, told
    from fedbert.config import SIZES, STRATEGIES
    from fedbert.tasks import TASKS

    table = Table(box=None, header_style="bold", pad_edge=False)
    for column in ("kind", "name", "what it is"):
        table.add_column(column)
    table.add_column("time per cell", no_wrap=True)
    for task in TASKS.values():
        table.add_row("task", task.name, f"{', '.join(task.columns)}; {', '.join(task.metrics)}")
    table.add_row("strategy", ", ".join(STRATEGIES), "how clients and server train")
    table.add_row(
        "model", ", ".join((*SIZES, "embedded")), "or a transformers directory, or a hub name"
    )
    for name, entry in MECHANISMS.items():
        table.add_row("mechanism", name, entry.summary)
    for family, entries in FAMILIES.items():
        for name, entry in entries.items():
            table.add_row(kind_of(family, entry), name, entry.summary, told(family, entry))
    console = Console(width=100)
    console.print(table)
    console.print(f"\n{NOTE}", highlight=False)


def kind_of(family: str, entry: object) -> str:
    """Return the family of an attack, and whether it is a baseline.

    >>> kind_of("membership", object())
    'membership'
    """
    return f"{family} (baseline)" if getattr(entry, "baseline", False) else family


@click.command()
@click.argument("what", type=click.Choice(SCHEMAS))
def schema(what: str) -> None:
    """Print the JSON Schema of a grid or a training.

    Editors complete and check TOML files with it.
    """
    click.echo(json.dumps(schema_of(what), indent=2))


def schema_of(what: str) -> dict[str, Any]:
    """Return the JSON Schema of a kind of file; only this command imports what it takes."""
    module = importlib.import_module("evaluation.grid.schema")
    found: dict[str, Any] = getattr(module, f"{what}_schema")()
    return found
