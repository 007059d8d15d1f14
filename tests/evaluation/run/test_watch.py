"""Trainings that watch themselves, by the real command: canaries, a limit on epsilon, a fault."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.auditing.canaries.texts import public_texts
from evaluation.auditing.live.audit import KEY, in_decades
from evaluation.grid.audit import NO_AUDIT, AuditSettings
from evaluation.run.training import run_training
from evaluation.run.training_file import read_training
from fedbert.checkpoint import read
from fedbert.errors import InputError
from fedbert.manifest import read_manifest
from fedbert.prepare import prepare
from reports.records import CellResult
from tests.evaluation.run.tiny_world import WORLD

TRAINING = (
    """
noise = "{noise}"
{first}
"""
    + WORLD
    + """[training]
strategy = "fedavg"
rounds = {rounds}
local_steps = 1
batch_size = 6
[defence]
name = "d"
update = {{ mechanism = "{mechanism}", target_epsilon = 8.0, clip_norm = 1.0 }}
{last}
"""
)
SABOTAGE = "tests.evaluation.auditing.live.sabotage:"


def written(folder: Path, **changed: Any) -> Path:
    values = {"noise": "secret", "rounds": 3, "mechanism": "dp_fedavg", "first": "", "last": ""}
    path = folder / "t.toml"
    path.write_text(TRAINING.format(**{**values, **changed}))
    return path


def test_canaries_from_the_command_line_are_told_of_and_never_handed_over(
    tmp_path: Path, here
) -> None:
    path, out = written(tmp_path), tmp_path / "out"
    done = here("finetune", path, "--out", out, "--canaries", 20)
    assert done.returncode == 0, done.stderr
    assert "no fault found in 3 rounds; 20 canary clients: " in done.stdout
    curve = json.loads((out / "live.json").read_text())
    assert [point["round"] for point in curve["points"]] == [1, 2, 3]
    spent = [point["epsilon"] for point in curve["points"]]
    assert spent == sorted(spent) and spent[-1] == curve["claimed"] <= 8
    assert (out / "live.png").read_bytes()[:4] == b"\x89PNG"
    own = read_manifest(out / "checkpoint")["plain"][KEY]
    assert len(own["coins"]) == own["shown"]["fresh"] == 10 and own["shown"]["canaries"] == 20
    done = here("export", out / "checkpoint", "--out", tmp_path / "handed")
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "handed" / "manifest.json").read_text())
    assert told["audit"]["kind"] == "clients" and told["audit"]["canaries"] == 20
    text = (tmp_path / "handed" / "manifest.json").read_text()
    assert "coins" not in text and str(own["seed"]) not in text and "points" not in text
    done = here("audit", "run", out / "checkpoint", "--out", tmp_path / "card")
    said = (
        "20 canary clients were trained on by fair coins, over 3 rounds, 10 of them by a new coin"
    )
    assert said in done.stdout
    page = (tmp_path / "card" / "audit.html").read_text()
    assert "While it was trained" in page and "data:image/png;base64," in page
    done = here("finetune", path, "--out", out)
    assert done.returncode == 2 and "began with, got canaries=0" in done.stderr


@pytest.mark.parametrize(
    ("name", "first", "canaries", "by", "said"),
    [("HalvedFromRound5", 5, 20, "noise", "noise smaller"),
     ("ReusedFromRound3", 4, 20, "noise", "noise used before"),
     ("UnclippedFromRound5", 5, 100, "canaries", "new coins guessed rightly")],
)  # fmt: skip
def test_a_fault_stops_the_command_and_marks_what_is_there(
    name: str, first: int, canaries: int, by: str, said: str, tmp_path: Path, here
) -> None:
    path, out = written(tmp_path, mechanism=SABOTAGE + name, rounds=8), tmp_path / "out"
    command = "finetune", path, "--out", out, "--allow-code", "--canaries", canaries
    done = here(*command)
    assert done.returncode == 1, done.stderr
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith(f"stopped by its {by}: round ") and "cannot stand" in line
    stopped = int(line.split("round ")[1].split(":")[0])
    assert (
        first <= stopped < first + (3 if by == "noise" else 4) and said in line
    )  # 50 coins a round
    checkpoint = read(out / "checkpoint")
    assert checkpoint.manifest["round"] == stopped - 1
    told = json.loads((out / "live.json").read_text())["fault"]
    assert told == checkpoint.manifest["fault"] == line.removesuffix(": the claim cannot stand")
    for again in (command, ("export", out / "checkpoint", "--out", tmp_path / "handed")):
        done = here(*again)
        assert done.returncode == 2 and "whose claims can stand, got a fault" in done.stderr
    done = here("audit", "run", out / "checkpoint")
    assert done.returncode == 1 and "live audit" in done.stdout
    assert f"stopped by its {by}: round {stopped}" in " ".join(done.stdout.split())


def test_a_limit_on_epsilon_ends_a_training_before_the_round_that_would_pass_it(
    tmp_path: Path, here
) -> None:
    first, out = "max_epsilon = 6.0", tmp_path / "out"
    path = written(tmp_path, rounds=4, first=first)
    done = here("finetune", path, "--out", out, "--every", 4)
    assert done.returncode == 0, done.stderr
    assert "stopped after round 2 of 4: one more would come to epsilon 6.73" in done.stdout
    assert read(out / "checkpoint").manifest["round"] == 2 and "over 2 releases" in done.stdout
    before = {p: p.read_bytes() for p in (out / "checkpoint").rglob("*") if p.is_file()}
    done = here("finetune", path, "--out", out, "--every", 4)
    assert done.returncode == 0 and "stopped after round 2 of 4" in done.stdout
    assert before == {p: p.read_bytes() for p in before}
    assert len(json.loads((out / "launches.json").read_text())["launches"]) == 1
    small = written(tmp_path, first="max_epsilon = 1.0")
    done = here("finetune", small, "--out", tmp_path / "other")
    assert done.returncode == 2 and "expected max_epsilon >= " in done.stderr
    assert not (tmp_path / "other").exists()


def test_a_limit_counts_what_a_killed_launch_may_have_sent(tmp_path: Path) -> None:
    path, out = written(tmp_path, rounds=6, first="max_epsilon = 6.0"), tmp_path / "out"
    settings = read_training(path, pretraining=False)
    run_training(settings, out, 4, lambda *_: None)
    first = read(out / "checkpoint").manifest
    journal = json.loads((out / "launches.json").read_text())
    assert journal["launches"] == [[0, 0, first["round"]]]
    journal["launches"] = [[0, 4, first["round"]]]  # as a kill leaves it: up to four more rounds
    (out / "launches.json").write_text(json.dumps(journal))
    epsilons = []
    for _ in range(2):
        run_training(settings, out, 4, lambda *_: None)
        again = read(out / "checkpoint").manifest
        (claim,) = [each for each in again["guarantees"] if each["view"] == "peer"]
        epsilons.append((claim["epsilon"], claim["releases"]))
    assert epsilons[0] == epsilons[1] and epsilons[0][1] == min(6, first["round"] + 4)
    (before,) = [each for each in first["guarantees"] if each["view"] == "peer"]
    assert epsilons[0][0] > before["epsilon"] and again["round"] == first["round"]


def test_canaries_have_noise_of_their_own(tmp_path: Path) -> None:
    asked = {"update": {"mechanism": "dp_fedavg"}}
    assert NO_AUDIT.keyed(asked) == AuditSettings(noise=True).keyed(asked) == asked
    assert AuditSettings(canaries=20).keyed(asked) != AuditSettings(canaries=30).keyed(asked)


def test_nothing_of_the_records_goes_into_canary_texts(tmp_path: Path) -> None:
    settings = read_training(written(tmp_path), pretraining=False)
    prepared = prepare(settings.config, coin=False)
    tokens = prepared.pool.tokens.copy()
    tokens[~np.isin(tokens, prepared.vocabulary.special)] = 9
    labels = np.zeros_like(prepared.pool.labels)
    other = replace(prepared, pool=replace(prepared.pool, tokens=tokens, labels=labels))
    one, two = (public_texts(each, 40, np.random.default_rng(3)) for each in (prepared, other))
    assert np.array_equal(one.tokens, two.tokens) and np.array_equal(one.labels, two.labels)
    assert set(one.labels.tolist()) == {0, 1} and len(one) == 40
    words = one.tokens[~np.isin(one.tokens, prepared.vocabulary.special)]
    assert len(np.unique(words)) > 30


def test_wealth_is_written_down_in_whole_decades() -> None:
    ten = math.log(10)
    found = [in_decades(power * ten) for power in (-3.0, 0.4, 0.99, 1.2, 4.7)]
    assert found == pytest.approx([0.0, 0.0, 0.0, ten, 4 * ten])


def test_a_limit_needs_a_claim(tmp_path: Path) -> None:
    text = written(tmp_path, first="max_epsilon = 1.0").read_text()
    (tmp_path / "t.toml").write_text(text[: text.index("[defence]")])
    settings = read_training(tmp_path / "t.toml", pretraining=False)
    with pytest.raises(InputError, match="claims an epsilon beside max_epsilon, got 'none'"):
        run_training(settings, tmp_path / "out", 1, lambda *_: None)


@pytest.mark.parametrize("noise", ["secret", "repeatable"])
def test_a_killed_audit_goes_on(noise: str, tmp_path: Path) -> None:
    path = written(tmp_path, noise=noise, last="[audit]\ncanaries = 20")
    settings = read_training(path, pretraining=False)

    def killed(round_: int, *_: Any) -> None:
        if round_ == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_training(settings, tmp_path / "out", 1, killed)
    coins = read_manifest(tmp_path / "out" / "checkpoint")["plain"][KEY]["coins"]
    run_training(settings, tmp_path / "out", 1, lambda *_: None)
    found = read(tmp_path / "out" / "checkpoint")
    own = found.manifest["plain"][KEY]
    assert own["coins"] == coins and own["looks"] == 3 and own["noise"]["releases"] == 3
    if noise == "repeatable":
        run_training(settings, tmp_path / "straight", 1, lambda *_: None)
        other = read(tmp_path / "straight" / "checkpoint")
        for name, value in other.state.values.items():
            np.testing.assert_array_equal(found.state.values[name], value)
    else:
        assert found.manifest["costs"][0]["releases"] == 4  # one round may have been sent twice


GRID = (
    """
tasks = ["sst2"]
strategies = ["fedavg"]
"""
    + WORLD
    + """[training]
rounds = 2
local_steps = 1
batch_size = 6
[attacks]
inversion = []
backward = []
updates = []
membership = []
[audit]
canaries = 10
[[defences]]
name = "none"
[[defences]]
name = "central"
update = { mechanism = "dp_fedavg", noise_multiplier = 1.0, clip_norm = 1.0 }
[[defences]]
name = "local"
update = { mechanism = "local_dp_fedavg", noise_multiplier = 1.0, clip_norm = 1.0 }
[[defences]]
name = "reused"
update = { mechanism = "SABOTAGE", noise_multiplier = 1.0, clip_norm = 1.0 }
"""
)


def test_a_grid_is_audited_cell_by_cell(tmp_path: Path, here) -> None:
    path, out = tmp_path / "g.toml", tmp_path / "run"
    path.write_text(GRID.replace("SABOTAGE", SABOTAGE + "OneValueBare"))
    done = here("privacy-utility", path, "--out", out, "--allow-code")
    assert done.returncode == 1, done.stderr
    records = [CellResult.from_json(json.loads(line)) for line in _lines(out / "records.jsonl")]
    by = {record.labels["defence"]: record for record in records}
    assert by["none"].audit["shown"]["kind"] == "texts" and by["none"].status == "done"
    assert [p["round"] for p in by["central"].audit["points"]] == [1, 2]
    assert by["central"].spec["audit"] == {"canaries": 10, "noise": False}
    assert by["local"].status == "skipped" and "got LocalDPFedAvg" in by["local"].reason
    assert by["reused"].status == "failed" and "values without noise" in by["reused"].traceback
    assert by["reused"].audit["fault"].startswith("stopped by its noise: round 1")
    page = (out / "report.html").read_text()
    assert page.count("Live audit: sst2, fedavg") >= 3


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines()
