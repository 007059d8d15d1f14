"""Parts that several commands share: types of options, quiet libraries, one-line complaints."""

import logging
import os
import sys
from collections.abc import Callable, Iterable
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
    """Print Markdown: laid out on a terminal, as it is into a file or a pipe."""
    text = "\n".join(lines)
    if not sys.stdout.isatty():
        click.echo(text)
        return
    from rich.console import Console
    from rich.markdown import Markdown

    Console().print(Markdown(text))


def print_tables(tables: list[Any], width: int) -> None:
    """Print tables as wide as the terminal, or so wide where there is none."""
    from rich.console import Console

    console = Console(width=None if sys.stdout.isatty() else width)
    for table in tables:
        console.print(table)
