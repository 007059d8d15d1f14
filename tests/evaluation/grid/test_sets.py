"""Settings of one defence alone, levels of several parameters, and grids that are written."""

import tomllib
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evaluation.grid.parse import grid_from
from evaluation.grid.schema import grid_schema
from evaluation.grid.spec import Cell
from evaluation.grid.written import toml
from evaluation.run.frontier import level_of, read_frontier
from fedbert.errors import InputError
from tests.evaluation.grid.test_schema import valid
from tests.evaluation.run.frontier_world import FILE

CLIP = {"mechanism": "clip_only", "clip_norm": 1.0}


def cells(*defences: dict[str, Any], **rest: Any) -> tuple[Cell, ...]:
    values = {"tasks": ["sst2"], "defences": [*defences], **rest}
    return grid_from(values, "FILE", "g").cells


def test_a_set_stands_in_place_of_the_grids_own_for_its_defence_alone() -> None:
    own = {"training.batch_size": 256, "data.clients": 64}
    plain, other = cells(
        {"name": "none"}, {"name": "c", "smashed": CLIP, "set": own},
        training={"batch_size": 16}, data={"clients": 2},
    )  # fmt: skip
    assert (plain.config.training.batch_size, plain.config.data.clients) == (16, 2)
    assert (other.config.training.batch_size, other.config.data.clients) == (256, 64)
    assert "sweep" not in plain.spec() and other.spec()["sweep"] == [*own]
    assert other.labels["training.batch_size"] == "256" and len(plain.labels) == 6
    (alone,) = cells({"name": "none"}, training={"batch_size": 16}, data={"clients": 2})
    assert alone.id == plain.id


def test_a_strategy_that_is_set_is_the_strategy() -> None:
    own = {"training.strategy": "fedavg"}
    one, two = cells({"name": "none"}, {"name": "none", "set": own})
    assert (one.labels["strategy"], two.labels["strategy"]) == ("parallel", "fedavg")
    assert two.swept == () and two.id == cells({"name": "none"}, strategies=["fedavg"])[0].id


def test_a_set_beside_a_sweep_of_the_same_setting_wins() -> None:
    found = cells(
        {"name": "none"}, {"name": "c", "update": CLIP, "set": {"training.batch_size": 8}},
        sweep={"data.clients": [2, 4]},
    )  # fmt: skip
    labels = [(x.labels["data.clients"], x.labels.get("training.batch_size")) for x in found]
    assert labels == [("2", None), ("2", "8"), ("4", None), ("4", "8")]


@pytest.mark.parametrize(
    ("own", "told"),
    [
        ({"training.batchsize": 8}, "set: unknown key 'training.batchsize': did you mean 'train"),
        ({"data.task": "cola"}, "set: unknown key 'data.task'"),
        ({"training.batch_size": 0}, "defence 'c': set: training: expected batch_size >= 1, got"),
    ],
)
def test_a_set_that_makes_no_sense_is_refused(own: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as error:
        cells({"name": "c", "update": CLIP, "set": own})
    assert told in str(error.value)


def test_levels_of_several_parameters_belong_together() -> None:
    both = {"smashed.clip_norm": [1.0, 1.0, 2.0], "update.clip_norm": [3.0, 4.0, 4.0]}
    found = cells({"name": "c", "smashed": CLIP, "update": CLIP, "level": both})
    assert [x.level for x in found] == [
        f"smashed.clip_norm={a}, update.clip_norm={b}"
        for a, b in ((1.0, 3.0), (1.0, 4.0), (2.0, 4.0))
    ]  # fmt: skip
    assert dict(found[2].defence.update.params)["clip_norm"] == 4.0  # type: ignore[union-attr]
    for level, told in (
        (both | {"update.clip_norm": [3.0]}, "expected as many values of each key"),
        (both | {"update.clip_norm": [3.0, 3.0, 4.0]}, "expected different values"),
    ):
        with pytest.raises(InputError, match=told):
            cells({"name": "c", "smashed": CLIP, "update": CLIP, "level": level})


def test_parameters_that_are_searched_together_move_together(tmp_path: Any) -> None:
    both = 'search = { "labels.target_epsilon" = [1.0, 4.0], "update.clip_norm" = [0.0, 2.0] }'
    (tmp_path / "f.toml").write_text(
        FILE.replace("epsilon = [1.0, 64.0]", f"update = {{ mechanism = 'clip_only' }}\n{both}")
    )
    frontier = read_frontier(tmp_path / "f.toml")
    first = frontier.defences[0]
    assert [level_of(first, at) for at in (0.0, 0.5, 1.0)] == [
        {"labels.target_epsilon": a, "update.clip_norm": b}
        for a, b in ((1.0, 0.0), (2.0, 1.0), (4.0, 2.0))
    ]  # fmt: skip
    levels = {first.name: [level_of(first, at) for at in (1.0, 0.5)]}
    found = [x.level for x in frontier.grid(levels).cells if x.defence.name == first.name]
    assert found[0] == "labels.target_epsilon=2.0, update.clip_norm=1.0" and len(found) == 6
    again = grid_from(tomllib.loads(frontier.written(levels, True)), "FILE", "g")
    assert [x.id for x in again.cells] == [x.id for x in frontier.grid(levels).cells]


def test_a_risk_is_searched_as_any_number_and_its_levels_read_well(tmp_path: Any) -> None:
    risk = '"training.target_tpr_at_1pct" = [0.02, 0.32]'
    (tmp_path / "f.toml").write_text(FILE.replace('"training.target_epsilon" = [1.0, 100.0]', risk))
    frontier = read_frontier(tmp_path / "f.toml")
    last = frontier.defences[-1]
    level = level_of(last, 0.5)
    assert level == {"training.target_tpr_at_1pct": 0.08}
    found = [x for x in frontier.grid({last.name: [level]}).cells if x.defence.name == last.name]
    assert {x.level for x in found} == {"TPR at 1 % <= 0.08"}
    assert dict(found[0].defence.training.params)["target_tpr_at_1pct"] == 0.08  # type: ignore[union-attr]


def test_each_group_of_settings_has_an_undefended_row_of_its_own(tmp_path: Any) -> None:
    (tmp_path / "f.toml").write_text(FILE)
    frontier = read_frontier(tmp_path / "f.toml")
    assert [dict(each.set) for each in frontier.bare] == [{}, {"training.batch_size": 64}]
    fewer = replace(frontier, bare=frontier.bare[:1])
    assert len(frontier.grid({}).cells) == 6 and len(fewer.grid({}).cells) == 3


def test_a_file_with_a_frontier_fits_the_schema() -> None:
    schema = grid_schema()
    assert valid(tomllib.loads(FILE), schema, schema)
    for key, by in (
        ('"public"', '"mine"'), ("least_share", "least_shar"), ("= 0.8", '= "x"'),
        ("batch_size", "batchsize"), ("training.target", "train.target"), ("[1.0, 64.0]", "3"),
    ):  # fmt: skip
        assert FILE.count(key) == 1
        assert not valid(tomllib.loads(FILE.replace(key, by)), schema, schema), key


PLAIN = st.one_of(
    st.booleans(), st.integers(-(2**62), 2**62), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=12),
)  # fmt: skip
KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.recursive(
    PLAIN,
    lambda each: st.one_of(st.lists(each, max_size=3), st.dictionaries(KEYS, each, max_size=3)),
)  # fmt: skip


@settings(max_examples=50)
@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_what_is_written_is_read_again(values: dict[str, Any]) -> None:
    assert tomllib.loads(toml(values)) == values
