"""Loss traces: each record's own loss at each of its steps; nothing else of a training moves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fedbert.export import export
from fedbert.loss_trace import EXAMPLES, LOSSES, Losses, traces_of
from fedbert.micro_batches import MicroBatch
from fedbert.noise import simulated
from fedbert.split import duplicate
from fedbert.trainer import State, load_values, train
from privacy.defence import Defence
from privacy.dp_sgd.mechanism import DPSGD
from tests.fedbert import tiny
from tests.fedbert.test_checkpoint import resumes_bit_for_bit

WAYS: list[dict[str, Any]] = [
    {"strategy": "centralised"},
    {"strategy": "fedavg", "micro_batch": 4},
    {"strategy": "parallel", "clients_per_round": 2},
    {"strategy": "sequential"},
]
NOISED = Defence("noised", training=DPSGD(clip_norm=1.0, noise_multiplier=1.0, sample_rate=0.75))


def last_state(kind: str = "two", defence: Defence = tiny.NO_DEFENCE, **run: Any) -> State:
    config, states = tiny.config_of(kind, clients=3, **run), list[State]()
    train(config, tiny.prepared_for(config, kind, 0.0), defence, on_round=states.append)
    return states[-1]


@pytest.mark.parametrize(
    ("kind", "defence"), [("two", tiny.NO_DEFENCE), ("mlm-tied", NOISED)], ids=["two", "noised"]
)
@pytest.mark.parametrize("run", WAYS, ids=lambda run: run["strategy"])
def test_a_trace_moves_nothing_of_the_training(
    run: dict[str, Any], kind: str, defence: Defence
) -> None:
    run = {"rounds": 2} | run
    plain, traced = (last_state(kind, defence, loss_traces=on, **run) for on in (False, True))
    kept = {name: value for name, value in traced.arrays.items() if "trace/" not in name}
    both = [tiny.as_bytes(s)["arrays"] for s in (plain, traced)]
    assert both[0] == {name: both[1][name] for name in kept}
    assert tiny.as_bytes(plain)["values"] == tiny.as_bytes(traced)["values"]
    assert plain.losses == traced.losses
    assert traces_of(plain.arrays) is None


def test_a_trace_holds_each_records_own_loss_under_the_model_of_the_step() -> None:
    """Of one client and steps that end rounds, the models before the steps are the states."""
    run: dict[str, Any] = {"strategy": "centralised", "local_steps": 1, "rounds": 5}
    config, states = tiny.config_of(clients=1, loss_traces=True, **run), list[State]()
    prepared = tiny.prepared_for(config, dropout=0.0)
    train(config, prepared, tiny.NO_DEFENCE, on_round=states.append)
    (data,) = prepared.clients
    model, expected = duplicate(prepared.split), list[tuple[int, float]]()
    for step in range(5):
        batch = data.batch(step)
        model.whole.eval()
        each = model.losses(batch).tolist()
        expected += zip(data.in_pool[data.chosen(step)].tolist(), each, strict=True)
        load_values(model, states[step].values)
    found = traces_of(states[-1].arrays)
    assert found is not None
    assert found[0].tolist() == [who for who, _ in expected]
    assert np.allclose(found[1], [loss for _, loss in expected], rtol=1e-5)


def test_every_visit_of_every_client_is_there_by_its_place_in_the_pool() -> None:
    config, states = tiny.config_of(clients=3, loss_traces=True), list[State]()
    prepared = tiny.prepared_for(config)
    train(config, prepared, tiny.NO_DEFENCE, on_round=states.append)
    steps = config.training.rounds * config.training.local_steps
    seen = [d.in_pool[d.chosen(s)] for d in prepared.clients for s in range(steps)]
    found = traces_of(states[-1].arrays)
    assert found is not None
    assert found[0].tolist() == np.concatenate(seen).tolist()


@pytest.mark.parametrize("run", WAYS, ids=lambda run: run["strategy"])
def test_resuming_keeps_the_trace(run: dict[str, Any], tmp_path: Path) -> None:
    resumes_bit_for_bit(tmp_path, "two", loss_traces=True, **run)


def test_no_export_holds_a_trace(tmp_path: Path) -> None:
    from fedbert.checkpoint import save

    config, states = tiny.config_of(clients=2, loss_traces=True), list[State]()
    prepared = tiny.prepared_for(config)
    train(config, prepared, tiny.NO_DEFENCE, on_round=states.append)
    assert {EXAMPLES, LOSSES} <= {n.split(":")[1] for n in states[-1].arrays if "trace" in n}
    save(tmp_path / "run" / "c", config, prepared, states[-1], {"name": "none"}, [])
    found = export(tmp_path / "run" / "c", tmp_path / "out")
    assert not found.state.arrays
    held = b"".join(p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file())
    assert b"trace" not in held.replace(b"traceback", b"")


def test_noise_of_a_traced_training_is_that_of_the_same_untraced() -> None:
    drawn = []
    for on in (False, True):
        config = tiny.config_of(loss_traces=on)
        source = simulated(3, config, tiny.prepared_for(config), NOISED)
        drawn.append(source.draws("x").gaussian((4,)).tolist())
    assert drawn[0] == drawn[1]


def test_losses_that_are_no_numbers_leave_no_trace() -> None:
    """Of a client that diverged, whose other visits are as good as before."""
    batch = tiny.prepared_for(tiny.config_of()).clients[0].batch(0)
    losses, each = Losses(np.arange(100), traced=True), torch.ones(len(batch))
    each[1] = torch.nan
    losses.add(MicroBatch(batch), each.mean(), each)
    assert np.isnan(losses.mean())
    (found,) = {losses.snapshot()[EXAMPLES].size, losses.snapshot()[LOSSES].size}
    assert found == len(batch) - 1
