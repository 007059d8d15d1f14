"""Files of settings as they are written: a grid's, a training's, and a defence within either."""

from collections import Counter
from dataclasses import field, fields
from typing import Annotated, Any, cast

from pydantic import AfterValidator, Field

from evaluation.grid.audit import NO_AUDIT, AuditSettings
from evaluation.grid.defence_file import DefenceSettings
from evaluation.grid.deployment import DeploymentSettings
from evaluation.grid.frontier import FrontierSettings
from evaluation.grid.spec import PLACES, AttackSettings
from fedbert.config import Config, DataConfig, ModelConfig
from fedbert.errors import InputError, unknown_key, within
from fedbert.fault_settings import NO_FAULTS, FaultsConfig
from fedbert.message_settings import MessageConfig
from fedbert.setting_types import CutLayer, Delta, Seed, Strategy, TaskName, Text
from fedbert.settings import (
    Distinct,
    Plain,
    PlainOrList,
    check_field,
    plain_or_tables,
    settings,
)
from fedbert.training_settings import TrainingConfig
from privacy.randomness.keys import NoiseMode

DELTA = 1e-5
UNDEFENDED = "none"
"""The name of the row without a defence."""

PARTS = {
    "model": ModelConfig,
    "data": DataConfig,
    "training": TrainingConfig,
    "message": MessageConfig,
    "faults": FaultsConfig,
}
COUNTS = ("messages", "candidates", "shadows", "population")
CUT = "model.cut_layer"
OWN = {"data.task": "tasks", "training.strategy": "strategies", "seed": "seeds"}
"""Settings that have a list of their own."""
SWEPT = (
    *(
        f"{part}.{each.name}"
        for part, kind in PARTS.items()
        for each in fields(cast(Any, kind))
        if f"{part}.{each.name}" not in (*OWN, "data.labels", "faults.clients")
    ),
    *(f"attacks.{name}" for name in COUNTS),
    "delta",
)
"""What a sweep may go over."""
SETTABLE = ("training.strategy", *(key for key in SWEPT if key.partition(".")[0] in PARTS))
"""What a defence may set for itself."""
Section = dict[str, PlainOrList]
"""A part of [model], [data], [training] or [message], before the grid's lists are put in."""
FaultSection = dict[str, Annotated[Any, AfterValidator(plain_or_tables)]]
"""The same of [faults], whose `clients` are tables."""


def _refuse_none(defence: DefenceSettings) -> None:
    """Raise InputError for a defence that has a mechanism and is called "none"."""
    place = next((each for each in PLACES if getattr(defence, each) is not None), None)
    if defence.name == UNDEFENDED and place is not None:
        raise InputError(
            f"expected another name for a defence with a mechanism at {place}, got "
            f'name = "{UNDEFENDED}", which is the undefended row\'s'
        )


@settings
class OverrideSettings:
    """What one task of a grid has of its own: settings in place of the grid's.

    model, data, training, message, faults: as the grid's.
    """

    model: Section = field(default_factory=dict)
    data: Section = field(default_factory=dict)
    training: Section = field(default_factory=dict)
    message: Section = field(default_factory=dict)
    faults: FaultSection = field(default_factory=dict)


@settings
class GridSettings:
    """A grid: every task under every strategy, cut layer, defence, level and seed.

    name: of the comparison; the file's without one.
    tasks: GLUE tasks, "own" (the columns that [data] names), or "mlm".
    strategies: who holds what: "centralised", "fedavg", "parallel" (FedBERT), "sequential", or
        "one_message" (each record is sent once).
    seeds: each makes a training of its own.
    cut_layers: how many encoder layers the clients keep, in place of model.cut_layer.
    noise: "repeatable" (from seed and training: the same result again, for whoever knows those), or
        "secret" (as for a model that leaves the machine; then no two runs are alike).
    delta: of every guarantee.
    cell_time_limit: seconds after which a cell is given up as failed; none without one.
    model, data, training: settings of every training.
    message: what a record's message is made of, in trainings by strategy one_message.
    faults: what goes wrong with clients, in every training but by strategy centralised.
    attacks: which attacks run, and on how much.
    defences: each makes a row of the comparison.
    override: settings of single tasks, by the task's name.
    sweep: further settings, each over a list of values: {"data.clients" = [4, 64]}. Any of model,
        data, training, message, faults, the numbers of attacks, and delta; each is a column of the
        tables.
    frontier: what `fedbert-eval frontier` looks for.
    deployment: what `fedbert-eval report --for` says in the user's words.
    audit: how every training is audited while it goes on.
    """

    tasks: Annotated[tuple[TaskName, ...], Field(min_length=1), Distinct]
    name: Text | None = None
    strategies: Annotated[tuple[Strategy, ...], Field(min_length=1), Distinct] = ("parallel",)
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), Distinct] = (0,)
    cut_layers: Annotated[tuple[CutLayer, ...], Field(min_length=1), Distinct] | None = None
    noise: NoiseMode = "repeatable"
    delta: Delta = DELTA
    cell_time_limit: Annotated[float | None, Field(gt=0)] = None
    model: Section = field(default_factory=dict)
    data: Section = field(default_factory=dict)
    training: Section = field(default_factory=dict)
    message: Section = field(default_factory=dict)
    faults: FaultSection = field(default_factory=dict)
    attacks: AttackSettings = AttackSettings()
    defences: Annotated[tuple[DefenceSettings, ...], Field(min_length=1)] = (
        DefenceSettings(UNDEFENDED),
    )
    override: dict[TaskName, OverrideSettings] = field(default_factory=dict)
    sweep: dict[str, Annotated[tuple[Plain, ...], Field(min_length=1), Distinct]] = field(
        default_factory=dict
    )
    frontier: FrontierSettings | None = None
    deployment: DeploymentSettings | None = None
    audit: AuditSettings = NO_AUDIT

    def __post_init__(self) -> None:
        """Check that defences have names of their own, and that a sweep is over what it may be."""
        rows = Counter(
            (one.name, level, tuple(one.set.items()))
            for one in self.defences
            for _, level in one.levels()
        )
        for (name, level, _), count in rows.items():
            if count > 1:
                shown = repr(name) if level == "-" else f"{name!r} at {level}"
                raise InputError(f"defences: expected different names, got {shown} twice")
        for one in self.defences:
            _refuse_none(one)
            for key in one.set:
                if key not in SETTABLE:
                    raise InputError(f"defences: set: {unknown_key(key, SETTABLE)}")
        if self.frontier is not None:
            for key in ("tasks", "strategies", "cut_layers", "sweep"):
                each = getattr(self, key)
                if len(each or ()) > (key != "sweep"):
                    raise InputError(f"frontier: expected a single training, got {key}={each}")
        for key, values in self.sweep.items():
            if key in OWN:
                raise InputError(f"sweep: expected {key} in its own list {OWN[key]}, got it here")
            if key not in SWEPT:
                raise InputError(f"sweep: {unknown_key(key, SWEPT)}")
            if key == CUT and self.cut_layers is not None:
                raise InputError(f"sweep: expected {CUT} in one list, got it in cut_layers too")
            part, _, name = key.partition(".")
            sections = (self, *self.override.values())
            written = part in PARTS and any(name in getattr(each, part) for each in sections)
            if part == "attacks":
                written = getattr(self.attacks, name) != getattr(AttackSettings(), name)
            if written or (key == "delta" and self.delta != DELTA):
                raise InputError(f"{key} comes from the grid's sweep, not from here")
            kind = {**PARTS, "attacks": AttackSettings}.get(part, TrainingSettings)
            with within(f'sweep."{key}"'):
                for value in values:
                    check_field(kind, name or key, value)


@settings
class TrainingSettings:
    """The file of `pretrain` and `finetune`: one training, and the defence that it runs under.

    model, data, training: its settings.
    message: what a record's message is made of, with strategy one_message.
    faults: what goes wrong with clients.
    seed: from which every draw follows, but for secret noise.
    noise: "secret" (its key is made up by the computer and forgotten), or "repeatable" (from the
        seed and all that makes the training: whoever knows those can take it off).
    delta: of every guarantee.
    max_epsilon: no round is begun with which the largest epsilon that is claimed, of any view and
        unit, would pass it; what was reached is saved.
    defence: which mechanism acts where.
    audit: how the training is audited while it goes on, and stopped.
    deployment: what `fedbert-eval report --for` says in the user's words.
    """

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    message: MessageConfig = MessageConfig()
    faults: FaultsConfig = NO_FAULTS
    seed: Seed = 0
    noise: NoiseMode = "secret"
    delta: Delta = DELTA
    max_epsilon: Annotated[float | None, Field(gt=0)] = None
    defence: DefenceSettings = DefenceSettings(UNDEFENDED)
    audit: AuditSettings = NO_AUDIT
    deployment: DeploymentSettings | None = None

    def __post_init__(self) -> None:
        """Refuse several defences."""
        for key in ("level", "set", "search", "epsilon"):
            if found := getattr(self.defence, key):
                raise InputError(f"defence: expected one setting, got {key}={found}")
        _refuse_none(self.defence)
        _ = self.config  # checks what concerns more than one part

    @property
    def config(self) -> Config:
        """Return the settings of the training itself."""
        parts = self.model, self.data, self.training
        return Config(*parts, self.seed, self.noise, self.message, self.faults)
