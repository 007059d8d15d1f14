"""Live page: a run's report written anew as its cells end, at little cost and never in its way."""

import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

from reports.records import CellResult
from reports.terminal import say

SHARE = 0.05
"""Of a run's time, the most that goes into its page."""
DRAWING = 6.0
"""Seconds that the first drawing of figures is taken to cost."""


class LivePage:
    """Hears of every cell that ended and writes the page again, once that costs little enough.

    Figures are drawn less often than the page is written; the last page, whole and without looking
    for news, is the command's own. A page that cannot be written is told of once and stops nothing.
    """

    def __init__(self, directory: Path, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin at the time of now."""
        self.directory, self.clock = directory, clock
        self.written = self.drawn = clock()
        self.cost, self.drawing = 0.0, DRAWING
        self.told = False

    def __enter__(self) -> "LivePage":
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Where the run was stopped, leave a page that looks for no more news."""
        if kind is not None and self.cost:
            self._write(going=False, figures=False)

    def record(self, record: CellResult) -> None:
        """Hear that a cell ended."""
        now = self.clock()
        figures = SHARE * (now - self.drawn) >= self.drawing
        if figures or SHARE * (now - self.written) >= self.cost:
            self._write(going=True, figures=figures)

    def _write(self, going: bool, figures: bool) -> None:
        from reports.render import render

        start = self.clock()
        try:
            render(self.directory, going=going, figures=figures)
        except Exception as error:
            if not self.told:
                say(f"the page of the run that goes on was not written: {error}", err=True)
            self.told = True
        self.written = self.clock()
        self.cost = self.written - start
        if figures:
            self.drawn, self.drawing = self.written, self.cost
