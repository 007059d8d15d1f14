"""Faults through whole cells and commands: records, attacks, ledger and lines beside them."""

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.adversary.candidates import choose, settled_by
from evaluation.adversary.knowledge import received_noise
from evaluation.adversary.observation import Observation
from evaluation.adversary.shadow_models import seen_by
from evaluation.adversary.transcript import Transcript
from evaluation.grid.defence import facts_of, make_defence
from evaluation.grid.parse import grid_from
from evaluation.grid.spec import Cell
from evaluation.run.cell import run_cell
from evaluation.run.training import run_training
from evaluation.run.training_file import read_training
from fedbert.checkpoint import read
from fedbert.errors import InputError
from fedbert.export import export
from fedbert.fault_settings import NO_FAULTS
from fedbert.one_message.training import Sender
from fedbert.prepare import prepare
from fedbert.receiving import FAILED, VALUES, Receipts, Refusal
from fedbert.schedule import participants
from fedbert.trainer import State, Trained
from privacy.accountants import gaussian_epsilon
from privacy.accounting import ledger
from privacy.guarantee import Guarantee
from reports.received import line
from tests.evaluation.run.tiny_world import WORLD

SMALL: dict[str, Any] = {
    "tasks": ["sst2"],
    "model": {"source": "tiny", "tokenizer": "generated"},
    "data": {
        "source": "generated", "pool_size": 120, "evaluation": 20, "max_length": 12, "clients": 5,
    },
    "training": {"rounds": 3, "local_steps": 2, "batch_size": 4, "quorum": 0.4},
    "attacks": {"messages": 4, "membership": ["loss_threshold", "update_cosine"]},
    "faults": {
        "absent": 0.1, "leaves": 0.1,
        "clients": [{"client": 1, "kind": "nan"}, {"client": 2, "kind": "twice"}],
    },
}  # fmt: skip
LOCAL = {"mechanism": "local_dp_fedavg", "clip_norm": 1.0, "noise_multiplier": 2.0}
CENTRAL = {**LOCAL, "mechanism": "dp_fedavg"}


def cells(**changed: Any) -> tuple[Cell, ...]:
    return grid_from({**SMALL, **changed}, "grid.toml", "grid").cells


@pytest.mark.parametrize("strategy", ["fedavg", "sequential", "one_message"])
def test_a_cell_through_faults_has_its_receipts_and_its_attacks(strategy: str) -> None:
    public = {"message": {"public": "generated", "public_size": 100}}
    (cell,) = cells(strategies=[strategy], **(public if strategy == "one_message" else {}))
    record = run_cell(cell).record
    assert record.status == "done", record.traceback
    expected = 5 if strategy == "one_message" else 15
    assert record.received["expected"] == expected
    refused = {(each["client"], each["why"]) for each in record.received["refused"]}
    assert refused == {(1, "NaN, infinite or huge"), (2, "sent again")}
    assert record.spec["faults"] == {
        "absent": 0.1, "leaves": 0.1,
        "clients": [{"client": 1, "kind": "nan"}, {"client": 2, "kind": "twice"}],
    }  # fmt: skip
    assert record.leakage and json.loads(json.dumps(record.to_json()))["received"]


def test_a_cell_without_faults_is_written_and_named_as_before() -> None:
    (cell,) = cells(faults={}, training={"rounds": 1, "local_steps": 1})
    record = run_cell(cell).record
    assert "faults" not in record.spec and "received" not in record.to_json()
    assert not {"quorum", "averaging", "below_quorum"} & set(record.spec["training"])


def test_what_is_claimed_is_what_was_planned() -> None:
    """By hand: three rounds of multiplier 2 are one Gaussian release of 2 / sqrt(3)."""
    for mechanism, view in ((CENTRAL, "release"), (LOCAL, "aggregator")):
        own = [{"name": "d", "update": mechanism}]
        (cell,) = cells(strategies=["fedavg"], defences=own)
        prepared = prepare(cell.config)
        facts = facts_of(cell.config, prepared, cell.defence, 1e-5)
        claim = ledger(make_defence(cell.defence, facts), facts)[view]  # type: ignore[index]
        assert isinstance(claim, Guarantee) and claim.releases == 3
        assert claim.epsilon == pytest.approx(gaussian_epsilon(2.0 / 3**0.5, 1, 1e-5), rel=0.01)
        record = run_cell(cell).record
        assert record.status == "done" and record.received["refused"]
        assert record.mechanisms["update"]["cost"]["releases"] == 3
    sgd = {"mechanism": "dp_sgd", "clip_norm": 1.0, "noise_multiplier": 1.0}
    (cell,) = cells(defences=[{"name": "d", "training": sgd}])
    record = run_cell(cell).record
    assert record.mechanisms["training"]["cost"]["releases"] == 6  # rounds * local_steps


def test_sweeps_and_defences_set_faults_and_averages() -> None:
    found = cells(sweep={"faults.lost": [0.0, 0.2], "training.averaging": ["mean", "median"]})
    assert [c.labels["faults.lost"] for c in found] == ["0.0", "0.0", "0.2", "0.2"]
    own = [{"name": "none"}, {"name": "median", "set": {"training.averaging": "median"}}]
    mean, median = cells(defences=own)
    assert (mean.config.training.averaging, median.config.training.averaging) == ("mean", "median")


def test_centralised_cells_have_no_faults() -> None:
    central, parallel = cells(strategies=["centralised", "parallel"])
    assert central.config.faults == NO_FAULTS != parallel.config.faults


@pytest.mark.parametrize(
    ("faults", "words"),
    [
        ({"absnt": 0.1}, "faults: unknown key 'absnt': did you mean 'absent'"),
        ({"absent": 1.5}, "expected 0 <= absent < 1, got absent=1.5"),
        ({"clients": [{"client": 1, "kind": "nann"}]}, "did you mean 'nan'"),
        ({"clients": [1]}, "expected a list of tables"),
        ({"clients": [{"client": 9, "kind": "nan"}]}, r"expected client < clients \(5\)"),
    ],
)
def test_faults_that_make_no_sense_are_told_in_a_line(faults: Any, words: str) -> None:
    with pytest.raises(InputError, match=words) as error:
        cells(faults=faults)
    assert "\n" not in str(error.value)


def observed(mechanism: dict[str, Any], receipts: Receipts, averaging: str = "mean") -> Observation:
    training = {**SMALL["training"], "averaging": averaging}
    own = [{"name": "d", "update": mechanism}]
    data = SMALL["data"] | {"partition": "quantity"}
    (cell,) = cells(strategies=["fedavg"], defences=own, training=training, data=data)
    prepared = prepare(cell.config)
    defence = make_defence(cell.defence, facts_of(cell.config, prepared, cell.defence, 1e-5))
    trained = Trained(prepared.split, (), {}, 0, {}, State(0, {}, {}, {}, {}, ()), receipts)
    return Observation(cell, prepared, defence, trained, Transcript(frozenset(), 0))


def test_a_peer_knows_the_noise_of_those_who_came() -> None:
    lost = Receipts(lacking={1: (0, 3)})
    local, central = observed(LOCAL, lost), observed(CENTRAL, lost)
    sizes = [len(data.encoded) for data in local.prepared.clients]
    assert len({sizes[c] for c in (1, 2, 4)}) > 1  # and yet all weigh the same
    by_hand = 2.0 * 2.0 / 3**0.5  # multiplier, twice the clip, three who came
    assert received_noise(local, range(1, 2)) == pytest.approx(by_hand)
    assert received_noise(central, range(1, 2)) == pytest.approx(2.0 / 5)  # planned, whoever came
    skipped = observed(CENTRAL, Receipts(skipped=[1]))
    assert received_noise(skipped, range(1, 2)) == 0.0
    lacks = received_noise(observed(LOCAL, Receipts(), "median"), range(1, 2))
    assert not isinstance(lacks, float) and "median" in lacks.words


def test_who_is_in_no_average_is_no_member() -> None:
    whole, gone = ({}, {"clients": [{"client": 1, "kind": "absent"}, {"client": 3, "kind": "nan"}]})
    (cell,) = cells(faults=gone)
    prepared = prepare(cell.config)
    seen = seen_by(cell.config, prepared)
    for data in prepared.clients:
        others = seen_by(replace(cell.config, faults=NO_FAULTS), prepared)[data.in_pool]
        assert others.any() and seen[data.in_pool].any() == (data.client not in (1, 3))
    assert not whole and participants(cell.config, 0) == (0, 1, 2, 3, 4)


def test_candidates_whose_updates_were_refused_are_no_members() -> None:
    (cell,) = cells(faults={})
    prepared = prepare(cell.config)
    chosen, gone = choose(cell, prepared), prepared.clients[1].in_pool
    assert settled_by(chosen, cell.config, prepared, Receipts()) is chosen
    refused = Receipts([Refusal(1, r, VALUES) for r in (1, 2, 3)], dict.fromkeys(range(3), (1,)))
    settled = settled_by(chosen, cell.config, prepared, refused)
    theirs = np.isin(chosen.candidates, gone)
    assert chosen.members[theirs].any() and not settled.members[theirs].any()
    np.testing.assert_array_equal(settled.members[~theirs], chosen.members[~theirs])


def test_a_client_that_cannot_make_its_one_message_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    message = Sender.message

    def broken(sender: Sender) -> Any:
        if sender.data.client == 1:
            raise ValueError("expected finite values")
        return message(sender)

    monkeypatch.setattr(Sender, "message", broken)
    more = {"strategies": ["one_message"], "message": {"public": "generated", "public_size": 100}}
    (cell,) = cells(faults={}, **more)
    received = run_cell(cell).record.received
    assert received["refused"] == [{"client": 1, "round": 1, "why": FAILED}]
    (whole,) = cells(faults={}, training={"quorum": 1.0}, **more)
    record = run_cell(whole).record
    told = "round 1, client 1, at its one message: expected finite values; a training goes on"
    assert record.status == "failed" and told in str(record.traceback)


def test_a_watch_over_noise_that_is_correlated_needs_every_round() -> None:
    training = SMALL["training"] | {"below_quorum": "skip"}
    ftrl = {**CENTRAL, "mechanism": "dp_ftrl", "bands": 1}
    more = {"defences": [{"name": "d", "update": ftrl}], "faults": {}, "training": training}
    (cell,), (watched,) = cells(**more), cells(**more, audit={"noise": True})
    assert run_cell(cell).record.status == "done"
    reason = run_cell(watched).record.reason
    assert reason.endswith(
        'which a skipped one hides a part, got "skip": set "stop", or leave out [audit]'
    )


def test_finetune_says_in_a_line_what_was_refused_and_an_export_does_not(tmp_path: Path) -> None:
    text = WORLD + (
        "[training]\nrounds = 2\nlocal_steps = 1\nbatch_size = 4\nquorum = 0.5\n"
        '[faults]\nclients = [{ client = 1, kind = "nan" }]\n'
    )
    (tmp_path / "t.toml").write_text(text)
    settings = read_training(tmp_path / "t.toml", pretraining=False)
    out = tmp_path / "run"
    lines = run_training(settings, out, 1, lambda *_: None)
    told = "2 of 4 updates refused: 2 NaN, infinite or huge"
    assert told in lines
    assert read(out / "checkpoint").manifest["plain"]["receipts"]["refused"]
    made = export(out / "checkpoint", tmp_path / "export")
    assert not {"faults", "receipts", "plain"} & set(made.manifest | made.manifest["config"])


def test_the_line_counts_by_reason() -> None:
    received = {
        "expected": 640, "missing": 213, "reasons": {"late": 3, "sent again": 2}, "refused": [],
        "skipped": [1, 2],
    }  # fmt: skip
    told = "3 of 640 updates refused: 3 late; 213 did not come; 2 came again; 2 rounds skipped"
    assert line(received) == told and line({}) == ""


def test_a_grid_whose_faults_stop_it_is_refused_with_the_quorum_that_helps(
    tmp_path: Path, here: Callable[..., subprocess.CompletedProcess[str]], small_grid: Path
) -> None:
    grid = small_grid.read_text()
    small_grid.write_text(grid + '[faults]\nclients = [{ client = 1, kind = "lost" }]\n')
    for more in ((), ("--dry-run",)):
        done = here("privacy-utility", small_grid, "--out", tmp_path / "run", *more)
        assert done.returncode == 2 and done.stderr.count("\n") == 1
        assert "got 1 in round 1 of seed 0: 2 of 2 trainings would stop" in done.stderr
        assert "set training.quorum = 0.5, at which none stops, or training.below" in done.stderr
    assert not (tmp_path / "run").exists()
    (tmp_path / "t.toml").write_text(WORLD + '[faults]\nclients = [{ client = 1, kind = "nan" }]\n')
    done = here("finetune", tmp_path / "t.toml", "--out", tmp_path / "ft")
    assert done.returncode == 2 and "set training.quorum = 0.5" in done.stderr


def test_under_noise_of_the_clients_own_a_broken_update_is_none_before_as_in_the_training(
    tmp_path: Path, here: Callable[..., subprocess.CompletedProcess[str]], small_grid: Path
) -> None:
    """Noise on the sum counts who answered; noise at each client counts what can be taken."""
    faults = '[faults]\nclients = [{ client = 1, kind = "misshaped" }]\n'
    grid = small_grid.read_text().split("[[defences]]")[0].replace("parallel", "fedavg")
    for mechanism, code in (("local_dp_fedavg", 2), ("dp_fedavg", 0)):
        update = f'{{ mechanism = "{mechanism}", clip_norm = 1.0, noise_multiplier = 1.0 }}'
        small_grid.write_text(f'{grid}{faults}[[defences]]\nname = "x"\nupdate = {update}\n')
        done = here("privacy-utility", small_grid, "--out", tmp_path / mechanism, "--dry-run")
        assert done.returncode == code, done.stderr
        assert ("would stop" in done.stderr) is (code == 2)
