"""Arrow tables: parquet, Arrow files and streams, with the label names that `datasets` writes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fedbert.data.tables import Table, check_different, location, unreadable
from fedbert.errors import InputError

_MAGIC = b"ARROW1"
"""How an Arrow file begins; a stream, as `save_to_disk` writes it, does not."""


def read_parquet(path: Path) -> Table:
    """Return a parquet file's columns; a folder's name adds none."""
    import pyarrow.parquet as pq

    def read() -> Any:
        with pq.ParquetFile(path) as file:
            return file.read()

    return _columns(path, read)


def read_arrow(path: Path) -> Table:
    """Return the columns of an Arrow file or stream."""
    import pyarrow as pa

    def read() -> Any:
        with path.open("rb") as file:
            begins = file.read(len(_MAGIC))
            file.seek(0)
            opened = pa.ipc.open_file if begins == _MAGIC else pa.ipc.open_stream
            with opened(file) as reader:
                table = reader.read_all()
        _check(table)
        return table

    return _columns(path, read)


def _check(table: Any) -> None:
    """Raise an arrow exception for lengths and offsets that point beyond the file's values."""
    import pyarrow as pa

    try:
        table.validate(full=True)
    except pa.ArrowInvalid as error:
        if "UTF8" not in str(error):  # which cell is not is found where it is read
            raise


def _columns(path: Path, read: Callable[[], Any]) -> Table:
    """Return the cells of an arrow table that is read, as Python has them."""
    import pyarrow as pa

    try:
        table = read()
        names = [str(name) for name in table.schema.names]
        metadata = table.schema.metadata or {}
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        raise unreadable(path, error) from error
    check_different(str(path), names)
    columns: dict[str, list[Any]] = {}
    for place, name in enumerate(names):
        column = table.column(place)
        try:
            columns[name] = column.to_pylist()
        except UnicodeDecodeError:
            where = location(str(path), name, _first_undecodable(column))
            raise InputError(f"expected UTF-8, got other bytes {where}") from None
        except (ValueError, OverflowError):  # such as a time that Python has no value for
            columns[name] = [None] * len(column)
    return Table(str(path), columns, _names(metadata))


def _first_undecodable(column: Any) -> int | None:
    """Return the 1-based row of the first cell of an arrow column that is not UTF-8."""
    for position, cell in enumerate(column):
        try:
            cell.as_py()
        except UnicodeDecodeError:
            return position + 1
    return None


def _names(metadata: dict[bytes, bytes]) -> dict[str, tuple[str, ...]]:
    """Return the label names of each column that has any, from what `datasets` keeps in a schema.

    >>> told = {"info": {"features": {"label": {"names": ["bad", "good"], "_type": "ClassLabel"}}}}
    >>> _names({b"huggingface": json.dumps(told).encode()})
    {'label': ('bad', 'good')}
    """
    try:
        features = json.loads(metadata[b"huggingface"])["info"]["features"]
        named = {
            str(column): each["names"]
            for column, each in features.items()
            if isinstance(each, dict) and each.get("_type") == "ClassLabel"
        }
        return {column: tuple(str(name) for name in names) for column, names in named.items()}
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError):
        return {}
