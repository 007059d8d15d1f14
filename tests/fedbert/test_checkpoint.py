"""Checkpoints: resumed bit for bit, loaded by transformers, refused with the reason."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from fedbert import checkpoint
from fedbert.checkpoint import check_same, read, recover, save
from fedbert.errors import InputError
from fedbert.manifest import content_sha256, same_data
from fedbert.trainer import State, train
from privacy.defence import Defence
from privacy.dp_fedavg import DPFedAvg
from privacy.gaussian import Gaussian
from tests.fedbert import tiny

RESUMED: list[dict[str, Any]] = [
    {"strategy": "centralised"},
    {"strategy": "fedavg"},
    {"strategy": "fedavg", "optimizer_state": "reset"},
    {"strategy": "fedavg", "clients_per_round": 2},
    {"strategy": "parallel"},
    {"strategy": "parallel", "optimizer_state": "reset"},
    {"strategy": "parallel", "clients_per_round": 2, "partition": "quantity"},
    {"strategy": "sequential"},
    {"strategy": "sequential", "client_parts": "average"},
    {"strategy": "sequential", "optimizer_state": "reset"},
    {"strategy": "sequential", "optimizer_state": "hand_on", "clients_per_round": 2},
    {"strategy": "parallel", "optimizer": "sgd"},
]


def resumes_bit_for_bit(
    folder: Path, kind: str, defence: Defence = tiny.NO_DEFENCE, **run: Any
) -> None:
    config = tiny.config_of(kind, clients=3, **run)
    prepared = tiny.prepared_for(config, kind)
    states: list[State] = []
    whole = train(config, prepared, defence, on_round=states.append)
    assert [s.round for s in states] == [1, 2, 3]
    assert tiny.as_bytes(states[-1]) == tiny.as_bytes(whole.state)
    for state in states:
        save(folder / "c", config, prepared, state, {"name": defence.name}, [])
        found = read(folder / "c")
        assert tiny.as_bytes(found.state) == tiny.as_bytes(state)
        again = train(
            config,
            tiny.prepared_for(config, kind),
            defence,
            start=found.state,
            on_round=lambda state: None,
        )
        assert tiny.as_bytes(again.state) == tiny.as_bytes(whole.state)
        assert (again.losses, again.bytes) == (whole.losses, whole.bytes)
        assert (again.releases, again.protection) == (whole.releases, whole.protection)


@pytest.mark.parametrize("run", RESUMED, ids=lambda run: "-".join(map(str, run.values())))
def test_resuming_after_any_round_gives_the_same_bytes(run: dict[str, Any], tmp_path: Path) -> None:
    resumes_bit_for_bit(tmp_path, "two", **run)


@pytest.mark.parametrize("run", [RESUMED[1], RESUMED[6], RESUMED[10]], ids=str)
def test_resuming_pre_training_gives_the_same_bytes(run: dict[str, Any], tmp_path: Path) -> None:
    resumes_bit_for_bit(tmp_path, "mlm-tied", **run)


def test_resuming_with_noise_gives_the_same_bytes(tmp_path: Path) -> None:
    both = Defence("both", smashed=Gaussian(1.0, 0.1), update=DPFedAvg(0.5, 0.1))
    resumes_bit_for_bit(tmp_path, "two", both, strategy="parallel")


@pytest.mark.parametrize("kind", ["two", "three", "score", "mlm-tied", "mlm-untied"])
@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_transformers_loads_the_model(architecture: str, kind: str, tmp_path: Path) -> None:
    config = tiny.config_of(kind, clients=2, architecture=architecture, rounds=1)
    prepared = tiny.prepared_for(config, kind)
    done = train(config, prepared, tiny.NO_DEFENCE)
    model = read(save(tmp_path / "c", config, prepared, done.state, {}, [])).model
    auto = AutoModelForMaskedLM if kind.startswith("mlm") else AutoModelForSequenceClassification
    loaded, info = auto.from_pretrained(model, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    assert not info["mismatched_keys"]
    loaded.eval()
    done.split.whole.eval()
    batch = prepared.clients[0].batch(0)
    inputs = {
        "input_ids": batch.input_ids,
        "attention_mask": batch.attention_mask,
        "token_type_ids": batch.token_type_ids,
    }
    with torch.no_grad():
        # The parameters are equal to the last bit (below); sums may differ with memory alignment.
        expected = done.split.logits(batch)
        torch.testing.assert_close(loaded(**inputs).logits, expected, rtol=1e-6, atol=1e-6)
    found = dict(loaded.named_parameters())
    assert found.keys() == done.state.values.keys()
    for name, parameter in found.items():
        np.testing.assert_array_equal(parameter.detach().numpy(), done.state.values[name])
    tokens = AutoTokenizer.from_pretrained(model)
    text = "w1 w2 w44"
    assert tokens(text)["input_ids"] == prepared.tokenizer(text)["input_ids"]
    assert not list(model.glob("*.bin")) and not list(model.glob("*.pt"))


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One good checkpoint, copied by every test that spoils it."""
    config = tiny.config_of("two", clients=2, rounds=2)
    prepared = tiny.prepared_for(config)
    done = train(config, prepared, tiny.NO_DEFENCE)
    folder = tmp_path_factory.mktemp("pristine") / "c"
    return save(folder, config, prepared, done.state, {"name": "none"}, [])


@pytest.fixture
def spoiled(pristine: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(pristine, tmp_path / "c"))


def edit(folder: Path, change: Callable[[dict[str, Any]], None], rehash: bool = False) -> None:
    """Change a manifest; rehash: as somebody would who knows of its hash."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    if rehash:
        manifest["manifest_sha256"] = content_sha256(manifest)
    path.write_text(json.dumps(manifest))


def truncate(folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(folder: Path, name: str) -> None:
    path = folder / name
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(bytes(data))


def pickled(folder: Path, name: str) -> None:
    (folder / name).write_bytes(pickle.dumps({"weight": 1}))


def escape(name: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder.parent / "outside").write_text("secret")
        edit(folder, lambda m: m["sha256"].update({name: "0" * 64}), rehash=True)

    return change


def link(folder: Path) -> None:
    outside = folder.parent / "outside.safetensors"
    shutil.move(folder / "state.safetensors", outside)
    (folder / "state.safetensors").symlink_to(outside)


SPOILS: dict[str, tuple[Callable[[Path], None], str]] = {
    "truncated state": (lambda f: truncate(f, "state.safetensors"), "state.safetensors"),
    "truncated model": (lambda f: truncate(f, "model/model.safetensors"), "model.safetensors"),
    "flipped state": (lambda f: flip(f, "state.safetensors"), "expected the sha256"),
    "flipped model": (lambda f: flip(f, "model/model.safetensors"), "expected the sha256"),
    "edited config": (
        lambda f: (f / "model/config.json").write_text("{}"),
        "model/config.json",
    ),
    "no state": (lambda f: (f / "state.safetensors").unlink(), "expected state.safetensors in"),
    "no model": (lambda f: shutil.rmtree(f / "model"), "got no such file"),
    "no manifest": (lambda f: (f / "manifest.json").unlink(), "manifest.json, got none"),
    "pickle": (lambda f: pickled(f, "model/pytorch_model.bin"), "model/pytorch_model.bin"),
    "extra": (lambda f: pickled(f, "notes.txt"), "got notes.txt"),
    "not JSON": (lambda f: truncate(f, "manifest.json"), "expected JSON"),
    "binary manifest": (lambda f: (f / "manifest.json").write_bytes(b"\xff\xfe\x00"), "JSON"),
    "list": (lambda f: (f / "manifest.json").write_text("[1]"), "foreign manifest"),
    "foreign": (lambda f: edit(f, lambda m: m.update(format="other"), True), "foreign manifest"),
    "version": (lambda f: edit(f, lambda m: m.update(version=99), True), "got version=99"),
    "no losses": (lambda f: edit(f, lambda m: m.pop("losses"), True), "expected key 'losses'"),
    "round": (lambda f: edit(f, lambda m: m.update(round=1)), "another content"),
    "loss": (lambda f: edit(f, lambda m: m["losses"].append(0.1)), "another content"),
    "cost": (lambda f: edit(f, lambda m: m["costs"].append({"n": 1})), "another content"),
    "seed": (lambda f: edit(f, lambda m: m["config"].update(seed=5)), "another content"),
    "unhashed": (lambda f: edit(f, lambda m: m.pop("manifest_sha256")), "another content"),
    "hash": (
        lambda f: edit(f, lambda m: m["sha256"].update({"state.safetensors": "0" * 64}), True),
        "expected the sha256",
    ),
    "unlisted": (
        lambda f: edit(f, lambda m: m["sha256"].pop("state.safetensors"), True),
        "got state.safetensors",
    ),
    "unknown setting": (
        lambda f: edit(f, lambda m: m["config"]["training"].update(speed=1), True),
        "unknown key 'speed'",
    ),
    "parent": (escape("../outside"), "inside the checkpoint, got '../outside'"),
    "absolute": (escape("/etc/hostname"), "inside the checkpoint, got '/etc/hostname'"),
    "nested": (escape("model/../../outside"), "inside the checkpoint"),
    "link": (link, "inside the checkpoint, got 'state.safetensors'"),
}


@pytest.mark.parametrize("name", SPOILS)
def test_a_spoiled_checkpoint_is_refused_in_one_line(name: str, spoiled: Path) -> None:
    spoil, reason = SPOILS[name]
    read(spoiled)
    spoil(spoiled)
    with pytest.raises(InputError) as error:
        read(spoiled)
    assert reason in str(error.value)
    assert "\n" not in str(error.value)
    assert "secret" not in str(error.value)


def test_no_checkpoint_at_all_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"expected a checkpoint with manifest\.json, got none"):
        read(tmp_path / "nowhere")


def test_the_manifest_says_what_was_trained(pristine: Path) -> None:
    found = read(pristine)
    assert found.config == tiny.config_of("two", clients=2, rounds=2)
    assert found.state.round == found.manifest["round"] == 2
    assert found.manifest["defence"] == {"name": "none"}
    assert "0" * 64 not in json.dumps(found.manifest)  # the data's hash, for whoever has no key
    assert same_data(pristine, found.manifest, "0" * 64)
    assert not same_data(pristine, found.manifest, "1" * 64)
    assert found.manifest["members"] == list(range(24)) and found.manifest["pool"] == 24
    assert set(found.manifest["provenance"]) >= {"commit", "dirty", "versions", "threads"}
    assert all(not v.flags.writeable for v in found.state.values.values())
    files = {str(p.relative_to(pristine)) for p in pristine.rglob("*") if p.is_file()}
    assert files == set(found.manifest["sha256"]) | {"manifest.json"}
    assert not any(p.suffix in (".bin", ".pt", ".pkl") for p in pristine.rglob("*"))


def test_a_resumed_run_has_to_be_the_same_run(pristine: Path) -> None:
    found = read(pristine)
    same = tiny.config_of("two", clients=2, rounds=2)
    none = {"name": "none"}
    check_same(found, same, "0" * 64, none)
    others = {
        "model": replace(same, model=replace(same.model, cut_layer=1)),
        "data": replace(same, data=replace(same.data, max_length=32)),
        "training": replace(same, training=replace(same.training, rounds=3)),
        "seed": replace(same, seed=1),
    }
    for part, other in others.items():
        with pytest.raises(InputError, match=f"expected a checkpoint of the same {part}") as error:
            check_same(found, other, "0" * 64, none)
        assert "\n" not in str(error.value)
    own = {"smashed": {"mechanism": "gaussian", "clip_norm": 1.0}}
    told = [
        (others["training"], none, r"same training.rounds, got training.rounds=2 in .*has 3$"),
        (
            same,
            none | own,
            r"same defence.smashed, got defence.smashed=nothing in .*has \{.*1\.0\}$",
        ),
    ]
    for config, defence, words in told:
        with pytest.raises(InputError, match=words):
            check_same(found, config, "0" * 64, defence)
    with pytest.raises(InputError, match="same data, got another hash in "):
        check_same(found, same, "1" * 64, none)
    with pytest.raises(InputError, match="expected a checkpoint of the same defence"):
        check_same(found, same, "0" * 64, none | {"delta": 1e-6})


def test_a_manifest_with_the_pools_earlier_key_is_read(pristine: Path, tmp_path: Path) -> None:
    folder = tmp_path / "earlier"
    shutil.copytree(pristine, folder)

    def earlier(manifest: dict[str, Any]) -> None:
        data = manifest["config"]["data"]
        data["pool"] = data.pop("pool_size") or 24

    edit(folder, earlier, True)
    found = read(folder)
    before = read(pristine).config
    assert found.config == replace(before, data=replace(before.data, pool_size=24))
    edit(folder, lambda m: m["config"]["data"].update(pool_size=3), True)
    with pytest.raises(InputError, match="unknown key 'pool': did you mean 'pool_size'"):
        read(folder)


class CrashError(OSError):
    """Stands for a full disk or a kill."""


def crash_in_save_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise CrashError

    monkeypatch.setattr(checkpoint, "save_file", fail)


def crash_in_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Path) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "hashes_of", fail)


def crash_in_rename(number: int) -> Callable[[pytest.MonkeyPatch], None]:
    def apply(monkeypatch: pytest.MonkeyPatch) -> None:
        calls = iter(range(100))
        plain = os.rename

        def rename(*arguments: Any) -> None:
            if next(calls) == number:
                raise CrashError
            plain(*arguments)

        monkeypatch.setattr(os, "rename", rename)

    return apply


@pytest.mark.parametrize(
    "crash",
    [crash_in_save_file, crash_in_hash, crash_in_rename(0), crash_in_rename(1)],
    ids=["save_file", "interrupted", "first rename", "second rename"],
)
def test_a_crash_while_saving_leaves_the_earlier_checkpoint(
    crash: Callable[[pytest.MonkeyPatch], None], spoiled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tiny.as_bytes(read(spoiled).state)
    config = tiny.config_of("two", clients=2, rounds=2)
    prepared = tiny.prepared_for(config)
    states: list[State] = []
    train(config, prepared, tiny.NO_DEFENCE, on_round=states.append)
    with monkeypatch.context() as patch:
        crash(patch)
        with pytest.raises((CrashError, KeyboardInterrupt)):
            save(spoiled, config, prepared, states[0], {}, [])
    assert sorted(os.listdir(spoiled.parent)) == ["c", "run.secret"]
    assert tiny.as_bytes(read(spoiled).state) == before
    save(spoiled, config, prepared, states[0], {}, [])
    assert sorted(os.listdir(spoiled.parent)) == ["c", "run.secret"]
    assert tiny.as_bytes(read(spoiled).state) == tiny.as_bytes(states[0]) != before


def test_saving_leaves_the_model_in_memory_alone(tmp_path: Path) -> None:
    config = tiny.config_of("two", rounds=1)
    prepared = tiny.prepared_for(config)
    before = {n: p.detach().clone() for n, p in prepared.split.whole.named_parameters()}
    done = train(config, prepared, tiny.NO_DEFENCE)
    save(tmp_path / "c", config, prepared, done.state, {}, [])
    for name, parameter in prepared.split.whole.named_parameters():
        assert torch.equal(parameter, before[name]), name


def test_a_diverged_training_is_not_saved(spoiled: Path) -> None:
    config = tiny.config_of("two", clients=2, rounds=2)
    prepared = tiny.prepared_for(config)
    state = replace(read(spoiled).state, losses=(0.5, float("nan")))
    with pytest.raises(InputError, match="the training diverged"):
        save(spoiled, config, prepared, state, {}, [])
    assert read(spoiled).state.losses != (0.5, float("nan"))
    assert os.listdir(spoiled.parent) == ["c"]


def test_a_checkpoint_left_aside_by_a_kill_is_put_back(tmp_path: Path) -> None:
    place = tmp_path / "checkpoint"
    aside = tmp_path / ".checkpoint.old"
    aside.mkdir()
    (aside / "manifest.json").write_text("{}")
    (tmp_path / ".checkpoint.tmp").mkdir()
    recover(place)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint"]
    assert (place / "manifest.json").exists()
    recover(place)
    assert (place / "manifest.json").exists()
