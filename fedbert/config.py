"""Configuration of one training, as frozen values that check themselves."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, TypeVar

STRATEGIES = ("centralised", "fedavg", "parallel", "sequential")
PARTITIONS = ("iid", "dirichlet", "quantity")
OPTIMIZERS = ("adamw", "sgd")
SIZES = ("tiny", "mini", "small", "base")

T = TypeVar("T")


class InputError(ValueError):
    """The user's input is at fault; the message is one line: expected, found, where."""


def expect(condition: bool, expected: str, name: str, value: object) -> None:
    """Raise InputError "expected ..., got name=value" unless the condition holds."""
    if not condition:
        raise InputError(f"expected {expected}, got {name}={value!r}")


@dataclass(frozen=True)
class ModelConfig:
    """Which BERT, and where it is cut.

    source: a fresh size ("tiny", "mini", "small", "base"), "embedded" (MiniLM, from the `demo`
        extra), a local directory in the transformers format, or a hub name.
    architecture: "bert" or "roberta"; read for fresh sizes only.
    tokenizer: "model" (the one that comes with the source; for fresh sizes the embedded one),
        "generated" (the word list of the generated tasks), a directory, or a hub name.
    cut_layer: how many encoder layers the clients keep besides the embeddings; FedBERT is 0.
    dropout: None keeps the model's own.
    """

    source: str = "embedded"
    architecture: str = "bert"
    tokenizer: str = "model"
    cut_layer: int = 0
    tie_decoder: bool = True
    freeze_embeddings: bool = False
    dropout: float | None = None

    def __post_init__(self) -> None:
        """Check every field."""
        expect(bool(self.source), "a model source", "source", self.source)
        expect(
            self.architecture in ("bert", "roberta"),
            "bert or roberta",
            "architecture",
            self.architecture,
        )
        expect(self.cut_layer >= 0, "cut_layer >= 0", "cut_layer", self.cut_layer)
        expect(
            self.dropout is None or 0 <= self.dropout < 1,
            "0 <= dropout < 1",
            "dropout",
            self.dropout,
        )


@dataclass(frozen=True)
class DataConfig:
    """Which examples, and how they are dealt to the clients.

    source: "embedded" (Rotten Tomatoes sentences), "generated", a directory, or a hub name.
    pool, evaluation: at most so many examples (a seeded choice); None = all.
    alpha: Dirichlet concentration, over labels ("dirichlet") or client sizes ("quantity").
    hold_out: the chance with which a coin keeps an example of the pool out of the training, so that
        membership can be tested on examples that differ in nothing else. A grid takes a fair coin.
    """

    task: str = "sst2"
    source: str = "embedded"
    pool: int | None = None
    evaluation: int | None = None
    max_length: int = 64
    clients: int = 4
    partition: str = "iid"
    alpha: float = 0.5
    hold_out: float = 0.0

    def __post_init__(self) -> None:
        """Check every field."""
        expect(self.pool is None or self.pool >= 2, "pool >= 2", "pool", self.pool)
        expect(
            self.evaluation is None or self.evaluation >= 2,
            "evaluation >= 2",
            "evaluation",
            self.evaluation,
        )
        expect(8 <= self.max_length <= 512, "8 <= max_length <= 512", "max_length", self.max_length)
        expect(self.clients >= 1, "clients >= 1", "clients", self.clients)
        expect(self.partition in PARTITIONS, f"one of {PARTITIONS}", "partition", self.partition)
        expect(0 < self.alpha < math.inf, "a finite alpha > 0", "alpha", self.alpha)
        expect(0 <= self.hold_out < 1, "0 <= hold_out < 1", "hold_out", self.hold_out)


@dataclass(frozen=True)
class TrainingConfig:
    """How the parties train.

    rounds x local_steps optimiser steps for every client that takes part in every round.
    clients_per_round: None = all of them.
    optimizer: "adamw", or "sgd" (without momentum: one local step then gives its gradient away).
    optimizer_state: "keep" (each party keeps its own moments from round to round), "reset" (fresh
        moments in every round), or "hand_on" (sequential only: the client parts' moments travel
        with the client parts to the next client, who can read from them which tokens were seen).
    learning_rate: the peak of a linear warm-up over warmup_fraction of all steps and a linear
        decay to zero.
    max_grad_norm: each party clips the gradient of what it holds (client parts; body).
    client_parts: sequential only: "hand_on" from client to client, or "average" after each round.
    """

    strategy: str = "parallel"
    rounds: int = 4
    local_steps: int = 8
    batch_size: int = 32
    clients_per_round: int | None = None
    learning_rate: float = 5e-4
    warmup_fraction: float = 0.1
    weight_decay: float = 0.01
    max_grad_norm: float = 1.0
    optimizer: str = "adamw"
    optimizer_state: str = "keep"
    client_parts: str = "hand_on"
    precision: str = "float32"
    device: str = "cpu"

    def __post_init__(self) -> None:
        """Check every field."""
        expect(self.strategy in STRATEGIES, f"one of {STRATEGIES}", "strategy", self.strategy)
        for name in ("rounds", "local_steps", "batch_size"):
            expect(getattr(self, name) >= 1, f"{name} >= 1", name, getattr(self, name))
        few = self.clients_per_round
        expect(few is None or few >= 1, "clients_per_round >= 1", "clients_per_round", few)
        for name in ("learning_rate", "max_grad_norm"):
            value = getattr(self, name)
            expect(0 < value < math.inf, f"a finite {name} > 0", name, value)
        expect(
            0 <= self.warmup_fraction < 1,
            "0 <= warmup_fraction < 1",
            "warmup_fraction",
            self.warmup_fraction,
        )
        expect(
            0 <= self.weight_decay < math.inf,
            "a finite weight_decay >= 0",
            "weight_decay",
            self.weight_decay,
        )
        expect(self.optimizer in OPTIMIZERS, f"one of {OPTIMIZERS}", "optimizer", self.optimizer)
        states = ("keep", "reset", "hand_on")
        expect(
            self.optimizer_state in states,
            f"one of {states}",
            "optimizer_state",
            self.optimizer_state,
        )
        expect(
            self.optimizer_state != "hand_on" or self.strategy == "sequential",
            "optimizer_state hand_on with strategy sequential alone",
            "strategy",
            self.strategy,
        )
        expect(
            self.optimizer_state != "hand_on" or self.optimizer == "adamw",
            "optimizer_state hand_on with optimizer adamw alone: sgd has no moments",
            "optimizer",
            self.optimizer,
        )
        expect(
            self.client_parts in ("hand_on", "average"),
            "hand_on or average",
            "client_parts",
            self.client_parts,
        )
        expect(
            self.optimizer_state != "hand_on" or self.client_parts == "hand_on",
            "client parts handed on together with their moments",
            "client_parts",
            self.client_parts,
        )
        expect(
            self.precision in ("float32", "float64", "bf16"),
            "float32, float64 or bf16",
            "precision",
            self.precision,
        )
        expect(self.device.split(":")[0] in ("cpu", "cuda"), "cpu or cuda", "device", self.device)


@dataclass(frozen=True)
class Config:
    """Everything that determines one training, apart from the defence."""

    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    seed: int = 0

    def __post_init__(self) -> None:
        """Check what concerns more than one part."""
        few = self.training.clients_per_round
        expect(
            few is None or few <= self.data.clients,
            f"clients_per_round <= clients ({self.data.clients})",
            "clients_per_round",
            few,
        )

    def to_json(self) -> dict[str, Any]:
        """Return the configuration as nested plain dictionaries."""
        return asdict(self)


def from_mapping(kind: type[T], values: dict[str, Any], where: str) -> T:
    """Return a frozen settings value from a mapping; unknown keys and wrong types are refused.

    Raises:
        InputError: naming `where`, the key, and what is allowed.
    """
    if not isinstance(values, Mapping):
        raise InputError(f"{where}: expected a table of settings, got {values!r}")
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for key, value in values.items():
        if key not in known:
            raise InputError(f"{where}: unknown key {key!r}; allowed: {', '.join(known)}")
        default = known[key].default
        kinds = _types_of(str(known[key].type), default)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            names = " or ".join(kind.__name__ for kind in kinds)
            raise InputError(f"{where}: expected {names}, got {key}={value!r}")
    try:
        return kind(**values)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def config_from(values: Mapping[str, Any], where: str) -> Config:
    """Return the configuration written in a manifest or a file.

    Raises:
        InputError: naming the part and the key at fault.
    """
    parts = {"model": ModelConfig, "data": DataConfig, "training": TrainingConfig}
    unknown = set(values) - set(parts) - {"seed"}
    if unknown:
        allowed = ", ".join([*parts, "seed"])
        raise InputError(f"{where}: unknown key {sorted(unknown)[0]!r}; allowed: {allowed}")
    built: dict[str, Any] = {
        name: from_mapping(kind, values.get(name, {}), f"{where}: {name}")
        for name, kind in parts.items()
    }
    seed = values.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise InputError(f"{where}: expected an integer, got seed={seed!r}")
    try:
        return Config(**built, seed=seed)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _types_of(annotation: str, default: object) -> tuple[type, ...]:
    """Return the Python types that a field accepts (an int is a valid float)."""
    names = {
        "int": (int,),
        "float": (int, float),
        "str": (str,),
        "bool": (bool,),
        "None": (type(None),),
    }
    found = tuple(t for word, types in names.items() if word in annotation for t in types)
    return found or (type(default),)
