"""`fedbert-eval list` and `schema`: what a grid can name, and what a file may say."""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import click

from evaluation.cli.shared import AS_JSON, examples, say_json
from fedbert.errors import InputError, nearest
from reports.terminal import cell, console, say

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem
    from rich.table import Table

SCHEMAS = ("grid", "training")
KINDS = ("tasks", "attacks", "mechanisms", "keys")


def complete_name(context: click.Context, _: click.Parameter, begun: str) -> list["CompletionItem"]:
    """Return the names of a kind that complete what was begun."""
    from click.shell_completion import CompletionItem

    from evaluation.grid.listed import listed

    every = listed().get(context.params.get("what") or "", ())
    names = sorted({each.get("name") or each["key"] for each in every})
    return [CompletionItem(name) for name in names if name.startswith(begun)]


@click.command("list", epilog=examples("list", "list attacks rmia", "list keys --json"))
@click.argument("what", required=False, type=click.Choice(KINDS))
@click.argument("name", required=False, shell_complete=complete_name)
@AS_JSON
def list_(what: str | None, name: str | None, as_json: bool) -> None:
    """List what a grid can name.

    All, or one kind, with parameters and defaults; with NAME, that one.
    """
    from evaluation.grid.listed import listed

    found = listed()
    if what is not None and name is not None:
        found = {**found, what: _named(found[what], name, what)}
    if as_json:
        version = found.pop("schema")
        say_json("list", found if what is None else {what: found[what]}, version)
        return
    shown = console(None if sys.stdout.isatty() else 140)
    for number, kind in enumerate(KINDS if what is None else (what,)):
        if number:
            shown.print()
        shown.print(_TABLES[kind](found))
    if what in (None, "attacks"):
        shown.print(f"\n{found['note']}")


@click.command(epilog=examples("schema grid", "schema training"))
@click.argument("what", type=click.Choice(SCHEMAS))
def schema(what: str) -> None:
    """Print the JSON Schema of a grid or a training.

    Editors complete and check TOML files with it.
    """
    from evaluation.grid.schema import grid_schema, training_schema

    found = grid_schema() if what == "grid" else training_schema()
    for line in json.dumps(found, indent=2).splitlines():
        say(line)


def _named(every: list[dict[str, Any]], name: str, what: str) -> list[dict[str, Any]]:
    """Return what has a name; refuse one that nothing has."""
    known = dict.fromkeys(each.get("name") or each["key"] for each in every)
    if name not in known:
        raise InputError(f"expected one of the {what}, got {name!r}{nearest(name, known)}")
    return [each for each in every if name in (each.get("name"), each.get("key"))]


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> "Table":
    """Return a table for the terminal; of the first two columns no word is broken."""
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, no_wrap=number < 2 or column == "time per cell")
    for row in rows:
        table.add_row(*map(cell, row))
    return table


def _tasks(found: Mapping[str, Any]) -> "Table":
    rows = [
        ("task", each["name"], f"{', '.join(each['columns'])}; {', '.join(each['metrics'])}")
        for each in found["tasks"]
    ]
    if len(rows) > 1:
        rows += [("strategy", each, "how clients and server train") for each in found["strategies"]]
        models = ", ".join(found["models"])
        rows.append(("model", models, "or a transformers directory, or a hub name"))
    return _table(("kind", "name", "what it is"), rows)


def _mechanisms(found: Mapping[str, Any]) -> "Table":
    columns = ("kind", "name", "what it is", "parameters", "or, with a target")
    return _table(
        columns,
        (
            (
                "mechanism",
                each["name"],
                each["what"],
                parameters(each["parameters"]),
                parameters(each["with_target"]) if each["targets"] else "-",
            )
            for each in found["mechanisms"]
        ),
    )


def _attacks(found: Mapping[str, Any]) -> "Table":
    columns = ("kind", "name", "what it is", "parameters", "time per cell")
    return _table(
        columns,
        (
            (
                f"{each['family']} (baseline)" if each["baseline"] else each["family"],
                each["name"],
                each["what"],
                parameters(each["parameters"]),
                each["time"],
            )
            for each in found["attacks"]
        ),
    )


def _keys(found: Mapping[str, Any]) -> "Table":
    columns = ("section", "key", "type", "default", "what it is")
    return _table(columns, ([each[name] for name in KEY] for each in found["keys"]))


KEY = ("section", "key", "type", "default", "what")
_TABLES = {"tasks": _tasks, "attacks": _attacks, "mechanisms": _mechanisms, "keys": _keys}


def parameters(each: Iterable[Mapping[str, Any]]) -> str:
    """Return parameters with their defaults; one without has to be given.

    >>> parameters([{"name": "rate"}, {"name": "keep", "default": None}])
    'rate, keep = none'
    """
    told = []
    for one in each:
        value = json.dumps(one["default"]) if one.get("default") is not None else "none"
        told.append(one["name"] + (f" = {value}" if "default" in one else ""))
    return ", ".join(told) or "none"
