"""`fedbert-eval show`: one cell of a run in full, as its record has it."""

from pathlib import Path

import click

from evaluation.cli.shared import (
    AS_JSON,
    FILE,
    complete_run,
    examples,
    or_refuse,
    print_tables,
    say_json,
)
from fedbert.errors import InputError
from reports.terminal import say

WIDTH = 120


@click.command(epilog=examples("show runs/mine", "show runs/mine 3", "show runs/mine 8f3a --json"))
@click.argument("run", type=FILE, shell_complete=complete_run)
@click.argument("cell", required=False)
@click.option("--traceback", is_flag=True, help="Of a failed cell: where in the code it failed.")
@AS_JSON
def show(run: Path, cell: str | None, traceback: bool, as_json: bool) -> None:
    """Show one cell of RUN in full.

    CELL is its number, or how its id begins: settings, claims by view, utility, every leak with its
    interval and chance, files. Without CELL, the cells of RUN are listed.
    """
    from reports import one_cell
    from reports.as_shown import as_shown

    records = or_refuse(lambda: as_shown(run))
    if cell is None:
        if traceback:
            raise InputError("expected --traceback with a CELL, got it alone")
        if as_json:
            found = [{"number": n, "id": e.cell, **e.labels} for n, e in enumerate(records, 1)]
            say_json("show", {"cells": found}, one_cell.SCHEMA)
        else:
            print_tables([one_cell.index(records)], WIDTH)
        return
    place = or_refuse(lambda: one_cell.chosen(records, cell))
    if as_json:
        say_json("show", one_cell.to_json(run, records, place), one_cell.SCHEMA)
        return
    if traceback:
        told = records[place].traceback.splitlines()
        for line in told or [f"cell {place + 1} is {records[place].status}: it has no traceback"]:
            say(line)
        return
    for line in one_cell.lines(run, records, place):
        say(line)
    say("")
    table = one_cell.leaks(records[place])
    if table is not None:
        print_tables([table], WIDTH)
        say("")
    for line in one_cell.rest(run, records[place]):
        say(line)
