"""Temporary folder of one process: whatever a kill strands in it, the next command takes away."""

import shutil
import tempfile
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path

from fedbert.disk.writer import claimed, sweep

LAST = -1000
"""When it goes: after what lies in it has gone."""


@cache
def temporary_folder() -> Path:
    """Return a private folder for what libraries leave while this process lives."""
    place = Path(tempfile.gettempdir())
    sweep(place)
    folder, _ = claimed(place / "f")  # a short name: addresses of sockets have little room
    Finalize(None, shutil.rmtree, args=(folder, True), exitpriority=LAST)
    return folder
