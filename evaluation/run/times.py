"""Times of a run: where each command's seconds went, and which of them are dead.

Dead is whatever is neither training, nor its judgement (evaluating, attacking): loading, checking,
preparing, accounting, writing, drawing. Workers that wait for the last cell are told apart.
"""

import json
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TIMES = "times.json"
"""The file of a run directory that holds them: a list, an entry for each command."""

ATTACKS = ("membership", "inversion", "updates", "pooled")
LIVE = ("train", "evaluate", *ATTACKS)


def start_before(directory: Path) -> float | None:
    """Return the seconds until the first cell of the last command on a run; None where unknown."""
    try:
        found = json.loads((directory / TIMES).read_text(encoding="utf-8"))[-1]["seconds"]["start"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
    return float(found) if isinstance(found, int | float) else None


@dataclass
class Times:
    """One command's times, in seconds; those of cells are sums over the workers.

    start: until the first cell is begun. cells: by phase. beside: wall time while cells ran.
    """

    workers: int
    began: float = field(default_factory=time.monotonic)
    start: float = 0.0
    count: int = 0
    cells: Counter[str] = field(default_factory=Counter)
    beside: float = 0.0
    report: float = 0.0

    def started(self) -> None:
        """Hear that the first cell is begun."""
        self.start = time.monotonic() - self.began

    def cell(self, seconds: Mapping[str, float]) -> None:
        """Hear what the phases of a cell took."""
        self.count += 1
        self.cells.update(seconds)

    def ended(self) -> None:
        """Hear that the last cell has ended."""
        self.beside = time.monotonic() - self.began - self.start

    def reported(self) -> None:
        """Hear that the report is made."""
        self.report = time.monotonic() - self.began - self.start - self.beside

    @property
    def dead(self) -> float:
        """The seconds that no cell was trained or judged in, for want of what comes before."""
        beside = sum(took for phase, took in self.cells.items() if phase not in LIVE)
        return self.start + beside + self.report

    @property
    def idle(self) -> float:
        """The seconds in which workers had no cell while others did."""
        return max(0.0, self.workers * self.beside - sum(self.cells.values()))

    def to_json(self) -> dict[str, Any]:
        """Return them as plain JSON."""
        seconds = {"start": self.start, **self.cells, "report": self.report, "idle": self.idle}
        trained = self.cells["train"]
        return {
            "cells": self.count,
            "workers": self.workers,
            "seconds": {phase: round(took, 3) for phase, took in seconds.items()},
            "dead": round(self.dead, 3),
            "dead_share_of_training": round(self.dead / trained, 4) if trained else None,
        }

    def sentence(self) -> str:
        """Return them in a line."""
        attacks = sum(self.cells[phase] for phase in ATTACKS)
        told = f"train {self.cells['train']:.0f} s, evaluate {self.cells['evaluate']:.0f} s"
        told += f", attack {attacks:.0f} s"
        share = f" ({self.dead / self.cells['train']:.1%} of train)" if self.cells["train"] else ""
        return f"time of {self.count} cells: {told}; all else {self.dead:.1f} s{share}"

    def note(self, directory: Path) -> None:
        """Add them to those of earlier commands; what cannot be read is begun anew."""
        from evaluation.run.files import write_json

        path = directory / TIMES
        try:
            before = json.loads(path.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError, RecursionError):
            before = []
        write_json(path, [*(before if isinstance(before, list) else []), self.to_json()])
