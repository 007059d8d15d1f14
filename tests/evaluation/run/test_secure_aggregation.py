"""Secure aggregation as a view: the aggregator holds an average, and the training is as before."""

from typing import Any

import numpy as np
import pytest

from evaluation.adversary.round_watch import RoundWatch
from evaluation.adversary.transcript import Transcript
from evaluation.attacking.foresight import foreseen
from evaluation.attacking.updates import SUM_ALONE
from evaluation.grid.defence import facts_of, make_defence
from evaluation.grid.parse import grid_from
from evaluation.grid.spec import Cell
from evaluation.run.cell import run_cell
from fedbert.errors import InputError
from fedbert.messages import ClientParts, ClientUpdate
from fedbert.noise import noise_of
from fedbert.prepare import prepare
from fedbert.trainer import train
from privacy.accounting import ledger
from reports.leak import Leak, NotMeasured
from tests.fedbert import tiny
from tests.fedbert.test_arrivals import WRONG, Tampered

SMALL: dict[str, Any] = {
    "tasks": ["sst2"],
    "strategies": ["fedavg"],
    "model": {"source": "tiny", "tokenizer": "generated", "tie_decoder": False},
    "data": {
        "source": "generated", "pool_size": 120, "evaluation": 20, "max_length": 12, "clients": 5,
    },
    "training": {"rounds": 3, "local_steps": 2, "batch_size": 4, "quorum": 0.4},
    "attacks": {
        "updates": ["embedding_rows", "row_order", "embedding_rows_peer"],
        "membership": ["loss_over_rounds", "update_cosine"],
    },
    "faults": {"clients": [{"client": 1, "kind": "lost"}]},
}  # fmt: skip
LOCAL = {"mechanism": "local_dp_fedavg", "clip_norm": 1.0, "noise_multiplier": 0.01}


def cell_of(secure: bool, **changed: Any) -> Cell:
    asked = {**SMALL, **changed}
    own = {**asked, "training": {**asked["training"], "secure_aggregation": secure}}
    (cell,) = grid_from(own, "grid.toml", "grid").cells
    return cell


def test_the_sum_alone_is_attacked_and_the_training_is_the_same() -> None:
    plain, secure = (run_cell(cell_of(how)).record for how in (False, True))
    assert plain.status == secure.status == "done", secure.traceback
    assert secure.utility == plain.utility and secure.received == plain.received
    reached = {e.attack: e for e in secure.leakage if isinstance(e, Leak)}
    assert {"embedding rows", "loss over rounds", "update cosine"} <= set(reached)
    single = {e.attack: e.reason for e in secure.leakage if isinstance(e, NotMeasured)}
    assert single["row order"] == SUM_ALONE and "row order" not in reached
    assert not any(e.reason == SUM_ALONE for e in plain.leakage if isinstance(e, NotMeasured))
    assert {"secure_aggregation"} == set(secure.spec["training"]) - set(plain.spec["training"])


def test_words_of_all_who_came_are_read_off_an_average() -> None:
    """AdamW without a tied decoder: a row of the average moves where any client's did."""
    record = run_cell(cell_of(True)).record
    found = {e.metric: e for e in record.leakage if isinstance(e, Leak) and "rows" in e.attack}
    assert found["token_recall"].estimate.value == 1.0
    assert found["token_precision"].estimate.value > 0.95


@pytest.mark.parametrize("sampled", [None, 2])
def test_a_transcript_holds_each_rounds_average_and_no_update(sampled: int | None) -> None:
    heard, single = Transcript(frozenset(range(3)), 0, secure=True), tiny.Recorder("client_update")
    settings = {"clients": 4, "strategy": "fedavg", "clients_per_round": sampled}
    config, states = tiny.config_of("two", secure_aggregation=True, **settings), []
    prepared = tiny.prepared_for(config, count=40)
    train(config, prepared, tiny.NO_DEFENCE, listeners=[heard, single], on_round=states.append)
    assert [update.round for _, update in heard.updates] == [0, 1]
    for (parts, update), state in zip(heard.updates, states, strict=False):
        assert isinstance(parts, ClientParts) and isinstance(update, ClientUpdate)
        own = [m for m in single.messages if m.round == update.round]
        assert len(own) == (sampled or 4)
        for name, value in update.tensors.items():
            np.testing.assert_array_equal(value, state.values[name])


@pytest.mark.parametrize("secure", [False, True])
def test_candidates_are_laid_against_each_update_or_the_average_alone(secure: bool) -> None:
    config = cell_of(secure).config
    prepared = prepare(config)
    watch = RoundWatch(prepared, np.arange(6), 0, secure)
    train(config, prepared, tiny.NO_DEFENCE, listeners=[watch], on_round=watch.on_round)
    losses, cosines, _ = watch.arrays()
    assert losses.shape == (4, 6) and cosines is not None
    assert cosines.shape == (3, 1 if secure else 4, 6) and np.isfinite(cosines).all()


def test_claims_and_noise_are_those_of_before() -> None:
    claims, draws = [], []
    for secure in (False, True):
        own = [{"name": "d", "update": LOCAL}]
        cell = cell_of(secure, defences=own, noise="repeatable")
        prepared = prepare(cell.config)
        facts = facts_of(cell.config, prepared, cell.defence, 1e-5)
        defence = make_defence(cell.defence, facts)
        claims.append(ledger(defence, facts))
        source = noise_of(cell.config, prepared, defence)
        draws.append(source.draws("update", 0).uniform((4,)).tobytes())
    assert claims[0] == claims[1] and draws[0] == draws[1]


def test_what_looks_at_single_updates_is_refused_beside_it() -> None:
    central = {**LOCAL, "mechanism": "dp_fedavg"}
    record = run_cell(cell_of(True, defences=[{"name": "d", "update": central}])).record
    assert record.status == "skipped" and "under secure_aggregation has none" in record.reason
    for more, words in (
        ({"training": {"averaging": "median"}}, '"mean" with secure_aggregation'),
        ({"strategies": ["parallel"]}, '"fedavg" with secure_aggregation'),
        ({"faults": {"nan": 0.1}}, "secure_aggregation, got 'nan'"),
        ({"faults": {"clients": [{"client": 1, "kind": "twice"}]}}, "got 'twice'"),
    ):
        with pytest.raises(InputError, match=words):
            cell_of(True, **more)
    config = tiny.config_of(
        "two", clients=3, strategy="fedavg", secure_aggregation=True, quorum=0.5
    )
    fleet = Tampered(*WRONG["one NaN in an update"][:2])
    with pytest.raises(InputError, match="one broken update spoils the sum"):
        train(config, tiny.prepared_for(config), tiny.NO_DEFENCE, fleet=fleet)


def test_it_is_foretold_which_attacks_will_not_run() -> None:
    cell = cell_of(True)
    prepared = prepare(cell.config)
    defence = make_defence(cell.defence, facts_of(cell.config, prepared, cell.defence, 1e-5))
    lacking = {head.attack: lacks.words for head, lacks in foreseen(cell, prepared, defence, 10)}
    assert lacking["row order"] == SUM_ALONE and "embedding rows" not in lacking
