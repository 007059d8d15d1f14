"""Live audit of one cell of a grid: as of a training, and nothing where none is asked for."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from evaluation.auditing.live.audit import FaultError, LiveAudit
from evaluation.auditing.live.claims import spent
from evaluation.grid.defence import facts_of
from evaluation.grid.spec import Cell
from fedbert.messages import Listener
from fedbert.prepare import Prepared
from fedbert.trainer import State, Trained, train
from privacy.accounting import ledger
from privacy.defence import Defence
from privacy.guarantee import Entry
from privacy.randomness.source import NoiseSource

OnRound = Callable[[State], None]


class WatchedCell:
    """Trains a cell under the audit that it asks for."""

    def __init__(
        self,
        cell: Cell,
        prepared: Prepared,
        defence: Defence,
        noise: NoiseSource,
        claims: Sequence[Entry],
    ) -> None:
        """Begin; claims: of all rounds."""
        self.cell, self.prepared, self.defence, self.noise = cell, prepared, defence, noise
        claim = spent(claims)
        self.claimed = None if claim is None else claim[0]
        self.audit: LiveAudit | None = None
        if cell.audit.asked:
            self.audit = LiveAudit(cell.audit, cell.config, prepared, defence, noise)

    def train(self, listeners: Iterable[Listener], on_round: OnRound | None) -> Trained:
        """Return the training, of which listeners and `on_round` hear as well.

        Raises:
            FaultError: with what was seen until then.
        """
        audit = self.audit
        prepared = self.prepared if audit is None else audit.prepared
        fleet = None if audit is None else audit.fleet

        def heard(state: State) -> None:
            if on_round is not None:
                on_round(state)
            if audit is not None:
                audit.round(state, self._claim(state.round), self.cell.delta)

        try:
            return train(
                self.cell.config, prepared, self.defence, listeners=listeners, noise=self.noise,
                on_round=on_round if audit is None else heard, fleet=fleet,
            )  # fmt: skip
        except FaultError as fault:
            fault.curve = self.curve(fault.line)
            raise

    def curve(self, fault: str = "") -> dict[str, Any]:
        """Return what was spent and shown by round; nothing without an audit."""
        return {} if self.audit is None else self.audit.curve(self.claimed, fault)

    def _claim(self, round_: int) -> tuple[float, float] | None:
        """Return what was spent by a round."""
        cell = self.cell
        facts = facts_of(cell.config, self.prepared, cell.defence, cell.delta, round_)
        return spent(list(ledger(self.defence, facts).values()))
