"""List of the records most at risk: a file of its owner's alone, in no page and no export."""

import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from fedbert.disk.writer import write_whole
from fedbert.errors import InputError

COLUMNS = ("rank", "row", "loss_iqr", "visits", "leverage", "lira")
HEADER = ",".join(COLUMNS)


def check_place(path: Path, shared: Iterable[Path]) -> None:
    """Refuse a place for the list that is no file's, holds another file, or is handed on.

    shared: folders that others may be given: a checkpoint's, an export's, a card's.

    Raises:
        InputError: in one line.
    """
    for folder in shared:
        if path.resolve().is_relative_to(folder.resolve()):
            raise InputError(
                f"expected --records outside of {folder}, which may be handed on, got {path}"
            )
    if path.is_dir():
        raise InputError(f"expected a file for --records, got the directory {path}")
    if path.is_symlink() or (path.exists() and not path.is_file()):
        raise InputError(f"expected a plain file for --records, got another thing at {path}")
    above = next(each for each in path.absolute().parents if each.exists())
    if not above.is_dir():
        raise InputError(f"expected a folder above {path} for --records, got the file {above}")
    if not path.exists():
        return
    with path.open("rb") as file:
        first = file.readline(200).decode(errors="replace").strip()
    if first != HEADER:
        raise InputError(f"expected a new file, or an earlier list, for --records, got {path}")


def write_list(path: Path, order: np.ndarray, columns: dict[str, np.ndarray]) -> Path:
    """Write the records of `order` [record] from the first rank down, and return the path.

    columns: by name, as in COLUMNS, each [record]; NaN where something was not measured. The file
    is its owner's alone.

    Raises:
        OSError: naming the path, where it cannot be written.
    """
    lines = [HEADER]
    for rank, record in enumerate(order, start=1):
        cells = [_cell(columns[name][record]) for name in COLUMNS[1:]]
        lines.append(",".join([str(rank), *cells]))
    return write_whole(path, ("\n".join(lines) + "\n").encode())


def _cell(value: float) -> str:
    """Return a number as it stands in the list; nothing for one that is not there."""
    if isinstance(value, int | np.integer):
        return str(int(value))
    return "" if math.isnan(value) else f"{float(value):.6g}"
