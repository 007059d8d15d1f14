"""Log of a run folder, `run.log`: what was run and when, versions, warnings, each cell's end.

A line each, in UTC, appended when a run goes on. No folder of the machine stands in it, no text of
the data, no message of an exception (which may quote either), and no key.
"""

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any

from fedbert.disk.writer import appending
from reports.labels import further_labels, phrase
from reports.records import CellResult
from reports.terminal import one_line

FILE = "run.log"
OURS = ("evaluation.", "privacy.")
"""Loggers whose warnings are about settings; any other may quote data, and is named alone."""
FOLDERS = re.compile(r"(?<![\w.])(?:~|[A-Za-z]:)?[/\\](?=[^\s/\\])(?:[^\s/\\:;,'\"]+[/\\])*")
ERROR = re.compile(r"[A-Za-z_][\w.]*")


def without_folders(text: str) -> str:
    """Return a text in which absolute paths are names alone.

    >>> without_folders("frontier /home/me/grids/mine.toml --out runs/mine")
    'frontier mine.toml --out runs/mine'
    """
    for known in {str(Path.cwd()), str(Path.home())} - {"/"}:  # which may have blanks in them
        text = text.replace(f"{known}/", "")
    return FOLDERS.sub("", text)


class RunLog(logging.Handler):
    """The log of one command on one run folder; what comes before there is one is kept for it."""

    def __init__(self, command: Sequence[str], now: Callable[[], datetime] | None = None) -> None:
        """Begin, with the command's words."""
        super().__init__(logging.WARNING)
        self.now = now or (lambda: datetime.now(UTC))
        self.lines: list[str] = []
        self.told: set[str] = set()
        self.versions: Mapping[str, Any] = {}
        self.path: Path | None = None
        words = (Path(word).name if Path(word).is_absolute() else word for word in command)
        self.note(f"began: fedbert-eval {' '.join(words)}")

    def __enter__(self) -> "RunLog":
        """Listen to warnings."""
        logging.getLogger().addHandler(self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Say how the command ended."""
        logging.getLogger().removeHandler(self)
        if kind is None:
            self.note("ended")
        elif issubclass(kind, SystemExit):
            self.note(f"ended with code {getattr(error, 'code', None)}")
        else:
            self.note("interrupted" if issubclass(kind, KeyboardInterrupt) else kind.__name__)

    def emit(self, record: logging.LogRecord) -> None:
        """Note a warning, once."""
        ours = record.name.startswith(OURS) and not record.exc_info
        said = record.getMessage() if ours else f"of {record.name}; its words may quote data"
        self.warned([said])

    def warned(self, texts: Sequence[str]) -> None:
        """Note warnings that were not noted."""
        for text in dict.fromkeys(texts):
            if text not in self.told:
                self.told.add(text)
                self.note(f"warning: {text}")

    def open(self, directory: Path) -> None:
        """Write to the folder from now on: first versions, and what was kept."""
        if self.path is not None:
            return
        self.path = directory / FILE
        made = ", ".join(f"{name} {version}" for name, version in self.versions.items() if version)
        kept, self.lines = self.lines, []
        self._write([*kept[:1], *([self._line(f"versions: {made}")] if made else []), *kept[1:]])

    def note(self, text: str) -> None:
        """Note a line."""
        self._write([self._line(text)])

    def cell(self, record: CellResult) -> None:
        """Note a cell's end."""
        keys = ("task", "strategy", "defence", "level")
        parts = [record.labels[key] for key in keys if record.labels.get(key, "-") != "-"]
        name = " ".join([*parts, f"seed {record.labels['seed']}"])
        name += phrase(further_labels(record.labels))
        self.note(f"cell {record.cell}: {name}: {fate(record)}")

    def _line(self, text: str) -> str:
        return f"{self.now():%Y-%m-%dT%H:%M:%SZ} {one_line(without_folders(text))}\n"

    def _write(self, lines: Sequence[str]) -> None:
        if self.path is None:
            self.lines += lines
            return
        with appending(self.path) as file:
            file.write("".join(lines).encode("utf-8", "backslashreplace"))


def fate(record: CellResult) -> str:
    """Return what became of a cell; of an exception its kind alone."""
    if record.status == "done":
        return f"done in {sum(record.seconds.values()):.0f} s"
    if record.status == "skipped":
        return f"skipped: {record.reason}"
    last = (record.traceback.strip().splitlines() or [""])[-1]
    kind = ERROR.match(last)
    return f"failed: {kind[0] if kind else 'unknown'}; its record has the traceback"
