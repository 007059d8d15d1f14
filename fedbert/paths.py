"""Real paths: what lies in a directory once every link on the way is followed."""

import os
from pathlib import Path

from fedbert.errors import InputError


def within(directory: Path, path: Path) -> bool:
    """Return whether a path lies in a directory, or is it, once all links are followed.

    >>> within(Path("a"), Path("a/b/../c")), within(Path("a"), Path("a/../c"))
    (True, False)
    """
    try:
        return path.resolve().is_relative_to(directory.resolve())
    except (OSError, RuntimeError, ValueError):  # links in a circle, a null character
        return False


def refuse_links_out(directory: Path) -> None:
    """Refuse a directory with a link out of it, or with what is neither a file nor a directory.

    A snapshot of the hub's cache consists of links to the blobs beside it; those count as its own.

    Raises:
        InputError: naming the first such path, and where it leads.
    """
    real = directory.resolve()
    rooms = [real] + ([real.parents[1] / "blobs"] if real.parent.name == "snapshots" else [])
    for folder, folders, files in os.walk(directory):
        for path in (Path(folder) / name for name in sorted([*folders, *files])):
            if path.is_symlink() and not any(within(room, path) for room in rooms):
                raise InputError(
                    f"expected files in {directory} alone, got a link out of it: "
                    f"{path} leads to {os.readlink(path)}"
                )
            if not (path.is_file() or path.is_dir()):
                raise InputError(f"expected files and directories, got neither at {path}")
