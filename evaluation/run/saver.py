"""Saver of one training: writes checkpoints and reports as rounds end, and knows what was spent."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evaluation.grid.defence import costs, facts_of
from evaluation.grid.launches import Launches
from evaluation.run.journal import Journal
from evaluation.run.training_file import TrainingFile
from fedbert.checkpoint import save
from fedbert.prepare import Prepared
from fedbert.receiving import Receipts
from fedbert.schedule import planned_updates
from fedbert.setting_types import ONE_MESSAGE
from fedbert.trainer import RECEIPTS, State
from privacy.accounting import ledger
from privacy.defence import Defence
from privacy.facts import TrainingFacts
from privacy.guarantee import Entry
from privacy.users import further_claims
from reports.received import line

REPEATABLE = (
    "noise: repeatable, so that whoever has seed and settings can take it off; each claim holds "
    "for secret noise of the same kind"
)

Say = Callable[[int, float | None, float], None]
"""Hears of every round: its number, its loss, and the seconds that are left."""


@dataclass
class Saver:
    """Saves and reports as rounds end."""

    settings: TrainingFile
    prepared: Prepared
    defence: Defence
    directory: Path
    every: int
    say: Say
    journal: Journal
    launches: Launches
    first: int = 0
    received: dict[str, Any] = field(default_factory=dict)  # what became of the updates
    clock: float = field(default_factory=time.monotonic)

    @property
    def following(self) -> Launches:
        """The launches with this one, where its noise is fresh and it has rounds to train."""
        config = self.settings.config
        if config.noise == "secret" and self.first < config.training.rounds:
            return self.launches.began(self.first, self.every)
        return self.launches

    def began(self) -> None:
        """Count this launch, before anything is sent."""
        if self.following != self.launches:
            self.launches = self.following
            self.journal.write(self.launches)

    def round(self, state: State, last: bool = False) -> None:
        """Hear that a round ended; last: none comes after it."""
        rounds = self.settings.config.training.rounds
        if RECEIPTS in state.plain:
            expected = planned_updates(self.settings.config)
            self.received = Receipts.from_json(state.plain[RECEIPTS]).told(expected)
        if state.round % self.every == 0 or state.round == rounds or last:
            launches = self.launches
            if launches.each:
                launches = launches.ended(state.round) if last else launches.saved(state.round)
            self._write(state, launches)
        spent = time.monotonic() - self.clock
        left = spent / (state.round - self.first) * (rounds - state.round)
        self.say(state.round, state.losses[-1] if state.losses else None, left)

    def nothing_more(self, state: State) -> None:
        """Save again where this launch sends nothing: the one before it may have sent more."""
        before = self.launches.each
        if self.following == self.launches or (before and before[-1].every == 0):
            return
        self.launches = self.launches.began(self.first, 0)
        self._write(state, self.launches)

    def _write(self, state: State, launches: Launches) -> None:
        save(
            self.directory,
            self.settings.config,
            self.prepared,
            state,
            self.settings.asked(),
            self.costs(state.round),
            [entry.to_json() for entry in self.entries(state.round)],
            launches.to_json(),
        )
        self.launches = launches
        if launches.each:
            self.journal.write(launches)

    def costs(self, round_: int) -> list[dict[str, Any]]:
        """Return what has been spent by a round: each mechanism's cost and its releases."""
        return costs(self.defence, self._facts(round_))

    def entries(self, round_: int, launches: Launches | None = None) -> list[Entry]:
        """Return what follows for each of the five views; launches: others than those so far."""
        facts = self._facts(round_, launches)
        return [*ledger(self.defence, facts).values(), *further_claims(self.defence, facts)]

    def notes(self) -> list[str]:
        """Return what has to be said besides: of the claims, and of updates that were not taken."""
        told = line(self.received)
        return [*self._of_claims(), *([told] if told else [])]

    def _of_claims(self) -> list[str]:
        config, restarts = self.settings.config, self.launches.restarts
        claims = self.costs(config.training.rounds)
        if config.noise == "repeatable" and claims:
            return [REPEATABLE]
        again = self.launches.redone(config.training.rounds)
        if not (restarts and claims):
            return []
        if config.training.strategy == ONE_MESSAGE:
            return [
                f"begun {restarts + 1} times: each may have sent every message afresh, and all "
                "are counted"
            ]
        return [
            f"begun {restarts + 1} times: up to {again} rounds were done again under fresh noise, "
            "and what they sent is counted once more"
        ]

    def _facts(self, round_: int, launches: Launches | None = None) -> TrainingFacts:
        settings = self.settings
        return facts_of(
            settings.config,
            self.prepared,
            settings.defence,
            settings.delta,
            round_,
            launches or self.launches,
        )
