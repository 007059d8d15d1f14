"""Measurement: A and B interleaved, per-pair ratios, memory in fresh processes."""

import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One line of the table. seconds: medians of baseline and ours; ratios: one per pair."""

    name: str
    baseline: str
    seconds: tuple[float, float]
    ratios: tuple[float, ...]
    target: float | None = None
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return the line's cells."""
        middle, low, high = statistics.median(self.ratios), min(self.ratios), max(self.ratios)
        before, after = (f"{1000 * s:.0f} ms" for s in self.seconds)
        verdict = "-"
        if self.target is not None:
            verdict = f"{self.target:g} {'met' if middle <= self.target else 'MISSED'}"
        ratio = f"{middle:.3f} [{low:.3f}, {high:.3f}]"
        return (self.name, self.baseline, before, after, ratio, verdict, self.note)


HEADER = ("name", "baseline", "it takes", "ours", "ratio [min, max]", "target", "note")


def row_of(
    name: str,
    baseline: str,
    pairs: Sequence[tuple[float, float]],
    target: float | None = None,
    note: str = "",
) -> Row:
    """Return the line for (baseline, ours) seconds, measured in turn."""
    before, after = (statistics.median(side) for side in zip(*pairs, strict=True))
    return Row(name, baseline, (before, after), tuple(b / a for a, b in pairs), target, note)


def seconds(work: Callable[[], object]) -> float:
    """Return the wall time of one call."""
    start = time.process_time()
    work()
    return time.process_time() - start


def interleave(
    baseline: Callable[[], object], ours: Callable[[], object], repeats: int, calls: int = 1
) -> list[tuple[float, float]]:
    """Return (baseline, ours) seconds of so many pairs, after two unmeasured ones.

    Every member of a pair is `calls` calls in a row.
    """

    def several(work: Callable[[], object]) -> None:
        for _ in range(calls):
            work()

    pairs = [
        (seconds(lambda: several(baseline)), seconds(lambda: several(ours)))
        for _ in range(repeats + 2)
    ]
    return pairs[2:]


def _peak(work: Callable[[], object], answer: "multiprocessing.SimpleQueue[float]") -> None:
    work()
    answer.put(_highest())


def _highest() -> float:
    """Return this process's own largest resident size in gigabytes.

    Linux counts the parent's size into a child's ru_maxrss, so its own high-water mark is read.
    """
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


def peak_gigabytes(work: Callable[[], object]) -> float:
    """Return the largest resident size of a fresh process that does this work, imports included.

    Raises:
        RuntimeError: if the process fails.
    """
    context = multiprocessing.get_context("spawn")
    answer = context.SimpleQueue()
    process = context.Process(target=_peak, args=(work, answer))
    process.start()
    process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"expected exit code 0, got exitcode={process.exitcode}")
    return float(answer.get())


def table(rows: Sequence[Row]) -> str:
    """Return the lines with aligned columns."""
    cells = [HEADER, *(row.cells() for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEADER))]
    aligned = ("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) for line in cells)
    return "\n".join(line.rstrip() for line in aligned)
