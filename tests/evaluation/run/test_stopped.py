"""Trainings that diverge, and what a run folder keeps of its data: private, and known again."""

import hashlib
import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.auditing.subject import open_subject
from evaluation.grid.launches import Launches
from evaluation.run.journal import Journal
from evaluation.run.training import run_training
from evaluation.run.training_file import read_training
from fedbert.checkpoint import read
from fedbert.errors import InputError
from fedbert.manifest import as_text
from fedbert.prepare import prepare
from fedbert.server import Server
from privacy.randomness.keys import canonical_json
from tests.evaluation.run.tiny_world import WORLD

TRAINING = (
    """
noise = "{noise}"
"""
    + WORLD
    + """[training]
rounds = 2
local_steps = 1
batch_size = 6
"""
)


@pytest.fixture
def settings(tmp_path: Path) -> Any:
    (tmp_path / "t.toml").write_text(TRAINING.format(noise="secret"))
    return read_training(tmp_path / "t.toml", pretraining=False)


@pytest.fixture
def everybody() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def run(settings: Any, out: Path, every: int = 1) -> list[str]:
    return run_training(settings, out, every, lambda *_: None)


def explodes(monkeypatch: pytest.MonkeyPatch, round_: int) -> None:
    """Let the server's body be infinite after the last step of a round, when all losses are in."""
    close, seen = Server.close_round, [0]

    def closed(self: Server) -> None:
        close(self)
        seen[0] += 1
        if seen[0] == round_:
            name = next(iter(self.body))
            self.body = self.body | {name: np.full_like(self.body[name], np.inf)}

    monkeypatch.setattr(Server, "close_round", closed)


def test_a_training_that_diverges_in_its_last_round_leaves_none_that_looks_finished(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch, here: Any
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        explodes(patch, round_=2)
        with pytest.raises(InputError, match="training stopped: round 2: the training diverged"):
            run(settings, out)
        explodes(patch, round_=1)
        with pytest.raises(InputError, match="training stopped, as it did before: round 2: "):
            run(settings, out)
    assert read(out / "checkpoint").state.round == 1
    audited = here("audit", out / "checkpoint")
    assert "rounds: 1 of 2: not finished; the training there stopped: round 2" in audited.stdout
    exported = here("export", out / "checkpoint", "--out", tmp_path / "over")
    assert "round 1 of 2: the training was not finished; the training th" in exported.stdout
    lines = run(settings, out)  # from the round before it went wrong
    assert lines[0].startswith("the training before stopped: round 2: the training diverged")
    assert not any("stopped" in line for line in run(settings, out))
    assert "rounds: 2\n" in here("audit", out / "checkpoint").stdout


def test_one_that_diverges_before_its_first_checkpoint_leaves_none_and_is_told(
    tmp_path: Path, settings: Any, monkeypatch: pytest.MonkeyPatch, here: Any
) -> None:
    with monkeypatch.context() as patch:
        explodes(patch, round_=2)
        with pytest.raises(InputError, match="training stopped: round 2"):
            run(settings, tmp_path / "out", every=2)
    assert not (tmp_path / "out" / "checkpoint").exists()
    for command in (["audit"], ["export", "--out", "over"]):
        done = here(command[0], tmp_path / "out" / "checkpoint", *command[1:])
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert "; the training there stopped: round 2: the training diverged: " in done.stderr


def test_all_of_a_run_folder_is_its_owners_alone(
    tmp_path: Path, settings: Any, everybody: None
) -> None:
    run(settings, tmp_path / "out")
    found = [tmp_path / "out", *(tmp_path / "out").rglob("*")]
    assert len(found) > 8
    assert [p for p in found if stat.S_IMODE(p.stat().st_mode) & 0o077] == []


def test_no_plain_hash_of_the_data_lies_in_a_run_folder(tmp_path: Path, settings: Any) -> None:
    run(settings, tmp_path / "out")
    sha256 = prepare(settings.config).data_sha256
    written = canonical_json([settings.config.to_json(), settings.asked(), sha256])
    plain = [sha256, hashlib.sha256(written).hexdigest()]
    told = [p.read_text() for p in (tmp_path / "out").rglob("*.json")]
    assert len(told) == 5 and not any(each in text for each in plain for text in told)
    one, other = (
        json.loads((tmp_path / place / "checkpoint/manifest.json").read_text())["data_hmac"]
        for place in ("out", "again")
        if place == "out" or run(settings, tmp_path / place)
    )
    assert one != other  # two runs on the same data are not to be told to be


def test_a_checkpoint_knows_its_data_again_wherever_it_is_and_by_its_key_alone(
    tmp_path: Path, settings: Any
) -> None:
    out, moved = tmp_path / "out", tmp_path / "moved"
    run(settings, out)
    moved.mkdir()
    shutil.move(out / "checkpoint", moved / "checkpoint")
    assert open_subject(moved / "checkpoint", None).own is not None
    (moved / "checkpoint" / "run.secret").write_bytes(bytes(32))
    with pytest.raises(InputError, match=r"expected the sha256 of the manifest, .*run\.secret"):
        open_subject(moved / "checkpoint", None)
    manifest = json.loads((moved / "checkpoint" / "manifest.json").read_text())
    manifest["sha256"]["run.secret"] = hashlib.sha256(bytes(32)).hexdigest()
    (moved / "checkpoint" / "manifest.json").write_text(as_text(manifest))
    assert "another hash" in open_subject(moved / "checkpoint", None).unknown
    with pytest.raises(InputError, match="expected a checkpoint of the same data, got another"):
        run(settings, moved)
    (out / "run.secret").write_bytes(b"short")
    with pytest.raises(InputError, match=r"expected a key of 32 bytes, got 5 in .*run\.secret"):
        run(settings, out)


def test_launches_of_an_earlier_version_still_count(tmp_path: Path, settings: Any) -> None:
    """They were written under a plain hash: to forget them would be to promise too much."""
    journal = settings.journal(tmp_path, "77" * 32)
    launches = Launches().began(0, 1)
    Journal(journal.path, journal.earlier).write(launches)
    assert journal.read() == launches
    Journal(journal.path, "0" * 64).write(launches)
    assert journal.read() == Launches()
