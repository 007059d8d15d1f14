"""Grid values: which trainings, under which defences, judged by which attacks."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from evaluation.grid.audit import NO_AUDIT, AuditSettings
from evaluation.grid.catalogue import FAMILIES
from fedbert.config import Config, ModelConfig
from fedbert.errors import InputError, expect
from fedbert.setting_types import EXAMPLES
from fedbert.settings import plain, refused, settings
from privacy.selection import Selection

Scalar = str | int | float | bool
PLACES = (
    "smashed", "hidden", "hidden_gradient", "smashed_gradient", "update", "labels", "training",
    "penalty",
)  # fmt: skip
LATER = ("attributes",)
MESSAGES, SHADOWS = 100_000, 10_000
"""The most messages that are inverted, and models that an adversary trains."""


@dataclass(frozen=True)
class Spec:
    """A catalogue name with its parameters.

    code: whoever runs it has said that a name "module:Class" may be imported.
    """

    name: str
    params: tuple[tuple[str, Scalar], ...] = ()
    code: bool = field(default=False, compare=False, repr=False)


def as_written(value: Scalar) -> str:
    """Return a value as tables and TOML write it.

    >>> as_written(True), as_written(1e-05), as_written("adamw")
    ('true', '1e-05', 'adamw')
    """
    return str(value).lower() if isinstance(value, bool) else str(value)


def attack_spec(value: Any) -> Any:
    """Return the Spec of an attack as a grid file writes it.

    >>> attack_spec({"attack": "rmia", "references": 2})
    Spec(name='rmia', params=(('references', 2),))
    """
    if isinstance(value, Spec):
        return value
    written = {"attack": value} if isinstance(value, str) else value
    name = written.get("attack") if isinstance(written, dict) else None
    if not isinstance(name, str) or not name:
        raise refused('the name of an attack or { attack = "NAME", ... }')
    params = {key: plain(each) for key, each in written.items() if key != "attack"}
    return Spec(name, tuple(sorted(params.items())))


AttackSpec = Annotated[Spec, BeforeValidator(attack_spec)]


@dataclass(frozen=True)
class DefenceSpec:
    """A defence: a name for the tables, and a mechanism for each place that has one.

    chosen: the model is the best of so many trainings.
    """

    name: str
    smashed: Spec | None = None
    hidden: Spec | None = None
    hidden_gradient: Spec | None = None
    smashed_gradient: Spec | None = None
    update: Spec | None = None
    labels: Spec | None = None
    training: Spec | None = None
    penalty: Spec | None = None
    chosen: Selection | None = None

    @property
    def by_answers(self) -> bool:
        """Whether a round's quorum counts answers, whatever is in them: noise is put on a sum."""
        return self.update is not None and self.update.name != "local_dp_fedavg"

    def to_json(self) -> dict[str, Any]:
        """Return the defence as it stands in a grid file, levels applied."""
        places = {place: getattr(self, place) for place in PLACES}
        chosen = {} if self.chosen is None else {"chosen_among": self.chosen.to_json()}
        return {"name": self.name, **chosen} | {
            place: {"mechanism": spec.name, **dict(spec.params)}
            for place, spec in places.items()
            if spec is not None
        }


@settings
class AttackSettings:
    """Which attacks run, and on how much.

    inversion: attacks on smashed data, for its tokens.
    backward: attacks on the gradients of the hidden states.
    updates: attacks on client updates.
    pooled: attacks on pooled vectors, which a service for sentence embeddings gives out.
    attributes: attacks that infer the attribute that `[data] attribute` names.
    membership: attacks that tell members of the training from others.
    messages: smashed-data messages to invert, at most: every client's first of rounds spread
        evenly over the training.
    candidates: membership candidates, members and others each, at most.
    shadows: models that a membership adversary trains in the same way on random halves of the pool;
        even, as they come in pairs that share no example.
    population: examples left out of the training that such an adversary knows to be left out.
    client_level: judge whole clients too: those that took part against as many that did not.
    """

    inversion: tuple[AttackSpec, ...] = (Spec("nearest_token"), Spec("bigram_prior"))
    backward: tuple[AttackSpec, ...] = (Spec("masked_tokens"), Spec("label_from_gradient"))
    updates: tuple[AttackSpec, ...] = (
        Spec("embedding_rows"),
        Spec("embedding_rows_peer"),
        Spec("row_order"),
        Spec("span_check"),
        Spec("gradient_matching"),
    )
    pooled: tuple[AttackSpec, ...] = ()
    attributes: tuple[AttackSpec, ...] = (Spec("attribute_probe"),)
    membership: tuple[AttackSpec, ...] = (Spec("loss_threshold"),)
    messages: Annotated[int, Field(ge=2, le=MESSAGES)] = 16
    candidates: Annotated[int, Field(ge=10, le=EXAMPLES)] = 1000
    shadows: Annotated[int, Field(ge=0, le=SHADOWS)] = 0
    population: Annotated[int, Field(ge=0, le=EXAMPLES)] = 0
    client_level: bool = False

    def __post_init__(self) -> None:
        """Check what bounds do not say."""
        expect(self.shadows % 2 == 0, "an even number of shadows", "shadows", self.shadows)
        for family in FAMILIES:
            seen: set[Spec] = set()
            for spec in getattr(self, family):
                if spec in seen:
                    raise InputError(
                        f"{family}: expected different attacks, got {spec.name!r} twice"
                    )
                seen.add(spec)

    def to_json(self) -> dict[str, Any]:
        """Return the settings as they stand in a grid file; LATER ones where not the default.

        A cell without them has the id that it had before there was a choice.
        """
        written: dict[str, Any] = {
            family: [
                {"attack": spec.name, **dict(spec.params)} if spec.params else spec.name
                for spec in getattr(self, family)
            ]
            for family in FAMILIES
        }
        default = AttackSettings()
        same = [name for name in LATER if getattr(self, name) == getattr(default, name)]
        return {k: v for k, v in (vars(self) | written).items() if k not in same}


@dataclass(frozen=True)
class Cell:
    """One training with its judgement. Its id is the hash of its canonical JSON.

    audit: on the way; no part of what a cell is where nothing is asked for.

    swept: what a sweep set, as (key, value in words): columns of the tables.
    """

    config: Config
    defence: DefenceSpec
    level: str
    attacks: AttackSettings
    delta: float
    swept: tuple[tuple[str, str], ...] = ()
    audit: AuditSettings = NO_AUDIT

    def spec(self) -> dict[str, Any]:
        """Return the cell as plain JSON."""
        return {
            **self.config.to_json(),
            "defence": self.defence.to_json(),
            "level": self.level,
            "attacks": self.attacks.to_json(),
            "delta": self.delta,
            **({"sweep": [key for key, _ in self.swept]} if self.swept else {}),
            **({"audit": self.audit.to_json()} if self.audit.asked else {}),
        }

    def asked(self) -> dict[str, Any]:
        """Return the defence as it is asked for, with its delta."""
        return {**self.defence.to_json(), "delta": self.delta}

    @cached_property
    def id(self) -> str:
        """Return the cell's id: 16 hexadecimal digits."""
        text = json.dumps(self.spec(), sort_keys=True, allow_nan=False)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def labels(self) -> dict[str, str]:
        """Return the cell's coordinates, for tables."""
        return {
            "task": self.config.data.task,
            "model": _model_label(self.config.model),
            "strategy": self.config.training.strategy,
            "defence": self.defence.name,
            "level": self.level,
            "seed": str(self.config.seed),
            **dict(self.swept),
        }


@dataclass(frozen=True)
class Grid:
    """All cells of one comparison, in the order in which they run; where: its file."""

    name: str
    cells: tuple[Cell, ...]
    where: str
    cell_time_limit: float | None = None  # seconds; no part of what a cell is
    frontier: Mapping[str, Any] | None = None  # what its report is to answer, as its file has it
    deployment: Mapping[str, Any] | None = None  # what the user says of it, for disclosures

    def to_json(self) -> dict[str, Any]:
        """Return the grid as plain JSON."""
        limit = {} if self.cell_time_limit is None else {"cell_time_limit": self.cell_time_limit}
        wish = {} if self.frontier is None else {"frontier": dict(self.frontier)}
        said = {} if self.deployment is None else {"deployment": dict(self.deployment)}
        cells = [each.spec() for each in self.cells]
        return {"name": self.name, **limit, **wish, **said, "cells": cells}


def _model_label(model: ModelConfig) -> str:
    """Return the model's name for tables; with the cut, where that is not the embeddings."""
    name = Path(model.source).name
    return f"{name}, cut at {model.cut_layer}" if model.cut_layer else name
