"""Stop note of a run folder: why its last training ended before its time."""

from pathlib import Path

from fedbert.disk.writer import write_whole

FILE = "stopped.txt"


def note(folder: Path, why: str) -> None:
    """Keep why a training stopped, for the next command on its folder."""
    write_whole(folder / FILE, (" ".join(why.split()) + "\n").encode())


def forget(folder: Path) -> None:
    """Take the note away: the training has come to its end."""
    (folder / FILE).unlink(missing_ok=True)


def told(folder: Path) -> str:
    """Return why the last training of a folder stopped, in a line; nothing if it did not."""
    path = folder / FILE
    return path.read_text("utf-8", "replace").strip() if path.is_file() else ""


def aside(folder: Path) -> str:
    """Return the same as the end of a sentence about the folder."""
    why = told(folder)
    return f"; the training there stopped: {why}" if why else ""
