"""Files written whole or not at all: whoever reads sees the content before or the content after.

A directory of several files that belong together is committed by `fedbert.checkpoint` in its own
way: one rename for all of them, and recovery of what a run that was killed between two left aside.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def write_whole(path: Path, content: bytes) -> Path:
    """Return the path, after the whole content has taken the place of what was there."""
    with whole(path) as draft:
        draft.write_bytes(content)
    return path


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Yield a path to write to, which takes the place of `path` when the block ends well.

    The draft carries the process id, so that two writers do not share it, and goes with an error.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield draft
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)
