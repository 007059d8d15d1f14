"""Checkpoint and export of a one-message training: whole, bit for bit, and refused if anything."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModel

from evaluation.auditing.manifest import mismatches
from evaluation.auditing.subject import Subject, open_subject
from evaluation.run.training import run_training
from evaluation.run.training_file import read_training
from fedbert import trainer
from fedbert.checkpoint import read
from fedbert.data.batches import Batch, collate
from fedbert.errors import InputError
from fedbert.export import export
from fedbert.one_message.files import read_released
from fedbert.one_message.run import from_values
from fedbert.prepare import prepare
from privacy.accountants import gaussian_epsilon
from tests.evaluation.auditing.message_world import ANSWERED, trained, written


@pytest.fixture(scope="module")
def said() -> list[Any]:
    return []


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, said: list[Any]) -> Path:
    return trained(tmp_path_factory.mktemp("one") / "place", said=said, pool="60")


@pytest.fixture(scope="module")
def subject(checkpoint: Path) -> Subject:
    return open_subject(checkpoint, None)


def some(subject: Subject) -> Batch:
    assert subject.own is not None
    return collate(subject.own.pool, list(range(6)), subject.vocabulary.pad)


def answers(subject: Subject, batch: Batch) -> torch.Tensor:
    subject.split.whole.eval()
    with torch.no_grad():
        return subject.split.logits(batch)


def test_what_is_read_answers_bit_for_bit_as_what_was_trained(
    checkpoint: Path, subject: Subject
) -> None:
    found = read(checkpoint)
    made = load_file(checkpoint / "model" / "message.safetensors")
    assert made.keys() == found.state.values.keys()
    assert all(made[n].tobytes() == v.tobytes() for n, v in found.state.values.items())
    config = found.config
    again = replace(subject, split=from_values(config, prepare(config).split, made, None))
    batch = some(subject)
    assert torch.equal(answers(again, batch), answers(subject, batch))
    assert subject.split.notes == ()


def test_the_encoder_is_the_public_one_and_has_no_head(checkpoint: Path, subject: Subject) -> None:
    loaded, told = AutoModel.from_pretrained(checkpoint / "model", output_loading_info=True)
    assert not any(told[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    public = prepare(read(checkpoint).config).split.whole.bert.state_dict()
    assert loaded.state_dict().keys() == public.keys()
    assert all(torch.equal(public[name], value) for name, value in loaded.state_dict().items())
    with pytest.raises(InputError, match="expected a model ForSequenceClassification") as error:
        open_subject(checkpoint / "model", "sst2")
    assert "\n" not in str(error.value)


def test_a_finished_training_says_the_same_again(checkpoint: Path, said: list[Any]) -> None:
    (told,) = [each for each in said if isinstance(each, tuple)]
    assert told[1] is None  # a message has no loss
    before = (checkpoint / "manifest.json").read_bytes()
    settings = read_training(checkpoint.parent.parent / "t.toml", pretraining=False)
    lines = run_training(settings, checkpoint.parent, 1, lambda *_: pytest.fail("trained again"))
    assert lines == said[1:] and not any("begun" in line for line in lines)
    assert (checkpoint / "manifest.json").read_bytes() == before


def changed(name: str, **values: Any) -> Any:
    """Return a change of a file's tensors: those given are put in, None takes one out."""

    def change(directory: Path) -> None:
        tensors = load_file(directory / name)
        for key, value in values.items():
            key = key.replace("__", ".")
            tensors.pop(key, None)
            if value is not None:
                tensors[key] = value
        save_file(tensors, directory / name, {"format": "pt"})

    return change


MESSAGE, WEIGHTS = "message.safetensors", "model.safetensors"
BROKEN = {
    "missing": (changed(MESSAGE, encoder__centre=None), "missing: encoder.centre"),
    "spare": (changed(MESSAGE, more=np.zeros(2, np.float32)), "that fit nothing: more"),
    "misshaped": (
        changed(MESSAGE, encoder__matrix=np.zeros((128, 7))),
        r"another shape: encoder.matrix \[128, 7\] instead of \[128, 8\]",
    ),
    "no number": (changed(MESSAGE, encoder__centre=np.full(128, np.nan)), "NaN or infinity in enc"),
    "whole": (changed(MESSAGE, encoder__centre=np.zeros(128, np.int64)), "int64 in encoder.centre"),
    "halved": (
        changed(MESSAGE, classifier__linear__bias=np.zeros(2, np.float16)),
        "expected classifier.linear.bias in float32, got float16",
    ),
    "no file": (lambda directory: (directory / MESSAGE).unlink(), "expected the safetensors of a"),
    "a head": (changed(WEIGHTS, classifier__bias=np.zeros(2, np.float32)), "without a head, got c"),
    "no pooler": (
        changed(WEIGHTS, pooler__dense__bias=None, pooler__dense__weight=None),
        "expected a whole encoder, got one without pooler.dense.bias",
    ),
    "no layer": (changed(WEIGHTS, **{"embeddings__LayerNorm__bias": None}), "missing: bert.embedd"),
    "no encoder": (lambda directory: (directory / WEIGHTS).unlink(), "safetensors of an encoder"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_files_that_are_not_whole_are_refused_in_one_line(
    checkpoint: Path, subject: Subject, tmp_path: Path, name: str
) -> None:
    change, expected = BROKEN[name]
    shutil.copytree(checkpoint / "model", tmp_path / "model")
    change(tmp_path / "model")
    config = replace(
        subject.config, model=replace(subject.config.model, source=str(tmp_path / "model"))
    )
    with pytest.raises(InputError, match=expected) as error:
        read_released(tmp_path / "model", config, subject.task, subject.tokenizer)
    assert "\n" not in str(error.value)


def test_a_byte_that_was_changed_is_noticed(checkpoint: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(checkpoint, copy)
    path = copy / "model" / MESSAGE
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"expected the sha256 of the manifest, .*message\.safet"):
        open_subject(copy, None)


class Killed(BaseException):
    """A training that ends where nobody expected it."""


def test_a_launch_that_sent_messages_and_died_is_counted(tmp_path: Path) -> None:
    settings = read_training(written(tmp_path, pool="60"), pretraining=False)
    sends = trainer.one_message

    def dies(*given: Any) -> Any:
        sends(*given)
        raise Killed

    with mock.patch.object(trainer, "one_message", dies), pytest.raises(Killed):
        run_training(settings, tmp_path / "out", 1, lambda *_: None)
    lines = run_training(settings, tmp_path / "out", 1, lambda *_: None)
    manifest = json.loads((tmp_path / "out/checkpoint/manifest.json").read_text())
    (cost,) = manifest["costs"]
    assert cost["releases"] == 2 and len(manifest["launches"]) == 2
    claims = [each for each in manifest["guarantees"] if each["kind"] == "guarantee"]
    assert [each["releases"] for each in claims] == [2] * 5
    assert {each["epsilon"] for each in claims} == {gaussian_epsilon(0.6, 2, 1e-5)}
    assert any(line.startswith("begun 2 times: each may have sent every message") for line in lines)
    assert mismatches(open_subject(tmp_path / "out/checkpoint", None)) == []


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("two"), pool="60", labels="beside", defence=ANSWERED)


@pytest.mark.parametrize("kind", ["within", "beside"])
def test_an_export_holds_model_and_claims_and_nothing_of_the_records(
    checkpoint: Path, beside: Path, tmp_path: Path, kind: str
) -> None:
    whole = checkpoint if kind == "within" else beside
    handed = export(whole, tmp_path / "over").directory
    assert {path.name for path in handed.iterdir()} == {
        "README.md", "config.json", "manifest.json", MESSAGE, WEIGHTS, "tokenizer.json",
        "tokenizer_config.json",
    }  # fmt: skip
    manifest = json.loads((handed / "manifest.json").read_text())
    assert manifest["config"]["message"] == {
        "clip_quantile": 0.4, "directions": 8, "labels": kind, "pooling": "mean",
        "public": "not named", "public_size": 100,
    }  # fmt: skip
    kept = {"members", "pool", "coin", "data_hmac", "losses", "bytes", "plain"}
    assert not kept & manifest.keys() and "seed" not in manifest["config"]
    ours, theirs = open_subject(whole, None), open_subject(handed, None)
    batch = some(ours)
    assert torch.equal(answers(ours, batch), answers(theirs, batch))
    assert mismatches(ours) == [] and mismatches(theirs) == []
    assert theirs.no_public and not ours.no_public
