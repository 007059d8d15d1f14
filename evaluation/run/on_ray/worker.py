"""Worker on Ray: an actor that runs one cell after another, and keeps what it has loaded."""

import json
import os
from contextlib import suppress
from importlib import import_module

from evaluation.run.attempts import Answer
from evaluation.run.on_ray.payload import packed, work_of


class CellWorker:
    """Runs cells that come as JSON; the class is made an actor by `evaluation.run.on_ray.driver`.

    Ray never starts it again by itself: what it holds would be gone without a word.
    """

    def begin(self, needed: list[str]) -> int:
        """Import what cells need, and return the process."""
        from reports.terminal import guard

        guard()
        for name in needed:
            import_module(name)
        return os.getpid()

    def work(self, asked: bytes) -> bytes:
        """Return the answer to what is asked: see `evaluation.run.on_ray.payload`."""
        told = json.loads(asked)
        with suppress(OSError):  # another machine may have no such folder, nor a need for it
            os.chdir(told["folder"])
        try:
            return packed(Answer(work_of(told)()))
        except Exception as error:
            return packed(Answer(error=error))
