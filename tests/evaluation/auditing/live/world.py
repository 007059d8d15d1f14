"""Small trainings under a live audit, as tests and published figures run them."""

from typing import Any

import numpy as np

from evaluation.auditing.canaries.planted_texts import PlantedTexts
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
    noise_too: bool = True,
) -> tuple[Trained | None, LiveAudit, list[State]]:
    """Return a training under a live audit, and its states.

    absent: no canary is there. noise_too: else the noise itself is not looked at, canaries alone.
    """
    prepared = tiny.prepared_for(config)
    noise = noise_of(config, prepared, defence)
    audit = LiveAudit(asked, config, prepared, defence, noise, start)
    if absent and audit.canaries is not None:
        audit.canaries.coins[:] = False
        if not isinstance(audit.canaries, PlantedTexts) and audit.canaries.fresh is not None:
            audit.canaries.fresh.of = lambda count, *_: np.zeros(count, dtype=bool)
    if not noise_too:
        audit.test = None
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
