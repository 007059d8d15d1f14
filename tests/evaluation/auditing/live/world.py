"""Small trainings under a live audit, as tests and published figures run them."""

from typing import Any

from evaluation.auditing.live.audit import LiveAudit
from evaluation.grid.audit import AuditSettings
from fedbert.config import Config
from fedbert.noise import noise_of
from fedbert.trainer import State, Trained, train
from privacy.defence import Defence
from tests.fedbert import tiny

DELTA = 1e-5
MANY = AuditSettings(canaries=20)
CLAIM = 30.0, DELTA


def audited(
    config: Config,
    defence: Defence,
    asked: AuditSettings = MANY,
    start: State | None = None,
    absent: bool = False,
    stop: int | None = None,
) -> tuple[Trained | None, LiveAudit, list[State]]:
    """Return a training under a live audit, and its states; absent: no canary is there."""
    prepared = tiny.prepared_for(config)
    noise = noise_of(config, prepared, defence)
    audit = LiveAudit(asked, config, prepared, defence, noise, start)
    if absent and audit.canaries is not None:
        audit.canaries.coins[:] = False
    states: list[State] = []

    def on_round(state: State) -> None:
        audit.round(state, CLAIM, DELTA)
        states.append(state)
        if state.round == stop:
            raise InterruptedError

    settings: dict[str, Any] = {"fleet": audit.fleet, "noise": noise, "start": start}
    try:
        found = train(config, audit.prepared, defence, on_round=on_round, **settings)
    except InterruptedError:
        found = None
    return found, audit, states
