"""Settings check themselves, and what is refused is named."""

import math
from typing import Any

import pytest

from fedbert.checkpoint import config_from
from fedbert.config import (
    Config,
    DataConfig,
    InputError,
    ModelConfig,
    TrainingConfig,
    from_mapping,
)


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
        (TrainingConfig, "rounds", True, "int"),
        (TrainingConfig, "rounds", 2.0, "int"),
        (TrainingConfig, "rounds", "2", "int"),
        (TrainingConfig, "rounds", None, "int"),
        (TrainingConfig, "learning_rate", False, "float"),
        (TrainingConfig, "learning_rate", "1e-3", "float"),
        (TrainingConfig, "clients_per_round", True, "int or NoneType"),
        (TrainingConfig, "strategy", 1, "str"),
        (TrainingConfig, "strategy", ["fedavg"], "str"),
        (ModelConfig, "freeze_embeddings", 1, "bool"),
        (ModelConfig, "freeze_embeddings", "true", "bool"),
        (ModelConfig, "dropout", True, "int or float or NoneType"),
        (ModelConfig, "source", None, "str"),
        (DataConfig, "pool", 10.5, "int or NoneType"),
        (DataConfig, "alpha", {}, "float"),
    ],
)
def test_a_wrong_type_is_refused(kind: Any, key: str, value: Any, expected: str) -> None:
    with pytest.raises(InputError) as error:
        from_mapping(kind, {key: value}, "here")
    text = line(error)
    assert f"{key}={value!r}" in text and "here: expected" in text
    assert all(word in text for word in expected.split(" or "))


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
        (DataConfig, "pool", 1),
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
    DataConfig(pool=2, evaluation=2, max_length=8, clients=1)
    TrainingConfig(warmup_fraction=0.0, weight_decay=0.0, clients_per_round=1, rounds=1)
    assert from_mapping(TrainingConfig, {"learning_rate": 1}, "x").learning_rate == 1
    assert from_mapping(DataConfig, {"pool": None}, "x") == DataConfig()


def test_settings_survive_json() -> None:
    config = Config(
        ModelConfig("tiny", cut_layer=1, dropout=0.0),
        DataConfig(pool=10),
        TrainingConfig(strategy="sequential", optimizer_state="hand_on"),
        seed=7,
    )
    assert config_from(config.to_json(), "x") == config
    assert config_from({}, "x") == Config()


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"trainning": {}}, "unknown key 'trainning'; allowed: model, data, training, seed"),
        ({"seed": True}, "expected an integer, got seed=True"),
        ({"seed": "1"}, "expected an integer, got seed='1'"),
        ({"data": {"clients": 0}}, "file: data: expected clients >= 1"),
        ({"data": 3}, "file: data: expected a table of settings, got 3"),
    ],
)
def test_a_bad_configuration_is_refused_with_its_place(values: Any, reason: str) -> None:
    with pytest.raises(InputError) as error:
        config_from(values, "file")
    assert reason in line(error)
