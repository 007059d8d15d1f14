"""What a grid file may say, what it means, and the one line about what it may not."""

import hashlib
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from evaluation.grid import spec
from evaluation.grid.build import make_attack
from evaluation.grid.catalogue import MEMBERSHIP, UPDATES
from evaluation.grid.file import TrainingSettings
from evaluation.grid.parse import default_grid, grid_from, read_grid
from evaluation.grid.preflight import preflight
from evaluation.grid.spec import AttackSettings, Spec
from fedbert.errors import InputError
from fedbert.settings import from_mapping


def change(text: str, key: str, by: str) -> dict[str, Any]:
    assert key in text
    return tomllib.loads(text.replace(key, by, 1))


def refusal(values: Any) -> str:
    with pytest.raises(InputError) as error:
        grid_from(values, "FILE", "g")
    text = str(error.value)
    assert "\n" not in text
    return text


GAUSSIAN = 'mechanism = "gaussian", clip_norm = 8.0'


@pytest.mark.parametrize(
    ("key", "by", "expected"),
    [
        ('"sst2"', '"sst-2"', "mlm, got 'sst-2': did you mean 'sst2'?"),
        ('"sst2"', '"sst-2"', "FILE: tasks: expected one of cola, sst2,"),
        ("[0, 1]", "[0, true]", "FILE: seeds: expected an integer, got true"),
        ("[0, 1]", "[]", "FILE: expected a list that is not empty, got seeds=[]"),
        ("[0, 1]", "3", "FILE: expected a list, got seeds=3"),
        ("seeds", "seed", "FILE: unknown key 'seed': did you mean 'seeds'? allowed: tasks,"),
        ('tasks = ["sst2"]', "", "FILE: expected tasks, got none"),
        ("batch_size", "batchsize", "training: unknown key 'batchsize': did you mean 'batch_"),
        ("pool_size", "pool", "data: unknown key 'pool': did you mean 'pool_size'?"),
        ("pool_size = 60", f"pool_size = {10**19}", "expected pool_size <= 10000000, got"),
        ("pool_size = 60", "pool_size = 1", "FILE: data: expected pool_size >= 2, got pool_size=1"),
        ("clients = 2", "clients = true", "FILE: expected an integer, got data.clients=true"),
        ("clients = 2", 'task = "cola"', "FILE: data: task comes from the grid's lists, not here"),
        ("messages = 2", "shadows = 1000000", "FILE: attacks: expected shadows <= 10000, got sh"),
        ("messages = 2", "shadows = 3", "attacks: expected an even number of shadows, got shad"),
        ("messages = 2", "mesages = 2", "attacks: unknown key 'mesages': did you mean 'messages'?"),
        ("messages = 2", "pooled = [5]", "attacks: pooled: expected the name of an attack or"),
        ("messages = 2", 'pooled = ["a", "a"]', "expected different attacks, got 'a' twice"),
        ("messages = 2", 'pooled = [{ attack = "a", k = nan }]', "pooled: expected a finite value"),
        ("rounds = 2", "max_grad_norm = inf", "expected a finite value, got max_grad_norm=inf"),
        (GAUSSIAN, "clip_norm = 8.0", "defences[1]: expected a mechanism by its name"),
        (GAUSSIAN, "mechanism = 3", "FILE: defences[1]: expected a mechanism by its name"),
        (f"{{ {GAUSSIAN} }}", "3", "defences[1]: smashed: expected a table of settings, got 3"),
        ("[1.0]", "3", 'FILE: expected a list, got defences[1].level."smashed.target_epsilon"=3'),
        ("smashed.target", "smash.target", 'defences[1]: expected level = {"smashed.KEY" = [..]}'),
        ("smashed.target", "hidden.target", "expected a mechanism at hidden, got a level alone"),
        ('name = "none"', 'nam = "none"', "FILE: defences[0]: unknown key 'nam': did you mean 'na"),
        ("[model]", "[override.sst]\n[model]", "FILE: override: expected one of cola, sst2,"),
        ("[model]", "[override.sst2]\ndat = {}\n[model]", "override: sst2: unknown key 'dat'"),
        ("[0, 1]", f"{list(range(300_000))}", "FILE: expected at most 100000 cells, got 600000"),
        ("[0, 1]", "[0]\ncut_layers = [0, 0]", "FILE: expected different values (0 comes twice)"),
        ("[0, 1]", "[0, 1, 0]", "FILE: expected different values (0 comes twice), got seeds="),
        ('["sst2"]', '["sst2", "sst2"]', "expected different values ('sst2' comes twice), got t"),
        ("[model]", 'strategies = ["fedavg", "fedavg"]\n[model]', "('fedavg' comes twice), got st"),
        ("[1.0]", "[1.0, 1]", "expected different values (1 comes twice), got level={'smashed"),
        ("[0, 1]", "[0]\ndelta = 1", "FILE: expected 0 < delta < 1, got delta=1"),
    ],
)  # fmt: skip
def test_what_a_grid_cannot_mean_is_refused_in_one_line(
    small_text: str, key: str, by: str, expected: str
) -> None:
    assert expected in refusal(change(small_text, key, by))


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        (f"{GAUSSIAN[:-17]}, clip_nrm = 8.0", "unknown key 'clip_nrm': did you mean 'clip_norm'?"),
        (
            f"{GAUSSIAN}, x = 1",
            "x'; allowed: target_epsilon, target_tpr_at_1pct, target_advantage, delta, clip_norm,",
        ),
        (
            f"{GAUSSIAN}, noise_multiplier = 2.0",
            "expected noise_multiplier only without target_eps",
        ),
        (GAUSSIAN[:-3] + "'8'", "expected a number, got clip_norm='8'"),
        ('mechanism = "gausian"', "got 'gausian': did you mean 'gaussian'?"),
    ],
)
def test_the_parameters_of_a_mechanism_are_those_of_both_ways_to_make_it(
    small_text: str, parameters: str, expected: str
) -> None:
    grid = grid_from(change(small_text, GAUSSIAN, parameters), "FILE", "g")
    with pytest.raises(InputError) as error:
        preflight(grid)
    assert expected in str(error.value)


@pytest.mark.parametrize("parameters", [GAUSSIAN, 'mechanism = "laplace", clip_norm = 8.0'])
def test_noise_that_leaves_nothing_to_train_on_is_refused(small_text: str, parameters: str) -> None:
    text = small_text.replace(GAUSSIAN, parameters)
    with pytest.raises(InputError, match="smashed: expected noise of at most 10,000 times") as one:
        preflight(grid_from(change(text, "[1.0]", "[1e-7]"), "FILE", "g"))
    assert "\n" not in str(one.value)


def test_noise_that_drowns_a_message_is_warned_of_once(
    small_text: str, caplog: pytest.LogCaptureFixture
) -> None:
    preflight(grid_from(change(small_text, "[1.0]", "[1e-3]"), "FILE", "g"))
    told = [each.message for each in caplog.records if "the noise is" in each.message]
    assert len(told) == 1 and "smashed: the noise is" in told[0]


def test_a_mechanism_without_a_target_is_told_of_it(small_text: str) -> None:
    values = change(small_text, 'level = { "smashed.target_epsilon" = [1.0] }', "")
    values["defences"][1]["smashed"]["noise"] = 1.0
    with pytest.raises(InputError, match=r"allowed: clip_norm, noise_multiplier,.* target_epsilon"):
        preflight(grid_from(values, "FILE", "g"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a = " + "[" * 100_000, "nested too deep in"),
        ("a = " + "1" * 5000, "expected a TOML file, got Exceeds the limit"),
        ("a = \xff", "expected a TOML file"),
    ],
)
def test_a_file_that_no_parser_survives_is_refused(
    tmp_path: Path, text: str, expected: str
) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InputError) as error:
        read_grid(path)
    assert expected in str(error.value) and len(str(error.value)) < 300


@pytest.mark.parametrize("text", ["seed = 1", "[defence]\nname = 'a'", "[data]\ntask = 'mlm'"])
def test_the_file_of_a_training_is_told_from_a_grid(text: str) -> None:
    expected = "FILE: expected a grid, got a training: run finetune or pretrain on it"
    assert refusal(tomllib.loads(text)) == expected
    assert "expected a grid" not in refusal(tomllib.loads(f"tasks = ['sst2']\n{text}"))


def test_every_combination_is_a_cell_and_seeds_change_first(small_text: str) -> None:
    values = change(small_text, "seeds", 'strategies = ["fedavg", "parallel"]\nseeds')
    values |= {"tasks": ["sst2", "cola"], "cut_layers": [1, 0]}
    values["override"] = {"cola": {"training": {"rounds": 7}}}
    cells = grid_from(values, "FILE", "g").cells
    assert len(cells) == len({cell.id for cell in cells}) == 2 * 2 * 2 * 2 * 2
    assert [c.labels["seed"] for c in cells[:3]] == ["0", "1", "0"]
    assert [c.labels["task"] for c in cells] == ["sst2"] * 16 + ["cola"] * 16
    assert {c.config.training.rounds for c in cells[16:]} == {7}
    assert {(c.config.model.cut_layer, c.config.training.strategy) for c in cells} == {
        (cut, strategy) for cut in (0, 1) for strategy in ("fedavg", "parallel")
    }
    assert cells[0].labels["model"] == "tiny, cut at 1" and cells[0].labels["level"] == "-"
    assert cells[2].labels["level"] == "target_epsilon=1.0"


def test_each_cell_is_hashed_once(small_text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    values = change(small_text, "[0, 1]", f"{list(range(200))}")
    hashed = []
    monkeypatch.setattr(spec.hashlib, "sha256", lambda t: hashed.append(t) or hashlib.new("md5", t))  # type: ignore[func-returns-value]
    cells = grid_from(values, "FILE", "g").cells
    assert [cell.id for cell in cells] and len(hashed) == len(cells) == 400


def test_settings_that_hold_together_only_with_a_lists_value_are_read(small_text: str) -> None:
    values = change(small_text, "rounds = 2", 'rounds = 2\noptimizer_state = "hand_on"')
    assert "got strategy='parallel'" in refusal(values)
    cells = grid_from(values | {"strategies": ["sequential"]}, "FILE", "g").cells
    assert {cell.config.training.strategy for cell in cells} == {"sequential"}


def test_grids_of_the_repository_are_read() -> None:
    paths = [default_grid(), *sorted(Path("docs/results").rglob("grid.toml"))]
    assert len(paths) > 8
    for path in paths:
        assert read_grid(path).cells


def test_an_attack_takes_parameters_and_tells_them_in_its_name(small_text: str) -> None:
    entry = '[{ attack = "rmia", references = 2, online = true, gamma = 2.0 }, "rmia"]'
    values = change(small_text, "messages = 2", f"membership = {entry}")
    attacks = grid_from(values, "FILE", "g").cells[0].attacks
    assert attacks.membership == (
        Spec("rmia", (("gamma", 2.0), ("online", True), ("references", 2))), Spec("rmia"),
    )  # fmt: skip
    assert attacks.to_json()["membership"] == [
        {"attack": "rmia", "gamma": 2.0, "online": True, "references": 2}, "rmia",
    ]  # fmt: skip
    made, plain = (make_attack(each, MEMBERSHIP, "score") for each in attacks.membership)
    assert made.name == "rmia (online=true, references=2)" and plain.name == "RMIA, off-line"
    assert (made.references, made.online, made.view) == (2, True, "release")
    assert AttackSettings(messages=3).to_json()["updates"] == list(UPDATES)


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ((("reference", 2),), "attacks: rmia: unknown key 'reference': did you mean 'references'?"),
        ((("x", 2),), "unknown key 'x'; allowed: references, online, gamma, offset, temperature"),
        ((("references", "2"),), "attacks: rmia: expected an integer, got references='2'"),
        ((("references", True),), "attacks: rmia: expected an integer, got references=true"),
        ((("name", "mine"),), "attacks: rmia: unknown key 'name'"),
        ((("references", 10**9),), "expected references <= 1000000, got references=1000000000"),
    ],
)
def test_a_parameter_that_an_attack_has_not_is_refused(params: Any, expected: str) -> None:
    with pytest.raises(InputError) as error:
        make_attack(Spec("rmia", params), MEMBERSHIP, "score")
    assert expected in str(error.value)


def test_an_attack_without_parameters_says_so() -> None:
    with pytest.raises(InputError, match="entropy: unknown key 'view'; allowed: none"):
        make_attack(Spec("entropy", (("view", "peer"),)), MEMBERSHIP, "score")


def test_two_defences_that_tables_could_not_tell_apart_are_refused(small_text: str) -> None:
    values = tomllib.loads(small_text)
    values["defences"] += [{"name": "none", "update": {"mechanism": "clip_only"}}]
    assert "defences: expected different names, got 'none' twice" in refusal(values)
    values["defences"][2] = values["defences"][1]
    assert "got 'gaussian' at target_epsilon=1.0 twice" in refusal(values)


@pytest.mark.parametrize("own", [0, 1])
def test_the_name_of_the_undefended_row_is_no_defences(small_text: str, own: int) -> None:
    values = tomllib.loads(small_text)
    values["defences"][1]["name"] = "none"  # at a level, so that the rows differ
    values["defences"] = values["defences"][own:]
    expected = "FILE: expected another name for a defence with a mechanism at smashed, got name"
    assert refusal(values).startswith(expected)
    values["defences"][-1].pop("level")
    with pytest.raises(InputError, match="expected another name for a defence"):
        from_mapping(TrainingSettings, {"defence": values["defences"][-1]}, "FILE")
    assert from_mapping(TrainingSettings, {"defence": {"name": "none"}}, "FILE")


def test_two_attacks_that_records_could_not_tell_apart_are_refused(small_text: str) -> None:
    twice = 'membership = ["rmia", { attack = "rmia", gamma = 2.0 }]'
    grid = grid_from(change(small_text, "messages = 2", twice), "FILE", "g")
    with pytest.raises(InputError, match="expected different attacks, got two named 'RMIA, off-"):
        preflight(grid)


OWN = """
tasks = ["sst2", "own"]
[model]
source = "tiny"
[override.own.data]
source = "reviews.csv"
text = "review"
labels = [1, 2, 3]
"""


def test_ones_own_columns_stand_beside_tasks_of_glue_in_an_override() -> None:
    cells = grid_from(tomllib.loads(OWN), "FILE", "g").cells
    data = {cell.config.data.task: cell.config.data for cell in cells}
    assert data["own"].chosen_task.label_names == ("1", "2", "3")
    assert data["sst2"].text is None and "text" not in cells[0].spec()["data"]
    assert json.loads(json.dumps(cells[1].spec()))["data"]["labels"] == ["1", "2", "3"]
    assert cells[1].labels["task"] == "own"


@pytest.mark.parametrize(
    ("key", "by", "expected"),
    [
        ("override.own.data", "data", "FILE: data: expected text with task own alone, got text='r"),
        ("labels", "label", "FILE: expected a text, got data.label=[1, 2, 3]"),
        ("[1, 2, 3]", "[[1], 2]", "FILE: override: own: data: expected a finite value, got lab"),
        ("[1, 2, 3]", "3", "FILE: expected a list, got data.labels=3"),
        ("[1, 2, 3]", "[1]", "FILE: data: expected labels that differ, two at least, got labels="),
        ("text =", "txet =", "FILE: data: unknown key 'txet': did you mean 'text'?"),
        ('"review"', "['review']", "FILE: expected a text, got data.text=['review']"),
        ("[model]", 'sweep = { "data.labels" = ["a", "b"] }\n[model]', "unknown key 'data.labels'"),
    ],
)
def test_ones_own_columns_that_cannot_be_meant(key: str, by: str, expected: str) -> None:
    assert expected in refusal(change(OWN, key, by))
