"""A model chosen among several trainings: its manifest, its audit and its export say so."""

from pathlib import Path

import pytest

from evaluation.auditing.manifest import allowed, mismatches, recomputed
from evaluation.auditing.subject import open_subject
from evaluation.auditing.trainings import read_trainings
from evaluation.run.training import read_training, run_training
from fedbert.checkpoint import read
from fedbert.errors import InputError
from fedbert.export import export

TRAINING = """
noise = "secret"
[model]
source = "tiny"
tokenizer = "generated"
[data]
source = "generated"
pool_size = 40
evaluation = 4
max_length = 12
clients = 1
[training]
strategy = "centralised"
rounds = 1
local_steps = 2
batch_size = 6
[defence]
name = "d"
chosen_among = {chosen}
training = {{ mechanism = "dp_sgd", clip_norm = 1.0, {noise} }}
"""


def written(folder: Path, chosen: str, noise: str = "noise_multiplier = 2.0") -> Path:
    place = folder / "t.toml"
    place.write_text(TRAINING.format(chosen=chosen, noise=noise))
    return place


def test_claim_audit_and_export_count_the_choice(tmp_path: Path) -> None:
    settings = read_training(written(tmp_path, "{ mean = 10.0 }"), pretraining=False)
    run_training(settings, tmp_path / "out", 1, lambda *_: None)
    checkpoint = tmp_path / "out" / "checkpoint"
    handed = export(checkpoint, tmp_path / "over").directory
    claims = []
    for place in (checkpoint, handed):
        subject = open_subject(place, None)
        assert list(mismatches(subject)) == []
        (claim,) = [e for e in read(place).manifest["guarantees"] if e["view"] == "release"]
        assert "mean 10, shape 1" in claim["accountant"]
        again = recomputed(subject, claim)
        assert again is not None and again[0] == pytest.approx(claim["epsilon"])
        assert "chosen among 10" in again[1]
        (told,) = allowed(subject)
        assert told.advantage == claim["advantage"]
        claims.append(claim)
    assert claims[0] == claims[1]
    with pytest.raises(InputError, match="not chosen among several"):
        read_trainings((str(checkpoint), str(handed)))


@pytest.mark.parametrize(
    ("chosen", "noise", "told"),
    [
        ("{ mean = 10.0 }", "target_epsilon = 2.0", "budget tuning"),
        ("{ mean = 10.0 }", "target_advantage = 0.1", "budget tuning"),
        ("{ mean = 0.5 }", "noise_multiplier = 2.0", "1 < mean"),
        ("{ shape = 1.0 }", "noise_multiplier = 2.0", "chosen_among"),
        ("{ mean = 10.0, size = 2.0 }", "noise_multiplier = 2.0", "chosen_among"),
    ],
)
def test_what_cannot_be_counted_is_refused(
    tmp_path: Path, chosen: str, noise: str, told: str
) -> None:
    with pytest.raises(InputError, match=told):
        settings = read_training(written(tmp_path, chosen, noise), pretraining=False)
        run_training(settings, tmp_path / "out", 1, lambda *_: None)
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").glob("checkpoint*"))


def test_a_choice_among_trainings_that_cost_nothing_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, "{ mean = 10.0 }")
    path.write_text("\n".join(x for x in path.read_text().splitlines() if "dp_sgd" not in x))
    with pytest.raises(InputError, match="a mechanism beside chosen_among"):
        run_training(read_training(path, pretraining=False), tmp_path / "out", 1, lambda *_: None)
    assert not (tmp_path / "out").exists()
