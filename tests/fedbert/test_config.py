"""Settings check themselves, and what is refused is named."""

import datetime
import math
import pickle
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from fedbert.config import Config, DataConfig, ModelConfig
from fedbert.errors import InputError
from fedbert.setting_types import BATCH, CLIENTS, EXAMPLES, LAYERS, STEPS
from fedbert.settings import from_mapping
from fedbert.training_settings import TrainingConfig


def line(error: pytest.ExceptionInfo[InputError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("kind", [ModelConfig, DataConfig, TrainingConfig])
def test_an_unknown_key_is_refused_and_the_allowed_ones_named(kind: Any) -> None:
    with pytest.raises(InputError) as error:
        from_mapping(kind, {"clip_nrm": 1.0}, "grid.toml: x")
    text = line(error)
    assert text.startswith("grid.toml: x: unknown key 'clip_nrm'")
    for name in kind.__dataclass_fields__:
        assert name in text


@pytest.mark.parametrize(
    ("kind", "key", "value", "expected"),
    [
        (TrainingConfig, "rounds", True, "an integer"),
        (TrainingConfig, "rounds", 2.0, "an integer"),
        (TrainingConfig, "rounds", "2", "an integer"),
        (TrainingConfig, "rounds", None, "an integer"),
        (TrainingConfig, "learning_rate", False, "a number"),
        (TrainingConfig, "learning_rate", "1e-3", "a number"),
        (TrainingConfig, "clients_per_round", True, "an integer"),
        (
            TrainingConfig,
            "strategy",
            1,
            "one of centralised, fedavg, parallel, sequential, one_message",
        ),
        (
            TrainingConfig,
            "strategy",
            ["fedavg"],
            "one of centralised, fedavg, parallel, sequential, one_message",
        ),
        (ModelConfig, "freeze_embeddings", 1, "true or false"),
        (ModelConfig, "freeze_embeddings", "true", "true or false"),
        (ModelConfig, "dropout", True, "a number"),
        (ModelConfig, "source", None, "a text"),
        (DataConfig, "pool_size", 10.5, "an integer"),
        (DataConfig, "alpha", {}, "a number"),
    ],
)
def test_a_wrong_type_is_refused(kind: Any, key: str, value: Any, expected: str) -> None:
    with pytest.raises(InputError) as error:
        from_mapping(kind, {key: value}, "here")
    told = str(value).lower() if isinstance(value, bool) else repr(value)
    assert line(error) == f"here: expected {expected}, got {key}={told}"


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (TrainingConfig, "rounds", 0),
        (TrainingConfig, "optimizer", "adam"),
        (TrainingConfig, "local_steps", -1),
        (TrainingConfig, "batch_size", 0),
        (TrainingConfig, "clients_per_round", 0),
        (TrainingConfig, "learning_rate", 0.0),
        (TrainingConfig, "learning_rate", math.nan),
        (TrainingConfig, "learning_rate", math.inf),
        (TrainingConfig, "warmup_fraction", 1.0),
        (TrainingConfig, "warmup_fraction", -0.1),
        (TrainingConfig, "weight_decay", -0.1),
        (TrainingConfig, "weight_decay", math.inf),
        (TrainingConfig, "max_grad_norm", 0.0),
        (TrainingConfig, "max_grad_norm", math.inf),
        (TrainingConfig, "strategy", "fedprox"),
        (TrainingConfig, "optimizer_state", "forget"),
        (TrainingConfig, "client_parts", "keep"),
        (TrainingConfig, "precision", "float16"),
        (TrainingConfig, "device", "tpu"),
        (ModelConfig, "source", ""),
        (ModelConfig, "architecture", "gpt"),
        (ModelConfig, "cut_layer", -1),
        (ModelConfig, "dropout", 1.0),
        (ModelConfig, "dropout", -0.1),
        (ModelConfig, "dropout", math.nan),
        (DataConfig, "pool_size", 1),
        (DataConfig, "evaluation", 0),
        (DataConfig, "max_length", 7),
        (DataConfig, "max_length", 513),
        (DataConfig, "clients", 0),
        (DataConfig, "partition", "zipf"),
        (DataConfig, "alpha", 0.0),
        (DataConfig, "alpha", math.nan),
        (DataConfig, "alpha", math.inf),
    ],
)
def test_a_value_out_of_range_is_refused(kind: Any, key: str, value: Any) -> None:
    with pytest.raises(InputError) as error:
        kind(**{key: value})
    text = line(error)
    assert text.startswith("expected ") and f"got {key}={value!r}" in text
    with pytest.raises(InputError) as error:
        from_mapping(kind, {key: value}, "here")
    assert line(error) == f"here: {text}"


@pytest.mark.parametrize("strategy", ["centralised", "fedavg", "parallel"])
def test_moments_are_handed_on_under_sequential_alone(strategy: str) -> None:
    with pytest.raises(InputError, match=f"got strategy='{strategy}'"):
        TrainingConfig(strategy=strategy, optimizer_state="hand_on")
    TrainingConfig(strategy="sequential", optimizer_state="hand_on")
    with pytest.raises(InputError, match="optimizer='sgd'"):  # it has no moments
        TrainingConfig(strategy="sequential", optimizer_state="hand_on", optimizer="sgd")
    with pytest.raises(InputError, match="handed on together"):
        TrainingConfig(strategy="sequential", optimizer_state="hand_on", client_parts="average")


def test_a_round_has_no_more_clients_than_there_are() -> None:
    with pytest.raises(InputError, match=r"clients_per_round <= clients \(4\), got .*=5"):
        Config(training=TrainingConfig(clients_per_round=5))
    Config(training=TrainingConfig(clients_per_round=4))


def test_edges_that_are_allowed() -> None:
    ModelConfig(dropout=0.0, cut_layer=12)
    DataConfig(pool_size=2, evaluation=2, max_length=8, clients=1)
    TrainingConfig(warmup_fraction=0.0, weight_decay=0.0, clients_per_round=1, rounds=1)
    assert from_mapping(TrainingConfig, {"learning_rate": 1}, "x").learning_rate == 1
    assert from_mapping(DataConfig, {"pool_size": None}, "x") == DataConfig()


def test_settings_survive_json() -> None:
    config = Config(
        ModelConfig("tiny", cut_layer=1, dropout=0.0),
        DataConfig(pool_size=10),
        TrainingConfig(strategy="sequential", optimizer_state="hand_on"),
        seed=7,
    )
    assert from_mapping(Config, config.to_json(), "x") == config
    assert from_mapping(Config, {}, "x") == Config()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (
            {"trainning": {}},
            "file: unknown key 'trainning': did you mean 'training'? "
            "allowed: model, data, training, seed",
        ),
        ({"Q": {}}, "file: unknown key 'Q'; allowed: model, data, training, seed"),
        ({"seed": -1}, "expected seed >= 0, got seed=-1"),
        (
            {"data": {"max_length": 600}},
            "file: data: expected max_length <= 512, got max_length=600",
        ),
        ({"data": {"hold_out": 1}}, "file: data: expected 0 <= hold_out < 1, got hold_out=1"),
        ({"data": {"task": "sst-2"}}, "got task='sst-2': did you mean 'sst2'?"),
        (
            {"data": {"partition": "dirichelet"}},
            "file: data: expected one of iid, dirichlet, quantity, "
            "got partition='dirichelet': did you mean 'dirichlet'?",
        ),
        (
            {"training": {"client_parts": "average", "optimizer_state": "hand_on"}},
            "file: training: ",
        ),
        ({"seed": True}, "expected an integer, got seed=true"),
        ({"seed": "1"}, "expected an integer, got seed='1'"),
        ({"data": {"clients": 0}}, "file: data: expected clients >= 1"),
        ({"data": 3}, "file: data: expected a table of settings, got 3"),
    ],
)
def test_a_bad_configuration_is_refused_with_its_place(values: Any, reason: str) -> None:
    with pytest.raises(InputError) as error:
        from_mapping(Config, values, "file")
    assert reason in line(error)


@pytest.mark.parametrize(
    ("kind", "key", "most"),
    [
        (DataConfig, "pool_size", EXAMPLES),
        (DataConfig, "evaluation", EXAMPLES),
        (DataConfig, "clients", CLIENTS),
        (TrainingConfig, "rounds", STEPS),
        (TrainingConfig, "local_steps", STEPS),
        (TrainingConfig, "batch_size", BATCH),
        (TrainingConfig, "clients_per_round", CLIENTS),
        (ModelConfig, "cut_layer", LAYERS),
        (Config, "seed", 2**63 - 1),
    ],
)
def test_what_loops_or_tables_grow_with_has_a_bound(kind: Any, key: str, most: int) -> None:
    assert getattr(kind(**{key: most}), key) == most
    for above in (most + 1, 10**19, 10**400):
        with pytest.raises(InputError, match=f"^expected {key} <=? ") as error:
            kind(**{key: above})
        assert len(line(error)) < 300
        with pytest.raises(InputError, match=f"^here: expected {key} <=? "):
            from_mapping(kind, {key: above}, "here")


def test_settings_are_frozen_hashable_values_that_replace_checks_again() -> None:
    config = Config()
    assert hash(config) == hash(Config()) and pickle.loads(pickle.dumps(config)) == config
    assert replace(config, seed=3).seed == 3
    with pytest.raises(FrozenInstanceError):
        config.seed = 1  # type: ignore[misc]
    with pytest.raises(InputError, match="expected rounds >= 1, got rounds=0"):
        replace(config.training, rounds=0)
    with pytest.raises(InputError, match="expected a text, got source=3"):
        ModelConfig(3)  # type: ignore[arg-type]  # by its position


def test_a_date_of_a_file_is_no_text() -> None:
    day = datetime.date(2020, 1, 1)
    with pytest.raises(InputError, match=r"^here: expected texts, numbers, lists and tables, got"):
        from_mapping(ModelConfig, {"source": day}, "here")
