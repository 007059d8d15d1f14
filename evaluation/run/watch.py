"""Watch over one training as its rounds end: its live audit, its limit on epsilon, its curve."""

import math
from pathlib import Path
from typing import Any

from evaluation.auditing.live.audit import ALPHA, FaultError, LiveAudit
from evaluation.auditing.live.claims import largest, spent
from evaluation.grid.launches import Launches
from evaluation.run.files import write_json
from evaluation.run.saver import Saver
from evaluation.run.training_file import TrainingFile
from fedbert import stopped
from fedbert.disk.writer import write_whole
from fedbert.errors import InputError
from fedbert.fleet import Fleet
from fedbert.manifest import mark_faulty
from fedbert.prepare import Prepared
from fedbert.trainer import State
from privacy.guarantee import Entry
from privacy.randomness.source import NoiseSource

CURVE, FIGURE = "live.json", "live.png"
"""Files of a run folder: spent epsilon and empirical bound by round, and the same drawn."""


class LimitError(Exception):
    """The next round would pass max_epsilon; state: after the last one."""

    def __init__(self, line: str, state: State) -> None:
        """Hold what to print, and where the training ended."""
        super().__init__(line)
        self.state = state


class Watch:
    """A training's live audit, if one is asked for, and its limit on epsilon, if it has one."""

    def __init__(
        self,
        settings: TrainingFile,
        saver: Saver,
        out: Path,
        noise: NoiseSource,
        start: State | None,
    ) -> None:
        """Begin, or go on; noise: the training's.

        Raises:
            InputError: for canaries that cannot be planted, or a limit where nothing is claimed.
        """
        self.settings, self.saver, self.out = settings, saver, out
        self.prepared: Prepared = saver.prepared
        self.fleet: Fleet | None = None
        self.audit: LiveAudit | None = None
        self._made: dict[tuple[int, Launches], list[Entry]] = {}
        if settings.audit.asked:
            self.audit = LiveAudit(
                settings.audit, settings.config, saver.prepared, saver.defence, noise, start
            )
            self.prepared, self.fleet = self.audit.prepared, self.audit.fleet
        elif start is not None and "audit" in start.plain:
            raise InputError(
                "audit: expected the canaries that this training began with, got canaries=0"
            )
        if settings.max_epsilon is not None and largest(self._of(1)) is None:
            raise InputError(
                f"expected a defence that claims an epsilon beside max_epsilon, got "
                f"{saver.defence.name!r}"
            )

    def full(self, done: int, launches: Launches | None = None) -> str | None:
        """Return, in a line, that the next round would pass max_epsilon; None: it would not.

        launches: others than those so far.

        Raises:
            InputError: that is the first one.
        """
        most, rounds = self.settings.max_epsilon, self.settings.config.training.rounds
        if most is None or done >= rounds:
            return None
        following = largest(self._of(done + 1, launches))
        if following is not None and following <= most:
            return None
        if following is None:
            following = math.inf
        if done == 0:
            told = f"expected max_epsilon >= {following:.4g}, that of one round"
            raise InputError(f"{self.settings.where}: {told}, got max_epsilon={most:g}")
        return (
            f"stopped after round {done} of {rounds}: one more would come to epsilon "
            f"{following:.4g}, max_epsilon is {most:g}"
        )

    def round(self, state: State) -> None:
        """Hear that a round ended: look at the canaries, save, draw, and see whether it is enough.

        Raises:
            FaultError: the claim cannot stand; nothing of the round is saved.
            LimitError: the next round would pass max_epsilon; this one is saved.
        """
        if self.audit is not None:
            claim = spent(self._of(state.round))
            self.audit.round(state, claim, self.settings.delta)
            write_json(self.out / CURVE, self._curve())
        ended = self.full(state.round)
        self.saver.round(state, last=ended is not None)
        if ended is not None:
            raise LimitError(ended, state)

    def faulty(self, fault: FaultError) -> None:
        """Note a fault in the run folder, and on a checkpoint there."""
        stopped.note(self.out, f"{fault.line}: the claim cannot stand")
        if self.saver.directory.exists():
            mark_faulty(self.saver.directory, fault.line)
        write_json(self.out / CURVE, self._curve(fault.line))
        self._draw(fault.line)

    def lines(self) -> list[str]:
        """Return what is to be said of the audit at the end, its figure drawn."""
        if self.audit is None or not self.audit.points:
            return []
        self._draw()
        last, shown = self.audit.points[-1], self.audit.shown()
        told = [f"live audit at level {ALPHA:g}: no fault found in {shown['rounds']} rounds"]
        if "bound" in last:
            claimed = "nothing is" if last["epsilon"] is None else f"{last['epsilon']:.4g} is"
            told.append(
                f"{shown['canaries']} canary {shown['kind']}: {last['right']} of {last['guesses']} "
                f"guesses right, which shows epsilon >= {last['bound']:.3g} where {claimed} claimed"
            )
        if "canary_log_wealth" in last:
            power = last["canary_log_wealth"] / math.log(10)
            told.append(f"evidence of single rounds by canaries 10^{power:.1f}")
        if "log_wealth" in last:
            power = last["log_wealth"] / math.log(10)
            told.append(
                f"noise of {shown['releases']} releases looked at as it was added: evidence "
                f"against it 10^{power:.1f}"
            )
        return ["; ".join(told), f"live audit, drawn: {self.out / FIGURE}"]

    def _of(self, round_: int, launches: Launches | None = None) -> list[Entry]:
        """Return the claims after so many rounds; made once for each."""
        key = round_, launches or self.saver.launches
        if key not in self._made:
            self._made[key] = self.saver.entries(*key)
        return self._made[key]

    def _curve(self, fault: str = "") -> dict[str, Any]:
        """Return what the run's file holds of the audit."""
        if self.audit is None:
            return {}
        claim = spent(self._of(self.settings.config.training.rounds))
        return self.audit.curve(claim and claim[0], fault)

    def _draw(self, fault: str = "") -> None:
        from reports.drawing.screen import png
        from reports.figures.live import describe_live, live_data

        data = live_data(self._curve(fault))
        write_whole(self.out / FIGURE, png(data, "curves:draw_live", describe_live(data)))
