"""Files of rows, read by their ending: the same columns and cells from every form."""

from collections.abc import Callable
from pathlib import Path

from fedbert.data import arrow, delimited, json_rows
from fedbert.data.glue_zip import read_official
from fedbert.data.tables import Table, check_encoding, decode, unreadable
from fedbert.errors import InputError
from fedbert.tasks import Task


def _read_text(path: Path) -> Table:
    """Return the lines of a text file as the column "text"."""
    text, valid = decode(path)
    lines = text.replace("\r\n", "\n").split("\n")
    return check_encoding(Table(str(path), {"text": lines}), valid)


READERS: dict[str, Callable[[Path], Table]] = {
    ".parquet": arrow.read_parquet,
    ".arrow": arrow.read_arrow,
    ".csv": delimited.read_csv,
    ".tsv": delimited.read_tsv,
    ".jsonl": json_rows.read_lines,
    ".json": json_rows.read_json,
    ".txt": _read_text,
}
"""What reads a file, by its ending."""


def readable(path: Path) -> bool:
    """Return whether a file's ending is that of a form that is read here."""
    return path.suffix.lower() in READERS


def read_table(path: Path, task: Task | None = None) -> Table:
    """Return the rows of a file.

    task: of a task of GLUE, the tab-separated files may be those of the official archive.

    Raises:
        InputError: naming the file, and the column, row and line where they are known.
    """
    if not readable(path):
        known = ", ".join(READERS)
        raise InputError(f"expected a file that ends with one of {known}, got {path}")
    suffix = path.suffix.lower()
    try:
        if suffix == ".tsv" and task is not None and task.tsv is not None:
            return read_official(path, task)
        return READERS[suffix](path)
    except OSError as error:
        raise unreadable(path, error) from error
