"""Parts that several commands share: types of options, quiet libraries, one-line complaints."""

import logging
import os
import re
import sys
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import click

from fedbert.errors import InputError

T = TypeVar("T")
RUNS = Path("runs")
FILE = click.Path(path_type=Path)


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


def quiet() -> None:
    """Keep libraries from talking over the progress."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # retries, a line each


def print_markdown(lines: Iterable[str]) -> None:
    """Print Markdown: its tables laid out on a terminal, as it is into a file or a pipe."""
    if not sys.stdout.isatty():
        click.echo("\n".join(lines))
        return
    from rich.console import Console

    from reports.terminal import from_markdown

    console = Console()
    for is_table, group in groupby(lines, lambda line: line.startswith("|")):
        if is_table:
            console.print(from_markdown(group))
        else:
            text = re.sub(r"(?<=\S)\n(?=\S)", " ", "\n".join(group))  # lines of one paragraph
            console.print(text, markup=False, highlight=False)


def print_tables(tables: list[Any], width: int) -> None:
    """Print tables as wide as the terminal, or so wide where there is none."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else width)
    for table in tables:
        console.print(table)
