"""Disclosures of a training: a grid's fields, of its manifest and its audit alone."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evaluation.auditing.disclosed import disclosed, of_training
from evaluation.run.training import run_training
from evaluation.run.training_file import read_training
from fedbert.errors import InputError
from fedbert.export import export
from fedbert.manifest import mark_faulty, read_manifest, released_sha256
from privacy.allowed import allowed_by
from privacy.events import GaussianEvent
from reports.card.content import COMMAND, SCHEMA
from reports.disclosure.facts import NOT_MEASURED, NOT_STATED, RATES, disclosure
from reports.disclosure.numbers import as_json
from reports.disclosure.registry import registry_entry
from reports.disclosure.told import as_markdown
from reports.estimate import Estimate
from reports.leak import Leak
from reports.records import CellResult
from reports.tradeoff import Allowed

TRAINING = """
seed = 7654321
noise = "secret"
[model]
source = "tiny"
tokenizer = "generated"
[data]
source = "generated"
pool_size = 40
evaluation = 4
max_length = 12
clients = 2
hold_out = 0.5
[training]
strategy = "fedavg"
rounds = 1
local_steps = 2
batch_size = 4
[defence]
name = "dp"
training = { mechanism = "dp_sgd", clip_norm = 1.0, noise_multiplier = 2.0 }
[deployment]
name = "Letters"
curators = ["An office"]
description = "d"
intended_use = "u"
region = "EU"
published = "2026-12-01"
test_again = "2001-01-01"
authors = ["A"]
"""
LEAK = Leak(
    "release", "loss_threshold", "membership", "auc", Estimate(0.5, 0.4, 0.6, n=40), "record", 0.5
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("disclosed")
    (place / "t.toml").write_text(TRAINING)
    run_training(read_training(place / "t.toml", False), place / "out", 1, lambda *_: None)
    return place / "out"


def card(trained: Path, code: int = 0) -> dict[str, Any]:
    """Return what `audit run` writes, as short as it may be."""
    return {
        "schema": SCHEMA,
        "command": COMMAND,
        "model_sha256": released_sha256(read_manifest(trained / "checkpoint")),
        "verdict": "violates the claim" if code == 1 else "consistent",
        "exit_code": code,
        "made": "2026-12-01",
        "checks": [{"what": "manifest: noise", "verdict": "consistent", "detail": "secret"}],
        "means": {"shadows": 4, "references": 0, "members": 20, "non_members": 20},
        "seconds": {"membership": 36.0},
        "measured": [LEAK.to_json()],
    }


def keys(value: Any) -> Any:
    """Return the keys of nested tables, to the depth at which a training and a grid are alike."""
    return {key: sorted(each) for key, each in value.items() if key in ("utility", "attackers")}


def test_a_training_is_told_of_by_the_fields_of_a_grid(trained: Path) -> None:
    found, place = disclosed(trained, None)
    assert place == trained
    ours = json.loads(as_json(found))
    record = CellResult(**{**vars(found.first), "cell": "ab"})
    grid = json.loads(as_json(disclosure([record], None, {})))
    assert list(ours) == list(grid) and keys(ours) == keys(grid)
    assert ours["audit"] == ours["live_audit"] == ours["attackers"]["means"] == NOT_MEASURED
    assert ours["stated"]["name"] == "Letters" and ours["stated"]["tuning"] == NOT_STATED
    release = next(each for each in ours["actors"] if each["view"] == "release")
    claims = read_manifest(trained / "checkpoint")["guarantees"]
    own = next(each for each in claims if each["view"] == "release")
    assert release["promises"][0]["epsilon"] == own["epsilon"]
    event = ours["mechanisms"]["training"]["cost"]["event"]
    assert event["noise_multiplier"] == 2.0 and 0 < event["sample_rate"] < 1
    text = as_markdown(found)
    assert "noise multiplier 2, sample rate" in text and "2001-01-01, which has passed" in text


def test_an_audit_fills_in_what_attackers_had_and_found(trained: Path, tmp_path: Path) -> None:
    (tmp_path / "audit.json").write_text(json.dumps(card(trained)))
    found, _ = disclosed(trained / "checkpoint", tmp_path)
    (means,) = json.loads(as_json(found))["attackers"]["means"]
    assert (means["asked"], means["models"], means["seconds"]) == (40, 4, 36.0)
    assert means["core_hours"] == pytest.approx(0.01)
    text = as_markdown(found)
    assert "AUC 0.500 \\[0.400, 0.600\\], chance 0.5" in text
    assert "audit of 2026-12-01: consistent" in text and "0.01 core-hours" in text
    assert "AUC 0.500" in registry_entry(found)["deployment"]["administrative"]["notes"]


def test_a_view_where_nothing_is_sent_has_no_leak_of_the_release(trained: Path) -> None:
    text = as_markdown(of_training(trained / "checkpoint", card(trained)))
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    by_view = {row[0].removeprefix("| "): row for row in rows}
    assert by_view["forward"][3] == "nothing sent" and by_view["forward"][-2:] == ["-", "- |"]
    assert "loss" in by_view["release"][-2] and "not measured" in by_view["release"][-1]


def test_an_audit_that_is_not_there_is_told_with_the_nearest_name(
    trained: Path, tmp_path: Path, here: Any
) -> None:
    (tmp_path / "card").mkdir()
    for audit, told in (("crad", "nothing at crad: did you mean card?"), ("card", "without audit")):
        done = here("report", trained, "--for", "officer", "--audit", audit)
        assert done.returncode == 2 and told in done.stderr and "Errno" not in done.stderr
        assert done.stderr.count("\n") == 1
    assert "did you mean out" in here("audit", "run", trained.parent / "outt").stderr.replace(
        f"{trained.parent}/", ""
    )


def test_an_audit_says_what_it_costs(trained: Path) -> None:
    value = Estimate(0.75, 0.5, 0.9, n=4)
    cost = {
        "utility": {"accuracy": value.to_json()},
        "gains": {},
        "majority_baseline": {"accuracy": 0.5},
        "subgroups": {"accuracy by class": {"negative": value.to_json()}},
    }
    text = as_markdown(of_training(trained / "checkpoint", card(trained) | {"cost": cost}))
    assert "accuracy: 0.750 [0.500, 0.900] over 1 seed; the commonest answer alone reaches 0.5" in (
        text.replace("\\", "")
    )
    assert "accuracy by class" in text and "utility: not measured" not in text
    assert "utility: not measured" in as_markdown(of_training(trained / "checkpoint", None))


def test_a_claim_that_an_audit_refutes_gets_no_entry(trained: Path) -> None:
    found = of_training(trained / "checkpoint", card(trained, code=1))
    assert "audit of 2026-12-01: violates the claim" in as_markdown(found)
    with pytest.raises(ValueError, match="expected a model whose audit found nothing against it"):
        registry_entry(found)


@pytest.mark.parametrize(
    "change",
    [
        {"model_sha256": "0" * 64},
        {"command": "x"},
        {"schema": 1},
        {"measured": [{}]},
        {"seconds": {"x": -1}},
    ],
)
def test_another_models_audit_and_broken_ones_are_refused(trained: Path, change: Any) -> None:
    with pytest.raises(InputError, match="expected"):
        of_training(trained / "checkpoint", card(trained) | change)


def test_an_export_says_no_less_to_an_audit_and_nothing_private(
    trained: Path, tmp_path: Path
) -> None:
    export(trained / "checkpoint", tmp_path / "out")
    given = of_training(tmp_path / "out", card(trained))
    own = of_training(trained / "checkpoint", card(trained))
    theirs, ours = (json.loads(as_json(each)) for each in (given, own))
    assert theirs.pop("stated") != ours.pop("stated") and theirs == ours
    for text in (as_json(own), as_markdown(own)):
        for lost in ("7654321", "data_hmac", 'losses"', "coin", str(trained), "clipped_share"):
            assert lost not in text
    with pytest.raises(InputError, match="got an export"):
        disclosed(tmp_path / "out", None)


def test_a_training_whose_claims_cannot_stand_is_refused(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained / "checkpoint", tmp_path / "checkpoint")
    mark_faulty(tmp_path / "checkpoint", "round 3: noise used again")
    with pytest.raises(InputError, match="round 3: noise used again"):
        disclosed(tmp_path, None)


def test_it_needs_no_torch(trained: Path) -> None:
    told = "import sys; sys.argv = ['fedbert-eval', 'report', sys.argv[1], '--for', 'officer']\n"
    run = (
        "from evaluation.cli.main import main\ntry:\n    main()\nexcept SystemExit as end:\n"
        "    assert not end.code, end.code\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", told + run, str(trained)], capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert (trained / "disclosure.json").is_file()


def test_a_group_of_a_gaussian_claim_is_never_told_less_than_its_own_curve() -> None:
    one = allowed_by(GaussianEvent(2.0), 1)
    found = Allowed("release", "record", one.points, one.advantage)
    for count in (2, 5):
        true = allowed_by(GaussianEvent(2.0 / count), 1)
        group = found.of_group(count)
        for rate in RATES:
            assert true.tpr_at(rate) - 1e-5 <= group.tpr_at(rate) <= 1.6 * true.tpr_at(rate)
        assert true.advantage <= group.advantage <= 1.25 * true.advantage
