"""Log of a run folder, `run.log`: what was run and when, versions, warnings, each cell's end.

A line each, in UTC, appended when a run goes on. No folder of the machine stands in it, no text of
the data, no message of an exception (which may quote either), and no key: what is written down is
made of what is known to hold none, and nothing is searched for what does.
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
OURS = ("evaluation.auditing.live.", "privacy.")
"""Loggers whose warnings are about settings; any other may quote data, and is named alone."""
PUBLIC = "public"
"""Attribute of a warning's record: what of it may be written down."""
OPTION = re.compile(r"--?[a-z][a-z-]*")
TRACEBACK = "Traceback (most recent call last):"
KIND = re.compile(r"([A-Za-z_][\w.]*)(?::|$)")
STOPPED = re.compile(r"stopped by its (?:noise|canaries): round [0-9]+(?=: )")


def word(text: str) -> str:
    """Return what of an argument is written down: of a path the last part, whose folder is private.

    >>> [word(each) for each in ("--out=/srv/My Data/Jo Doe/runs", "../../home/jo/grid.toml", "2")]
    ['--out=runs', 'grid.toml', '2']
    """
    name, is_option, value = text.partition("=")
    if OPTION.fullmatch(name):
        return f"{name}{is_option}{last_part(value)}"
    return last_part(text)


def last_part(text: str) -> str:
    """Return the last part of what may be a path; of somebody's home its mark alone."""
    parts = [part for part in re.split(r"[/\\]", text) if part]
    if not parts or parts[-1].startswith("~") or Path(text) == Path.home():
        return "~" if parts else text
    return parts[-1]


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
        self.note(f"began: fedbert-eval {' '.join(map(word, command))}")

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
            code = getattr(error, "code", None)
            self.note(f"ended with code {code}" if isinstance(code, int) else "ended with an error")
        else:
            self.note("interrupted" if issubclass(kind, KeyboardInterrupt) else kind.__name__)

    def emit(self, record: logging.LogRecord) -> None:
        """Note a warning, once: in the words that it has for it, or in its own of settings."""
        said = getattr(record, PUBLIC, None)
        if said is None and record.name.startswith(OURS) and not record.exc_info:
            said = record.getMessage()
        self.warned([said or f"of {record.name}; its words may quote data"])

    def warned(self, texts: Sequence[str]) -> None:
        """Note warnings that were not noted, in words without folders and data."""
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
        labels = {key: last_part(value) for key, value in record.labels.items()}
        parts = [labels[key] for key in keys if labels.get(key, "-") != "-"]
        name = " ".join([*parts, f"seed {labels['seed']}"])
        name += phrase(further_labels(labels))
        self.note(f"cell {record.cell}: {name}: {fate(record)}")

    def _line(self, text: str) -> str:
        return f"{self.now():%Y-%m-%dT%H:%M:%SZ} {one_line(text)}\n"

    def _write(self, lines: Sequence[str]) -> None:
        if self.path is None:
            self.lines += lines
            return
        with appending(self.path) as file:
            file.write("".join(lines).encode("utf-8", "backslashreplace"))


def fate(record: CellResult) -> str:
    """Return what became of a cell; of an exception its kind alone, of a fault what found it.

    The kind is that of the first traceback, whose frames are indented: any later line may be part
    of a message.
    """
    if record.status == "done":
        return f"done in {sum(record.seconds.values()):.0f} s"
    if record.status == "skipped":
        return f"skipped: {record.reason}"
    stopped = STOPPED.match(record.traceback)
    if stopped:
        return f"{stopped[0]}; its record has the evidence"
    if record.reason:  # of a worker that did not end it
        return f"failed: {record.reason}"
    first, *after = record.traceback.split("\n")
    own = next((line for line in after if not line.startswith(" ")), "")
    kind = KIND.match(own) if first == TRACEBACK else None
    return f"failed{f': {kind[1]}' if kind else ''}; its record has the traceback"
