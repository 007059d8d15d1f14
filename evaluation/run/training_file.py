"""File of one training: its settings, the defence it asks for, how it is audited on the way."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from evaluation.grid.audit import NO_AUDIT, AuditSettings
from evaluation.grid.file import TrainingSettings
from evaluation.grid.foreign import defence_with_leave
from evaluation.grid.parse import read_toml
from evaluation.grid.spec import DefenceSpec
from evaluation.run.journal import Journal
from fedbert.config import Config
from fedbert.errors import InputError
from fedbert.run_key import keyed, run_key
from fedbert.settings import from_mapping
from privacy.randomness.keys import canonical_json


@dataclass(frozen=True)
class TrainingFile:
    """What a training's TOML file says; where: its name.

    audit: how it is audited while it goes on. max_epsilon: no round is begun that would pass it.
    deployment: the user's words for its disclosure.
    """

    config: Config
    defence: DefenceSpec
    delta: float
    where: str
    audit: AuditSettings = NO_AUDIT
    max_epsilon: float | None = None
    deployment: Mapping[str, Any] = field(default_factory=dict)

    def asked(self) -> dict[str, Any]:
        """Return the defence that is asked for, as plain JSON."""
        return {**self.defence.to_json(), "delta": self.delta}

    def journal(self, out: Path, data_sha256: str) -> Journal:
        """Return the journal of what is trained on what."""
        written = canonical_json([self.config.to_json(), self.asked(), data_sha256])
        of = keyed(run_key(out), written.decode())
        return Journal(out / "launches.json", of, hashlib.sha256(written).hexdigest())


def read_training(
    path: Path | None, pretraining: bool, allow_code: bool = False, canaries: int | None = None
) -> TrainingFile:
    """Return the settings of a TOML file, or the embedded default without one.

    allow_code: mechanisms of somebody else's that it names may be imported and run. canaries: how
    many to plant, in place of what the file says.

    Raises:
        InputError: one line naming file and key; also for a task that the command does not train.
    """
    values: dict[str, Any] = {"data": {"task": "mlm"}} if pretraining else {}
    where = "default" if path is None else str(path)
    if path is not None:
        values = read_toml(path, "configuration")
        if not values:
            why = "without CONFIG the default is trained"
            raise InputError(f"{where}: expected a training, got an empty file; {why}")
    if "tasks" in values:
        raise InputError(f"{where}: expected one training, got a grid: run privacy-utility on it")
    asked = from_mapping(TrainingSettings, values, where)
    config = asked.config
    if (config.data.task == "mlm") is not pretraining:
        wanted = "task mlm for pretrain" if pretraining else "a task with labels for finetune"
        raise InputError(f"{where}: data: expected {wanted}, got task={config.data.task!r}")
    defence = defence_with_leave(asked.defence.spec(), allow_code, where)
    audit = asked.audit if canaries is None else replace(asked.audit, canaries=canaries)
    said = {} if asked.deployment is None else asked.deployment.to_json()
    return TrainingFile(config, defence, asked.delta, where, audit, asked.max_epsilon, said)
