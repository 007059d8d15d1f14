"""A sweep goes over any setting: every value makes a cell, every key a label."""

import tomllib
from typing import Any

import pytest

from evaluation.grid.file import SWEPT, GridSettings
from evaluation.grid.parse import grid_from
from evaluation.grid.schema import grid_schema
from evaluation.grid.spec import Cell
from fedbert.errors import InputError


@pytest.fixture
def values(small_text: str) -> dict[str, Any]:
    found = tomllib.loads(small_text.replace("clients = 2\n", "").replace("batch_size = 8\n", ""))
    return found | {"seeds": [0], "defences": [{"name": "none"}]}


def cells(values: dict[str, Any], sweep: dict[str, Any]) -> tuple[Cell, ...]:
    return grid_from(values | {"sweep": sweep}, "FILE", "g").cells


def test_each_swept_key_is_a_setting_and_a_label_behind_the_six(values: dict[str, Any]) -> None:
    found = cells(values, {"data.clients": [4, 64], "training.batch_size": [16, 256, 8]})
    pairs = [(cell.config.data.clients, cell.config.training.batch_size) for cell in found]
    assert pairs == [(4, 16), (4, 256), (4, 8), (64, 16), (64, 256), (64, 8)]
    for cell, (clients, size) in zip(found, pairs, strict=True):
        assert list(cell.labels) == [
            "task", "model", "strategy", "defence", "level", "seed", "data.clients",
            "training.batch_size",
        ]  # fmt: skip
        assert cell.labels["data.clients"] == str(clients)
        assert cell.labels["training.batch_size"] == str(size)
        assert cell.spec()["sweep"] == ["data.clients", "training.batch_size"]
    [plain] = grid_from(values, "FILE", "g").cells
    assert "sweep" not in plain.spec() and len(plain.labels) == 6


def test_a_sweep_stands_beside_every_other_list(values: dict[str, Any]) -> None:
    values |= {"tasks": ["sst2", "cola"], "strategies": ["fedavg", "parallel"], "seeds": [3, 4]}
    values |= {"cut_layers": [0, 1], "override": {"cola": {"data": {"max_length": 20}}}}
    clip = {"mechanism": "clip_only"}
    values["defences"] = [{"name": "c", "update": clip, "level": {"update.clip_norm": [1.0, 2.0]}}]
    found = cells(values, {"data.hold_out": [0.1, 0.5], "attacks.shadows": [0, 4, 8]})
    assert len({cell.id for cell in found}) == len(found) == 2 * 2 * 2 * 2 * 2 * 2 * 3
    assert {cell.config.data.max_length for cell in found if cell.labels["task"] == "cola"} == {20}
    assert {cell.attacks.shadows for cell in found} == {0, 4, 8}


@pytest.mark.parametrize(
    ("key", "value", "label"),
    [
        ("model.freeze_embeddings", True, "true"),
        ("model.cut_layer", 1, "1"),
        ("model.dropout", 0, "0"),
        ("training.optimizer", "sgd", "sgd"),
        ("attacks.candidates", 12, "12"),
        ("delta", 1e-6, "1e-06"),
    ],
)
def test_settings_of_every_kind_can_be_swept(
    values: dict[str, Any], key: str, value: Any, label: str
) -> None:
    values["attacks"].pop("candidates")
    values.pop("delta", None)
    [cell] = cells(values, {key: [value]})
    held = cell.delta if key == "delta" else cell.spec()
    for step in () if key == "delta" else key.split("."):
        held = held[step]  # type: ignore[index]
    assert held == value and cell.labels[key] == label


def test_settings_that_hold_together_at_every_point_are_read(values: dict[str, Any]) -> None:
    values["training"]["clients_per_round"] = 8  # more than the default of clients
    assert len(cells(values, {"data.clients": [8, 16]})) == 2
    with pytest.raises(InputError, match=r"FILE: at data.clients = 4: expected clients_per_"):
        cells(values, {"data.clients": [8, 4]})


@pytest.mark.parametrize(
    ("sweep", "expected"),
    [
        ({"data.client": [1]}, "sweep: unknown key 'data.client': did you mean 'data.clients'? al"),
        ({"clients": [1]}, "sweep: unknown key 'clients': did you mean 'data.clients'? allowed: m"),
        ({"attacks.inversion": ["a"]}, "sweep: unknown key 'attacks.inversion'"),
        ({"data.clients": []}, "sweep: expected a list that is not empty, got data.clients=[]"),
        ({"data.clients": 4}, 'expected a list, got sweep."data.clients"=4'),
        ({"data.clients": [4, 0]}, 'FILE: sweep."data.clients": expected clients >= 1, got clie'),
        ({"data.clients": ["4"]}, "sweep.\"data.clients\": expected an integer, got clients='4'"),
        ({"data.clients": [4, 4]}, "different values (4 comes twice), got data.clients=[4, 4]"),
        ({"data.task": ["cola"]}, "sweep: expected data.task in its own list tasks, got it here"),
        ({"seed": [1]}, "sweep: expected seed in its own list seeds, got it here"),
        ({"model.cut_layer": [1]}, "sweep: expected model.cut_layer in one list, got it in cut_la"),
        ({"data.max_length": [8]}, "data.max_length comes from the grid's sweep, not from"),
        ({"training.optimizer": ["sgd"]}, "training.optimizer comes from the grid's sweep, not fr"),
        ({"attacks.messages": [2]}, "attacks.messages comes from the grid's sweep, not fr"),
        ({"delta": [1e-6]}, "FILE: delta comes from the grid's sweep, not from here"),
        ({"attacks.shadows": [3]}, "FILE: at attacks.shadows = 3: attacks: expected an even num"),
        ({"data.clients": list(range(1, 400)), "training.batch_size": list(range(1, 400))},
         "FILE: expected at most 100000 cells, got 159201"),
    ],
)  # fmt: skip
def test_a_sweep_that_makes_no_sense_is_refused_in_one_line(
    values: dict[str, Any], sweep: dict[str, Any], expected: str
) -> None:
    values |= {"cut_layers": [0], "delta": 1e-4}
    values["override"] = {"cola": {"training": {"optimizer": "sgd"}}}
    with pytest.raises(InputError) as error:
        cells(values, sweep)
    assert str(error.value).startswith("FILE: ") and "\n" not in str(error.value)
    assert expected in str(error.value)


def test_a_swept_delta_is_checked(values: dict[str, Any]) -> None:
    with pytest.raises(
        InputError, match=r'FILE: sweep\."delta": expected 0 < delta < 1, got delta=2'
    ):
        cells(values, {"delta": [1e-6, 2]})


def test_editors_are_told_what_can_be_swept() -> None:
    assert grid_schema()["properties"]["sweep"]["propertyNames"]["enum"] == list(SWEPT)
    assert {"delta", "data.clients", "attacks.shadows", "model.cut_layer"} <= set(SWEPT)
    assert not {"data.task", "training.strategy", "attacks.inversion"} & set(SWEPT)
    assert GridSettings(tasks=("sst2",)).sweep == {}
