"""Parts that several commands share: types of options, quiet libraries, one-line complaints."""

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import click

from fedbert.errors import InputError
from reports.terminal import console, say

T = TypeVar("T")
RUNS = Path("runs")
FILE = click.Path(path_type=Path)
ALLOW_CODE = click.option(
    "--allow-code", is_flag=True, help='Import and run what the file names as "module:Class".'
)

WORKERS = click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Cells side by side, in processes of one thread each.",
)
ACCEPT_CHANGES = click.option(
    "--accept-changes",
    is_flag=True,
    help="Go on with a run although data, code or libraries changed since it began.",
)
AS_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print JSON, with the version of its form."
)
QUIET = click.option(
    "-q", "--quiet", "silent", is_flag=True, help="No word but warnings and errors."
)
LOADING = "loading torch, transformers, model and data"
OUT = click.option("--out", type=FILE, help="Run directory [default: runs/NAME].")


def complete_run(_: click.Context, __: click.Parameter, begun: str) -> list[Any]:
    """Return the folders below `runs/` that complete what was begun, else any folder."""
    from click.shell_completion import CompletionItem

    found = sorted(str(each.parent) for each in RUNS.glob("*/records.jsonl"))
    return [CompletionItem(each) for each in found if each.startswith(begun)] or [
        CompletionItem(begun, type="dir")
    ]


def examples(*commands: str) -> str:
    """Return what stands under a help text: commands that can be typed as they stand."""
    lines = "\n".join(f"  fedbert-eval {each}" for each in commands)
    return f"\b\nExamples:\n{lines}"


def say_json(command: str, values: Mapping[str, Any], schema: int = 1) -> None:
    """Print values as JSON, for machines: first the version of their form, and whose they are.

    schema: rises when a key changes its meaning or goes.
    """
    whole = {"schema": schema, "command": command, **values}
    for line in json.dumps(whole, indent=1, allow_nan=False).splitlines():
        say(line, always=True)


RUNNING = [
    WORKERS,
    click.option("--dry-run", is_flag=True, help="Say what would run, at what price, and stop."),
    ALLOW_CODE,
    ACCEPT_CHANGES,
    QUIET,
    AS_JSON,
]
"""What the commands that run grids have in common."""


def refuse_json(as_json: bool, dry_run: bool) -> None:
    """Raise InputError for --json of what is going to run for hours."""
    if as_json and not dry_run:
        raise InputError("expected --json with --dry-run (else: `report RUN --json`), got it alone")


def duration(seconds: float) -> str:
    """Return seconds in words.

    >>> duration(42.4), duration(200), duration(7300)
    ('42 s', '3 min 20 s', '2 h 1 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def with_options(options: list[Callable[[Any], Any]]) -> Callable[[Any], Any]:
    """Return a decorator that gives a command these options and arguments, in this order."""

    def decorate(function: Any) -> Any:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def or_refuse(call: Callable[[], T]) -> T:
    """Return what a function of `reports` returns; its complaints are the user's input."""
    try:
        return call()
    except (ValueError, FileNotFoundError, NotADirectoryError) as error:
        raise InputError(str(error)) from None


def both_or_none(rate: float | None, steps: int | None) -> tuple[float, int] | None:
    """Return --sample-rate and --steps of DP-SGD, where they are given.

    >>> both_or_none(None, 10)
    Traceback (most recent call last):
    fedbert.errors.InputError: expected both or none, got --steps 10 without --sample-rate
    """
    if rate is not None and steps is not None:
        return rate, steps
    if rate is not None:
        raise InputError(f"expected both or none, got --sample-rate {rate} without --steps")
    if steps is not None:
        raise InputError(f"expected both or none, got --steps {steps} without --sample-rate")
    return None


def patient() -> None:
    """Have threads that wait for each other sleep: torch's would spin, at the cost of whoever is
    beside. To be called before torch is there; what the user's environment says stands.
    """
    if not any(name in os.environ for name in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")):
        os.environ["OMP_WAIT_POLICY"] = "passive"


def quiet() -> None:
    """Keep libraries from talking over the progress."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for library in ("HUB", "DATASETS"):
        os.environ.setdefault(f"HF_{library}_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # retries, a line each


def print_markdown(lines: Iterable[str]) -> None:
    """Print Markdown: its tables laid out on a terminal, as it is into a file or a pipe."""
    if not sys.stdout.isatty():
        for line in lines:
            say(line)
        return
    from reports.layout import from_markdown

    shown = console()
    for is_table, group in groupby(lines, lambda line: line.startswith("|")):
        if is_table:
            shown.print(from_markdown(group))
        else:
            text = re.sub(r"(?<=\S)\n(?=\S)", " ", "\n".join(group))  # lines of one paragraph
            shown.print(text)


def print_tables(tables: list[Any], width: int) -> None:
    """Print tables as wide as the terminal, or so wide where there is none."""
    shown = console(None if sys.stdout.isatty() else width)
    for table in tables:
        shown.print(table)
