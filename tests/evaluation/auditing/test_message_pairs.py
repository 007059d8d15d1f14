"""Checkpoint, export and audit of pairs that were compared, and of those that were read as one."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from evaluation.auditing.manifest import mismatches
from evaluation.auditing.released_head import head_checks
from evaluation.auditing.subject import Subject, open_subject
from fedbert.data.batches import collate
from fedbert.errors import InputError
from fedbert.export import export
from fedbert.manifest import content_sha256, file_sha256
from fedbert.one_message.files import read_released
from fedbert.split import answering
from reports.card.content import CONSISTENT
from tests.evaluation.auditing.message_world import trained

FILE = "model/message.safetensors"


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("apart"), task="mrpc", pool="80")


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("together")
    return trained(folder, task="mrpc", pool="80", more='pairs = "together"')


def header(path: Path) -> dict[str, str]:
    with safe_open(path, framework="numpy") as file:
        return file.metadata() or {}


def answers(subject: Subject, other: Subject) -> torch.Tensor:
    """Return a subject's logits of the other's pool."""
    assert other.own is not None
    batch = collate(other.own.pool, list(range(8)), subject.vocabulary.pad)
    with answering(subject.split):
        return subject.split.logits(batch)


def test_what_compares_says_so_and_is_read_and_audited_as_it_was_trained(
    apart: Path, tmp_path: Path
) -> None:
    subject = open_subject(apart, None)
    assert header(apart / FILE) == {"pairs": "apart"}
    assert load_file(apart / FILE)["encoder.centre"].shape == (2 * 128,)
    assert subject.config.compares and mismatches(subject) == []
    checks = {each.what: each.verdict for each in head_checks(subject)}
    assert checks["release: projection of the public text"] == CONSISTENT
    handed = export(apart, tmp_path / "over").directory
    message = json.loads((handed / "manifest.json").read_text())["config"]["message"]
    assert message["pairs"] == "apart" and message["directions"] == 8
    theirs = open_subject(handed, None)
    assert mismatches(theirs) == []
    assert torch.equal(answers(subject, subject), answers(theirs, subject))


def test_a_checkpoint_of_before_reads_pairs_together(together: Path, tmp_path: Path) -> None:
    """Neither its manifest nor its file has a word about pairs."""
    ours = open_subject(together, None)
    assert header(together / FILE) == {} and not ours.config.compares
    old = tmp_path / "old"
    shutil.copytree(together, old)
    manifest = json.loads((old / "manifest.json").read_text())
    assert manifest["config"]["message"].pop("pairs") == "together"
    manifest["manifest_sha256"] = content_sha256(manifest)
    (old / "manifest.json").write_text(json.dumps(manifest))
    subject = open_subject(old, None)
    assert not subject.config.compares and mismatches(subject) == []
    assert torch.equal(answers(subject, ours), answers(ours, ours))
    checks = {each.what: each.verdict for each in head_checks(subject)}
    assert checks["release: projection of the public text"] == CONSISTENT


def test_a_file_that_reads_pairs_in_another_way_than_its_manifest_is_refused(
    apart: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(apart, copy)
    save_file(load_file(copy / FILE), copy / FILE)
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["sha256"][FILE] = file_sha256(copy / FILE)
    manifest["manifest_sha256"] = content_sha256(manifest)
    (copy / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(InputError, match="expected pairs 'apart' as the settings say, got 'toge"):
        open_subject(copy, None)


def test_a_comparison_of_another_width_is_refused(apart: Path, tmp_path: Path) -> None:
    subject = open_subject(apart, None)
    shutil.copytree(apart / "model", tmp_path / "model")
    path = tmp_path / "model" / "message.safetensors"
    made = load_file(path) | {"encoder.centre": np.zeros(128)}
    save_file(made, path, {"pairs": "apart"})
    config = replace(
        subject.config, model=replace(subject.config.model, source=str(tmp_path / "model"))
    )
    with pytest.raises(InputError, match=r"another shape: encoder.centre \[128\] instead of"):
        read_released(tmp_path / "model", config, subject.task, subject.tokenizer)
