"""Restarts under secret noise: what a training that was killed sends again is counted."""

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.auditing.card import _noise
from evaluation.auditing.manifest import mismatches
from evaluation.auditing.subject import open_subject
from evaluation.grid.launches import Launch, Launches
from evaluation.run.training import run_training
from evaluation.run.training_file import read_training
from fedbert.errors import InputError
from privacy.accountants import gaussian_epsilon
from reports.card.content import CONSISTENT, VIOLATES

TRAINING = """
noise = "{noise}"
[model]
source = "tiny"
tokenizer = "generated"
freeze_embeddings = {frozen}
[data]
source = "generated"
pool_size = 24
evaluation = 4
max_length = 12
clients = 2
[training]
strategy = "{strategy}"
rounds = 4
local_steps = 1
batch_size = 6
[defence]
name = "d"
{defence}
"""
FEDAVG = 'update = { mechanism = "dp_fedavg", clip_norm = 1.0, noise_multiplier = 4.0 }'
GAUSSIAN = 'mechanism = "gaussian", clip_norm = 1.0, noise_multiplier = 3.0'
ONCE = f"smashed = {{ {GAUSSIAN}, one_shot = true }}"
LABELS = 'labels = { mechanism = "randomised_response", epsilon = 1.0 }'


class Killed(BaseException):
    """A training that ends where nobody expected it."""


def killed(settings: Any, out: Path, every: int, after: int | None) -> list[str]:
    """Run a training that dies once so many rounds are done; None: it lives."""

    def say(round_: int, loss: float, left: float) -> None:
        if round_ == after:
            raise Killed

    if after is None:
        return run_training(settings, out, every, say)
    with pytest.raises(Killed):
        run_training(settings, out, every, say)
    return []


def manifest_of(
    tmp_path: Path, deaths: tuple[int, ...], strategy: str, defence: str, noise: str = "secret"
) -> tuple[dict[str, Any], list[str]]:
    path = tmp_path / "t.toml"
    frozen = "true" if defence == ONCE else "false"
    path.write_text(TRAINING.format(noise=noise, strategy=strategy, defence=defence, frozen=frozen))
    settings = read_training(path, pretraining=False)
    for after in (*deaths, None):
        lines = killed(settings, tmp_path / "out", 2, after)
    return json.loads((tmp_path / "out/checkpoint/manifest.json").read_text()), lines


def test_a_killed_training_counts_what_it_may_have_sent_twice(tmp_path: Path) -> None:
    """Killed before its first checkpoint, then after the third round, with one of the second."""
    manifest, lines = manifest_of(tmp_path, (1, 3), "fedavg", FEDAVG)
    assert manifest["launches"] == [[0, 2, 0], [0, 2, 2], [2, 2, 4]]
    (cost,) = manifest["costs"]
    assert cost["releases"] == 4 + 2 + 2
    claim = next(each for each in manifest["guarantees"] if each["view"] == "release")
    assert claim["epsilon"] == pytest.approx(gaussian_epsilon(4.0, 8, 1e-5))
    assert any("begun 3 times: up to 4 rounds were done again" in line for line in lines)
    subject = open_subject(tmp_path / "out/checkpoint", None)
    assert mismatches(subject) == [] and _noise(subject).verdict == CONSISTENT
    assert "key" not in json.dumps(manifest).lower().replace("key.bias", "").replace("key.w", "")


def test_without_a_restart_nothing_is_counted_twice(tmp_path: Path) -> None:
    manifest, lines = manifest_of(tmp_path, (), "fedavg", FEDAVG)
    assert manifest["launches"] == [[0, 2, 4]] and manifest["costs"][0]["releases"] == 4
    again, _ = manifest_of(tmp_path, (), "fedavg", FEDAVG)  # nothing is left to do
    assert again == manifest and not any("begun" in line for line in lines)


@pytest.mark.parametrize(
    ("defence", "place"), [(ONCE, "smashed"), (LABELS, "labels")], ids=["one-shot", "labels"]
)
def test_what_is_drawn_once_is_drawn_once_more_by_a_restart(
    tmp_path: Path, defence: str, place: str
) -> None:
    manifest, _ = manifest_of(tmp_path, (3,), "parallel", defence)
    (cost,) = manifest["costs"]
    assert cost["place"] == place and cost["releases"] == 2
    view = "forward" if place == "smashed" else "release"
    claims = [e for e in manifest["guarantees"] if e["kind"] == "guarantee" and e["view"] == view]
    assert [each["releases"] for each in claims] == [2]
    assert mismatches(open_subject(tmp_path / "out/checkpoint", None)) == []


def test_repeatable_noise_is_drawn_again_as_it_was_and_is_a_finding(tmp_path: Path) -> None:
    manifest, lines = manifest_of(tmp_path, (3,), "fedavg", FEDAVG, "repeatable")
    assert manifest["launches"] == [] and manifest["costs"][0]["releases"] == 4
    assert any(line.startswith("noise: repeatable") for line in lines)
    subject = open_subject(tmp_path / "out/checkpoint", None)
    found = _noise(subject)
    assert found.verdict == VIOLATES and "secret" in found.detail


def test_launches_add_up_however_a_checkpoint_came_to_be_there() -> None:
    done = Launches().began(0, 2).saved(10)
    assert done.began(0, 2).redone(10) == 10  # its checkpoint was taken away
    assert done.began(10, 2).redone(10) == 0
    assert Launches((Launch(0, 3, 6), Launch(6, 3, 9), Launch(9, 3, 9))).redone(20) == 6
    assert Launches.from_json(done.to_json(), "x") == done
    for wrong in ([[1, 2]], [["a", 1, 2]], [[-1, 2, 3]], [3]):
        with pytest.raises(InputError, match=r"x: expected launches \[start, every, saved\]"):
            Launches.from_json(wrong, "x")  # type: ignore[arg-type]
