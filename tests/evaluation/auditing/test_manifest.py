"""A manifest that contradicts itself is told so without the data; a good one never is."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from evaluation.auditing import subject as subjects
from evaluation.auditing.card import audit
from evaluation.auditing.manifest import mismatches, not_checked
from evaluation.auditing.recorded_facts import Sizes, even_share, most_apart
from evaluation.auditing.request import Request
from evaluation.auditing.subject import open_subject
from evaluation.grid.defence import NO_LAUNCHES, facts_of, make_defence
from evaluation.grid.launches import Launches
from evaluation.run.journal import Journal
from evaluation.run.saver import Saver
from evaluation.run.training_file import read_training
from fedbert.config import Config, DataConfig
from fedbert.errors import InputError
from fedbert.export import export
from fedbert.manifest import content_sha256
from fedbert.prepare import prepare
from fedbert.schedule import participations
from fedbert.trainer import State
from fedbert.training_settings import TrainingConfig
from privacy.accountants import gaussian_epsilon
from reports.card.content import NOT_MEASURED

TRAINING = """
seed = {seed}
[model]
source = "tiny"
tokenizer = "generated"
{model}
[data]
task = "{task}"
source = "generated"
pool_size = 75
evaluation = 10
max_length = 24
clients = 2
hold_out = 0.3
{data}
[training]
rounds = 4
local_steps = 3
batch_size = 8
strategy = "{strategy}"
{training}
[defence]
name = "guarded"
{defence}
"""
SMASHED = 'smashed = { mechanism = "gaussian", clip_norm = 4.0, noise_multiplier = 0.5 }'
ASKED = 'smashed = { mechanism = "gaussian", clip_norm = 4.0, target_epsilon = 50.0 }'
SEQUENCE = ASKED.replace("clip_norm", 'unit = "sequence", clip_norm')
DP_SGD = 'training = { mechanism = "dp_sgd", clip_norm = 1.0, noise_multiplier = 2.0 }'
DP_SGD_ASKED = DP_SGD.replace("noise_multiplier = 2.0", "target_epsilon = 1.0")
FEDAVG = 'update = { mechanism = "dp_fedavg", clip_norm = 1.0, noise_multiplier = 2.0 }'
FEDAVG_ASKED = FEDAVG.replace("noise_multiplier = 2.0", "target_epsilon = 9.0")
FTRL = FEDAVG_ASKED.replace("dp_fedavg", "dp_ftrl").replace("clip_norm", "bands = 2, clip_norm")
CYCLE = 'clients_per_round = 1\nparticipation = "cyclic"'
LABELS = 'labels = { mechanism = "randomised_response", epsilon = 1.0 }'
LAPLACE = 'smashed = { mechanism = "laplace", clip_norm = 4.0, epsilon = 3.0 }'
GRADIENT = (
    'hidden_gradient = { mechanism = "gaussian", unit = "sequence", clip_norm = 4.0, '
    "noise_multiplier = 0.5 }"
)


def made(folder: Path, done: int = 4, launches: Launches = NO_LAUNCHES, **parts: str) -> Path:
    """Return the checkpoint that a training would have left, without the training."""
    filled = {"model": "", "task": "sst2", "data": "", "training": "", "strategy": "parallel",
              "defence": "", "seed": "3"} | parts  # fmt: skip
    text = TRAINING
    for key, value in filled.items():
        text = text.replace("{" + key + "}", value)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "training.toml").write_text(text)
    settings = read_training(folder / "training.toml", pretraining=filled["task"] == "mlm")
    prepared = prepare(settings.config)
    facts = facts_of(settings.config, prepared, settings.defence, settings.delta)
    defence = make_defence(settings.defence, facts)
    journal = Journal(folder / "launches.json", "of")
    saver = Saver(
        settings, prepared, defence, folder / "checkpoint", 1, lambda *_: None, journal, launches
    )
    saver.round(State(done, {}, {}, {}, {}, (0.5,) * done))
    return folder / "checkpoint"


@pytest.fixture
def without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: Any, **__: Any) -> None:
        raise InputError("expected the data, got none")

    monkeypatch.setattr(subjects, "prepare", gone)


GOOD = [
    {},
    {"strategy": "centralised"},
    {"strategy": "centralised", "defence": DP_SGD_ASKED},
    {"strategy": "fedavg", "defence": FEDAVG},
    {"strategy": "fedavg", "defence": FEDAVG.replace("dp_fedavg", "local_dp_fedavg")},
    {"strategy": "parallel", "defence": f"{ASKED}\n{LABELS}"},
    {"strategy": "parallel", "defence": FEDAVG_ASKED},
    {"strategy": "parallel", "defence": f"{SMASHED}\n{DP_SGD}", "data": 'partition = "quantity"'},
    {"strategy": "parallel", "defence": ASKED, "data": 'partition = "dirichlet"'},
    {"strategy": "fedavg", "defence": FTRL, "training": CYCLE},
    {"strategy": "sequential", "defence": f"{SEQUENCE}\n{GRADIENT}", "model": "cut_layer = 1"},
    {"strategy": "sequential", "defence": SMASHED, "training": "clients_per_round = 1"},
    {"strategy": "sequential", "defence": LAPLACE, "training": 'optimizer_state = "hand_on"'},
    {
        "strategy": "parallel",
        "model": "freeze_embeddings = true",
        "defence": SMASHED.replace("clip_norm", "one_shot = true, clip_norm"),
    },
    {"task": "mlm", "defence": SMASHED},
    {"task": "stsb", "defence": DP_SGD, "data": 'partition = "dirichlet"'},
]  # fmt: skip


def test_sizes_of_clients_do_not_follow_where_persons_are_dealt_whole() -> None:
    rows = DataConfig(task="own", text="review")
    assert Sizes(Config(data=rows), 100, False).exact
    assert not Sizes(Config(data=replace(rows, group="author")), 100, False).exact


@pytest.mark.parametrize("parts", GOOD, ids=lambda parts: "-".join(parts.values())[:60])
def test_a_good_manifest_contradicts_nothing(
    tmp_path: Path, without_data: None, parts: dict[str, str]
) -> None:
    """Noise is calibrated for all four rounds, also where the training was interrupted."""
    done = 1 if "target_epsilon" in parts.get("defence", "") else 4
    subject = open_subject(made(tmp_path, done, **parts), None)
    assert subject.own is None and mismatches(subject) == []


def test_a_client_pays_for_its_rounds_done_again(tmp_path: Path, without_data: None) -> None:
    """Two clients in turn, four rounds: by three launches rounds 0 and 1, then 0 to 3, 2 and 3."""
    launches = Launches().began(0, 2).began(0, 2).saved(2).began(2, 2)
    directory = made(tmp_path, launches=launches, **TURNS)
    manifest = json.loads((directory / "manifest.json").read_text())
    (cost,) = manifest["costs"]
    assert cost["releases"] == 1 + 2 + 1
    claim = next(each for each in manifest["guarantees"] if each["view"] == "release")
    assert claim["epsilon"] == pytest.approx(
        gaussian_epsilon(cost["event"]["noise_multiplier"], 4, 1e-5)
    )
    assert "takes part more than 4 times, or again within 2 rounds" in claim["sentence"]
    assert mismatches(open_subject(directory, None)) == []


Change = Callable[[dict[str, Any]], None]


def cost_of(place: str, **values: Any) -> Change:
    """Return a change of one cost."""

    def change(manifest: dict[str, Any]) -> None:
        (cost,) = [each for each in manifest["costs"] if each["place"] == place]
        for key, value in values.items():
            (cost["event"] if key in cost["event"] else cost)[key] = value

    return change


def claim_of(view: str, **values: Any) -> Change:
    """Return a change of one claim."""

    def change(manifest: dict[str, Any]) -> None:
        (claim,) = [
            each
            for each in manifest["guarantees"]
            if each["view"] == view and each.get("unit") != "label"
        ]
        claim.update(values)

    return change


def config_of(part: str, **values: Any) -> Change:
    """Return a change of the configuration."""
    return lambda manifest: manifest["config"][part].update(values)


def defence_of(place: str, **values: Any) -> Change:
    """Return a change of what the defence asks for."""
    return lambda manifest: manifest["defence"][place].update(values)


BOTH = {"defence": f"{SMASHED}\n{DP_SGD}\n{LABELS}"}
UPDATE = {"strategy": "fedavg", "defence": FEDAVG}
TURNS = {"strategy": "fedavg", "defence": FTRL, "training": CYCLE}
LIES: dict[str, tuple[dict[str, str], Change, str]] = {
    "fewer steps": (BOTH, cost_of("training", releases=11), "training releases"),
    "more local steps": (BOTH, config_of("training", local_steps=4), "training releases"),
    "more noise than the defence": (BOTH, cost_of("training", noise_multiplier=3.0), "noise_mult"),
    "a defence of more noise": (BOTH, defence_of("training", noise_multiplier=3.0), "noise_mult"),
    "more noise on A": (BOTH, cost_of("smashed", noise_multiplier=1.0), "noise_multiplier"),
    "a smaller rate": (BOTH, cost_of("training", sample_rate=0.01), "sample_rate"),
    "a smaller batch": (BOTH, config_of("training", batch_size=4), "sample_rate"),
    "fewer clients": (BOTH, config_of("data", clients=1), "sample_rate"),
    "fewer releases": (BOTH, cost_of("smashed", releases=2), "smashed releases"),
    "fewer rounds on updates": (UPDATE, cost_of("update", releases=2), "update releases"),
    "fewer turns of a client": (TURNS, cost_of("update", releases=1), "update releases"),
    "a round too many in turn": (TURNS, lambda m: m.update(round=5), "round: recorded 5"),
    "more bands than rounds apart": (TURNS, defence_of("update", bands=3), "has bands=3"),
    "turns drawn by chance": (TURNS, config_of("training", participation="random"), "has bands=2"),
    "labels sent twice": (BOTH, cost_of("labels", releases=2), "labels releases"),
    "another unit": (BOTH, cost_of("training", unit="client"), "training unit"),
    "epsilon": (BOTH, claim_of("release", epsilon=0.01), "epsilon"),
    "a claim's releases": (BOTH, claim_of("release", releases=3), "releases"),
    "a claim's delta": (BOTH, claim_of("forward", delta=1e-9), "delta"),
    "the defence's delta": (BOTH, lambda m: m["defence"].update(delta=1e-9), "delta"),
    "a claim about tokens behind a layer": (BOTH, config_of("model", cut_layer=1), "forward kind"),
    "noise on A under fedavg": (BOTH, config_of("training", strategy="fedavg"), "sends none"),
    "noise on updates in turn": (UPDATE, config_of("training", strategy="sequential"), "in turn"),
    "a cost without a mechanism": (BOTH, lambda m: m["defence"].pop("smashed"), "costs"),
    "a mechanism without a cost": (BOTH, lambda m: m["costs"].pop(0), "costs"),
    "a claim left out": (BOTH, lambda m: m["guarantees"].pop(0), "guarantees"),
    "a round too many": (BOTH, lambda m: m.update(round=5), "round: recorded 5, recomputed 4"),
    "a loss too few": (BOTH, lambda m: m["losses"].pop(), "losses: recorded 3, recomputed 4"),
    "a member twice": (BOTH, lambda m: m["members"].append(m["members"][0]), "members"),
    "nobody held out": (BOTH, config_of("data", hold_out=0.0), "hold_out is 0"),
}


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Checkpoints before somebody changes them, by their defence."""
    return {
        parts["defence"]: made(tmp_path_factory.mktemp("honest"), **parts)
        for parts in (BOTH, UPDATE, TURNS)
    }


@pytest.mark.parametrize("name", LIES)
def test_a_contradiction_is_named(honest: dict[str, Path], without_data: None, name: str) -> None:
    parts, change, named = LIES[name]
    path = honest[parts["defence"]] / "manifest.json"
    before = path.read_text()
    manifest = json.loads(before)
    change(manifest)
    manifest["manifest_sha256"] = content_sha256(manifest)
    try:
        path.write_text(json.dumps(manifest))
        subject = open_subject(path.parent, None)
        found = mismatches(subject)
    finally:
        path.write_text(before)
    assert subject.own is None and any(named in line for line in found), found
    assert all("recorded" in line for line in found), found


DRAWN = {
    "strategy": "fedavg", "defence": FTRL.replace("target_epsilon = 9.0", "noise_multiplier = 2.0"),
    "training": "clients_per_round = 1",
}  # fmt: skip
ONE_BAND = DRAWN | {"defence": DRAWN["defence"].replace("bands = 2", "bands = 1")}
STEPS = {"defence": DP_SGD, "training": "clients_per_round = 1"}


def handed(folder: Path, *changes: Change, seed: int, done: int = 4, **parts: Any) -> Path:
    """Return an export whose manifest somebody may have changed and sealed again."""
    directory = export(made(folder, done, seed=str(seed), **parts), folder / "over").directory
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text())
    for change in changes:
        change(manifest)
    path.write_text(json.dumps(manifest | {"manifest_sha256": content_sha256(manifest)}))
    return directory


@pytest.mark.parametrize(
    ("parts", "seed", "count", "told"),
    [
        (
            DRAWN,
            19,
            2,
            "most 2 for each and not again within 2 rounds: drawn",
        ),
        (ONE_BAND, 20, 4, "most 4 for each: drawn"),  # always the same
        (STEPS, 20, 12, "most 12 for each: drawn"),
    ],
    ids=["in turn", "always the same", "steps"],
)
def test_an_honest_export_of_drawn_clients_is_no_violation_and_not_checked(
    tmp_path: Path, parts: dict[str, str], seed: int, count: int, told: str
) -> None:
    """Two clients, one in each of four rounds; no export has the seed."""
    directory = handed(tmp_path, seed=seed, **parts)
    (cost,) = json.loads((directory / "manifest.json").read_text())["costs"]
    assert cost["releases"] == count and mismatches(open_subject(directory, None)) == []
    card = audit(directory, Request())
    (check,) = [each for each in card.checks if each.what == "manifest: schedule"]
    assert check.verdict == NOT_MEASURED and told in check.detail and card.code == 3
    assert "a seed that an export does not have" in check.detail


def test_what_an_export_can_be_held_against_is_said_of_no_other(
    tmp_path: Path, honest: dict[str, Path]
) -> None:
    """A cycle is the same count for every seed, and a checkpoint has its seed."""
    turns = export(honest[FTRL], tmp_path / "over").directory
    for directory in (turns, honest[FTRL]):
        subject = open_subject(directory, None)
        assert not_checked(subject) == [] and mismatches(subject) == []


EPSILON = gaussian_epsilon(2.0, 1, 1e-5)
FITTED = [claim_of(view, releases=1, epsilon=EPSILON) for view in ("peer", "release")]
AGAIN = Launches().began(0, 2).began(0, 2).saved(2).began(2, 2)  # 2, 4 and 2 rounds
FEWER: dict[str, tuple[dict[str, Any], int, str, int, list[Change]]] = {
    "rounds": (ONE_BAND, 4, "update", 2, FITTED),
    "rounds of all launches": (ONE_BAND | {"launches": AGAIN}, 4, "update", 4, FITTED),
    "rounds, unfinished": (ONE_BAND | {"defence": FTRL}, 3, "update", 2, []),
    "steps": (STEPS, 4, "training", 6, [claim_of("release", releases=1)]),
}


@pytest.mark.parametrize("name", FEWER)
def test_an_export_cannot_claim_fewer_than_every_draw_of_clients_comes_to(
    tmp_path: Path, name: str
) -> None:
    parts, done, place, least, changes = FEWER[name]
    lie = cost_of(place, releases=1)
    directory = handed(tmp_path, lie, *changes, seed=20, done=done, **parts)
    said = f"costs {place} releases: recorded 1, recomputed {least} at least, whoever was drawn"
    assert said in mismatches(open_subject(directory, None))


@examples(max_examples=40)
@given(st.integers(2, 7), st.integers(1, 6), st.integers(1, 12), st.integers(0, 1000))
def test_every_draw_of_clients_is_within_what_an_export_is_held_to(
    n: int, count: int, rounds: int, seed: int
) -> None:
    training = TrainingConfig(strategy="fedavg", rounds=rounds, clients_per_round=min(count, n - 1))
    config = Config(data=DataConfig(clients=n), training=training, seed=seed)
    turns, apart = participations(config)
    most = most_apart(config)
    assert turns is not None and turns >= even_share(config, rounds)
    assert apart is None or most is None or apart <= most
    assert (apart is None) <= (most is None)


def test_an_export_of_more_bands_than_any_draw_allows_is_a_violation(tmp_path: Path) -> None:
    directory = handed(tmp_path, defence_of("update", bands=3), seed=19, **DRAWN)
    assert any("has bands=3" in line for line in mismatches(open_subject(directory, None)))


@pytest.mark.parametrize(
    "releases", [10**400, -1, True, 1.5, "3"], ids=["endless", "below 0", "bool", "float", "text"]
)
def test_releases_that_are_no_count_are_refused(tmp_path: Path, releases: Any) -> None:
    directory = made(tmp_path, defence=SMASHED)
    path = directory / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["costs"][0]["releases"] = releases
    path.write_text(json.dumps(manifest | {"manifest_sha256": content_sha256(manifest)}))
    with pytest.raises(InputError, match="expected costs and guarantees as a checkpoint has them"):
        open_subject(directory, None)


def test_a_model_folder_whose_library_raises_whatever_is_refused(tmp_path: Path) -> None:
    """`tokenizers` raises a plain Exception, transformers errors of its own."""
    for name, key, value in [
        ("tokenizer.json", "post_processor", 4),
        ("config.json", "hidden_size", 128.0),
        ("tokenizer_config.json", "mask_token", 1.5),
    ]:
        directory = made(tmp_path / name) / "model"
        path = directory / name
        path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
        with pytest.raises(InputError, match=r"expected a (model|tokenizer) at source="):
            open_subject(directory, "sst2")
