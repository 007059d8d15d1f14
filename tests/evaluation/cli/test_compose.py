"""`budget compose`: several trainings on the same records, end to end through the command."""

import json
import re
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from evaluation.auditing.manifest import mismatches
from evaluation.auditing.subject import open_subject
from evaluation.cli.main import main
from fedbert.errors import InputError
from fedbert.export import export
from fedbert.manifest import content_sha256
from privacy.accountants import gaussian_epsilon, poisson_gaussian_bound
from reports.records import CellResult, append_record
from tests.evaluation.auditing.test_manifest import DP_SGD, FEDAVG, LABELS, SMASHED, made

Run = Callable[..., tuple[int, str, str]]
SEQUENCE = SMASHED.replace("clip_norm", 'unit = "sequence", clip_norm')
FROZEN = "freeze_embeddings = true"


@pytest.fixture
def compose(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The real command in this process: exit code, output, errors."""

    def run(*more: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["fedbert-eval", "budget", "compose", *map(str, more)])
        with pytest.raises(SystemExit) as end:
            main()
        told = capsys.readouterr()
        return int(end.value.code or 0), told.out, told.err

    return run


def told(out: str, start: str) -> float:
    (found,) = [line for line in out.splitlines() if line.startswith(start)]
    epsilon = re.search(r"epsilon ([\d.]+)", found)
    assert epsilon is not None, found
    return float(epsilon[1])


def test_two_trainings_cost_what_both_did(tmp_path: Path, compose: Run) -> None:
    """As many steps as both took, at rates between theirs."""
    kinds = {"strategy": "centralised", "defence": DP_SGD}
    one, other = (made(tmp_path / seed, seed=seed, **kinds) for seed in "35")
    costs = [json.loads((each / "manifest.json").read_text())["costs"][0] for each in (one, other)]
    rates = [cost["event"]["sample_rate"] for cost in costs]
    steps = sum(cost["releases"] for cost in costs)
    code, out, err = compose(one, other)
    assert (code, err) == (0, "")
    low, high = (
        poisson_gaussian_bound(2.0, rate, steps, 1e-5).epsilon for rate in (min(rates), max(rates))
    )
    found = told(out, "release, record, add-or-remove-one: ")
    assert low - 1e-5 <= found <= high * (1 + 1e-3)
    assert "over 2 trainings" in out and "about the data set" in out
    assert "forward: nothing is sent in any of the trainings" in out
    for part in ("TPR at 0.1 % FPR", "TPR at 1 % FPR", "TPR at 10 % FPR", "advantage", "mu"):
        assert f"  {part}" in out
    assert "Assumed: all trainings had the same records" in out
    assert "repeatable" not in out
    export(other, tmp_path / "handed")  # an export has the same costs
    assert compose(one, tmp_path / "handed")[1].replace("handed", "5") == out
    smaller = told(compose(one, other, "--delta", "1e-7")[1], "release, record")
    assert smaller > found


def test_each_view_and_unit_has_its_own_line(tmp_path: Path, compose: Run) -> None:
    common = {"strategy": "parallel", "model": FROZEN}
    one = made(tmp_path / "a", defence=f"{SEQUENCE}\n{LABELS}", **common)
    other = made(tmp_path / "b", defence=SEQUENCE.replace("0.5", "0.8"), **common)
    code, out, err = compose(one, other)
    assert (code, err) == (0, "")
    counts = [
        json.loads((each / "manifest.json").read_text())["costs"][0]["releases"]
        for each in (one, other)
    ]
    square = counts[0] / 0.5**2 + counts[1] / 0.8**2
    exact = gaussian_epsilon(square**-0.5, 1, 1e-5)
    assert told(out, "forward, sequence, replace-one: ") == pytest.approx(exact, abs=2e-5)
    assert f"backward: no guarantee: {other} has none" in out
    assert f"release: no guarantee: {other} has none" in out


def test_a_user_of_several_records_is_composed_too(tmp_path: Path, compose: Run) -> None:
    kinds = {"strategy": "centralised", "defence": DP_SGD, "data": "records_per_user = 2"}
    one, other = (made(tmp_path / seed, seed=seed, **kinds) for seed in "35")
    code, out, _ = compose(one, other)
    record, user = (told(out, f"release, {unit}, add-or-remove") for unit in ("record", "user"))
    assert code == 0 and record < user
    claims = json.loads((one / "manifest.json").read_text())["guarantees"]
    (own,) = [each for each in claims if each.get("unit") == "user"]
    assert own["epsilon"] < user and own["mu"] > 0
    assert mismatches(open_subject(one, None)) == []  # it follows from the costs again
    more = made(tmp_path / "7", **{**kinds, "data": "records_per_user = 3"})
    code, _, err = compose(one, more)
    assert code == 2 and "expected one records_per_user of all trainings, got 2 in" in err


def test_a_users_epsilon_below_what_follows_is_a_violation(tmp_path: Path) -> None:
    kinds = {"strategy": "centralised", "defence": DP_SGD, "data": "records_per_user = 3"}
    path = made(tmp_path, **kinds) / "manifest.json"
    manifest = json.loads(path.read_text())
    (claim,) = [each for each in manifest["guarantees"] if each.get("unit") == "user"]
    claim["epsilon"] *= 0.9
    manifest["manifest_sha256"] = content_sha256(manifest)
    path.write_text(json.dumps(manifest))
    found = mismatches(open_subject(path.parent, None))
    assert any(line.startswith("release (user): epsilon recorded") for line in found)
    assert any("3 records a user" in line for line in found)


def test_records_of_a_run_can_be_named(tmp_path: Path, compose: Run) -> None:
    kinds = {"strategy": "centralised", "defence": DP_SGD}
    one, other = (made(tmp_path / seed, seed=seed, **kinds) for seed in "35")
    run = tmp_path / "run"
    run.mkdir()
    manifest = json.loads((other / "manifest.json").read_text())
    names = ("task", "model", "strategy", "defence", "level", "seed")
    record = CellResult(
        "0a", "done", manifest["config"], dict.fromkeys(names, "x"),
        guarantees=manifest["guarantees"],
        mechanisms={"training": {"name": "DPSGD", "cost": manifest["costs"][0]}},
    )  # fmt: skip
    append_record(run / "records.jsonl", record)
    by_record, by_manifest = compose(one, run)[1], compose(one, other)[1]
    assert by_record == by_manifest
    append_record(run / "records.jsonl", replace(record, cell="0b"))
    code, _, err = compose(one, run)
    assert code == 2 and "expected a run of one cell, got 2 that are done in" in err
    assert compose(one, f"{run}:0b")[1] == by_manifest
    repeatable = replace(record, cell="0c", spec={**record.spec, "noise": "repeatable"})
    append_record(run / "records.jsonl", repeatable)
    assert "Warning: the noise of" in compose(one, f"{run}:0c")[1]


def test_what_does_not_fit_is_refused_in_one_line(tmp_path: Path, compose: Run) -> None:
    record = made(tmp_path / "r", strategy="fedavg", defence=DP_SGD)
    client = made(tmp_path / "c", strategy="fedavg", defence=FEDAVG)
    empty = tmp_path / "empty"
    empty.mkdir()
    for paths, words in [
        ((record, client), "expected one unit of all claims about the release view, got record in"),
        ((record,), "expected two trainings or more, got 1"),
        ((record, record), "expected different trainings, got"),
        ((record, empty), "expected manifest.json or records.jsonl, got neither in"),
        ((record, tmp_path / "gone"), "got no folder"),
        ((record, client, "--delta", "2"), "expected 0 < delta < 1, got delta=2.0"),
    ]:
        code, out, err = compose(*paths)
        assert (code, out) == (2, "") and words in err and err.count("\n") == 1, err


def test_a_bound_on_records_and_a_column_of_persons_do_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="expected records_per_user without group"):
        made(tmp_path, task="mlm", data='group = "author"\nrecords_per_user = 3')


def test_costs_are_those_of_the_rate_at_which_records_were_drawn(
    tmp_path: Path, compose: Run
) -> None:
    """A lower rate that a file writes is no smaller cost: the ledger never took it either."""
    small = DP_SGD.replace("}", ", sample_rate = 0.001 }")
    kinds = {"strategy": "centralised"}
    one = made(tmp_path / "a", defence=small, seed="3", **kinds)
    other = made(tmp_path / "b", defence=DP_SGD, seed="3", **kinds)
    manifests = [json.loads((each / "manifest.json").read_text()) for each in (one, other)]
    events = [manifest["costs"][0]["event"] for manifest in manifests]
    assert events[0] == events[1] and events[0]["sample_rate"] > 0.01
    assert mismatches(open_subject(one, None)) == []
    more = made(tmp_path / "c", defence=DP_SGD, seed="5", **kinds)
    start = "release, record, add-or-remove-one: "
    found = [told(compose(each, more)[1], start) for each in (one, other)]
    assert found[0] == found[1]


def test_what_has_no_ledger_or_no_claim_left_is_not_composed(tmp_path: Path, compose: Run) -> None:
    kinds = {"strategy": "centralised", "defence": DP_SGD}
    one, other = (made(tmp_path / seed, seed=seed, **kinds) for seed in "35")
    manifest = json.loads((other / "manifest.json").read_text())
    run = tmp_path / "run"
    run.mkdir()
    names = ("task", "model", "strategy", "defence", "level", "seed")
    for cell in ("0a", "0b"):
        record = CellResult(
            cell, "done", manifest["config"], dict.fromkeys(names, "x"),
            guarantees=manifest["guarantees"],
            mechanisms={"training": {"name": "DPSGD", "cost": manifest["costs"][0]}},
        )  # fmt: skip
        append_record(run / "records.jsonl", record)
    assert compose(f"{run}:0a", f"{run}:0b")[0] == 0  # two cells whose costs are alike
    assert compose(f"{run}:0a", f"{run}:0a")[0] == 2
    wish = {"data": "private", "adversary": "all", "least_share": 0.5, "steps": 3, "tolerance": 0.1}
    (run / "grid.json").write_text(json.dumps({"name": "x", "cells": [], "frontier": wish}))
    code, _, err = compose(f"{run}:0a", f"{run}:0b")
    assert code == 2 and "got a search on private data" in err
    manifest["fault"] = "the noise was half as large"
    manifest["manifest_sha256"] = content_sha256(manifest)
    (other / "manifest.json").write_text(json.dumps(manifest))
    code, _, err = compose(one, other)
    assert code == 2 and "whose claims can stand, got a fault" in err
