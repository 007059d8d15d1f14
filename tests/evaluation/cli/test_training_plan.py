"""Dry run of a training: the claims and refusals of the real one, and nothing is written."""

import json
from pathlib import Path

import pytest

from evaluation.cli.training_plan import SCHEMA
from reports.noise_mode import REPEATABLE

TRAINING = """
seed = 3
[model]
source = "tiny"
tokenizer = "generated"
[data]
task = "sst2"
source = "generated"
pool_size = 120
evaluation = 20
max_length = 24
clients = 2
[training]
rounds = 2
local_steps = 2
batch_size = 8
[defence]
name = "guarded"
smashed = { mechanism = "gaussian", clip_norm = 4.0, noise_multiplier = 0.5 }
training = { mechanism = "dp_sgd", clip_norm = 1.0, noise_multiplier = 2.0 }
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "t.toml"
    path.write_text(TRAINING)
    return path


def test_what_is_claimed_beforehand_is_claimed_by_the_checkpoint(here, file: Path) -> None:
    done = here("finetune", file, "--out", "ft", "--dry-run", "--json")
    assert done.returncode == 0, done.stderr
    plan = json.loads(done.stdout)
    assert (plan["schema"], plan["command"]) == (SCHEMA, "dry run")
    assert sorted(each.name for each in file.parent.iterdir()) == ["t.toml"]
    told = here("finetune", file, "--out", "ft", "--dry-run").stdout
    assert "training.optimizer = adamw" in told  # a default
    assert "2 clients with 60 examples, 120 in all; 20 to judge on" in told
    assert "dry run: 2 rounds would be trained; into ft; nothing was written" in told
    trained = here("finetune", file, "--out", "ft")
    assert trained.returncode == 0, trained.stderr
    manifest = json.loads((file.parent / "ft/checkpoint/manifest.json").read_text())
    assert plan["claims"] == manifest["guarantees"]
    for claim in manifest["guarantees"]:
        tail = claim["sentence"].split(f"{claim['view']} view", 1)[1]
        assert tail in told and tail in trained.stdout
    first, last = (
        {each["view"]: each.get("epsilon") for each in plan[key]}
        for key in ("claims_after_one_round", "claims")
    )
    assert 0 < first["release"] < last["release"] and 0 < first["forward"] < last["forward"]
    assert "release: epsilon" in told and "after round 2" in told
    files = sorted((p, p.stat().st_mtime_ns) for p in file.parent.rglob("*"))
    again = here("finetune", file, "--out", "ft", "--dry-run", "--json")
    assert json.loads(again.stdout)["rounds_done"] == 2
    assert json.loads(again.stdout)["claims"] == manifest["guarantees"]
    assert sorted((p, p.stat().st_mtime_ns) for p in file.parent.rglob("*")) == files
    file.write_text(TRAINING.replace("seed = 3", "seed = 4"))
    other = here("finetune", file, "--out", "ft", "--dry-run")
    real = here("finetune", file, "--out", "ft")
    assert other.returncode == real.returncode == 2 and "the same seed" in other.stderr
    assert other.stderr == real.stderr


@pytest.mark.parametrize(
    ("command", "old", "new", "told"),
    [
        ("finetune", "hold", "hold", "finetune"),  # nothing is wrong with it
        ("pretrain", "hold", "hold", "expected task mlm for pretrain"),
        ("finetune", "clip_norm = 1.0", "clip = 1.0", "unknown key 'clip'"),
        ("finetune", "max_length = 24", "max_length = 9999", "max_length"),
        ("finetune", "seed = 3", "max_epsilon = 0.01", "expected max_epsilon >= "),
        ("finetune", "[defence]", "[audit]\ncanaries = 1\n[defence]", "canaries"),
    ],
)
def test_what_is_refused_is_refused_by_a_dry_run(
    here, file: Path, command: str, old: str, new: str, told: str
) -> None:
    file.write_text(TRAINING.replace(old, new, 1))
    done = here(command, file, "--out", "ft", "--dry-run")
    if (old, command) == ("hold", "finetune"):
        assert done.returncode == 0, done.stderr
    else:
        assert done.returncode == 2 and told in done.stderr and done.stderr.count("\n") == 1
        real = here(command, file, "--out", "ft")  # which may tell of its data before
        assert done.stderr.splitlines() == real.stderr.splitlines()[-1:]
    assert sorted(each.name for each in file.parent.iterdir()) == ["t.toml"]


def test_repeatable_noise_is_told_and_json_alone_is_refused(here, file: Path) -> None:
    file.write_text(TRAINING.replace("seed = 3", 'seed = 3\nnoise = "repeatable"'))
    assert REPEATABLE in here("finetune", file, "--out", "ft", "--dry-run").stdout
    alone = here("finetune", file, "--out", "ft", "--json")
    assert alone.returncode == 2 and "--json with --dry-run" in alone.stderr
