"""A training whose parties live in processes on Ray: the one that it is in a single process."""

import importlib.util
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.grid.defence import facts_of, make_defence
from evaluation.run.on_ray.fleet import RayFleet
from evaluation.run.training_file import TrainingFile, read_training
from fedbert.errors import InputError
from fedbert.noise import noise_of
from fedbert.prepare import Prepared, prepare
from fedbert.trainer import State, Trained, train
from privacy.defence import Defence
from tests import kills

if importlib.util.find_spec("ray") is None:  # not imported here: it reads its environment then
    pytest.skip("Ray is not installed: pip install 'fedbert-privacy[ray]'", allow_module_level=True)

TRAINING = """
seed = 3
noise = "repeatable"
[model]
source = "tiny"
tokenizer = "generated"
[data]
source = "generated"
pool_size = 60
evaluation = 10
max_length = 16
clients = 3
[training]
strategy = "{strategy}"
rounds = 2
local_steps = 2
batch_size = 8
{more}
[defence]
name = "d"
{defence}
"""
CASES = {
    "parallel": ("parallel", "", 'smashed = { mechanism = "gaussian", clip_norm = 8.0 }'),
    "DP-SGD": ("sequential", "", 'training = { mechanism = "dp_sgd", clip_norm = 1.0 }'),
    "some take part": ("fedavg", "clients_per_round = 2", ""),
}
LEVEL = "noise_multiplier = 0.7 }"


@pytest.fixture
def world(tmp_path: Path) -> Callable[[str], tuple[TrainingFile, Prepared, Defence]]:
    def make(case: str) -> tuple[TrainingFile, Prepared, Defence]:
        strategy, more, defence = CASES[case]
        text = TRAINING.replace("{strategy}", strategy).replace("{more}", more)
        file = tmp_path / "training.toml"
        file.write_text(text.replace("{defence}", defence.replace("0 }", f"0, {LEVEL}")))
        settings = read_training(file, pretraining=False)
        prepared = prepare(settings.config, coin=False)
        facts = facts_of(settings.config, prepared, settings.defence, settings.delta)
        return settings, prepared, make_defence(settings.defence, facts)

    return make


def told(settings: TrainingFile, prepared: Prepared) -> dict[str, Any]:
    return {
        "config": settings.config.to_json(),
        "asked": settings.asked(),
        "plain": {},
        "data_sha256": prepared.data_sha256,
    }


def trained(world: Any, fleet: RayFleet | None, **more: Any) -> Trained:
    settings, prepared, defence = world
    noise = noise_of(settings.config, prepared, defence, settings.asked())
    return train(settings.config, prepared, defence, fleet=fleet, noise=noise, **more)


@pytest.mark.parametrize("case", CASES)
def test_parties_in_processes_train_what_they_train_in_one(world: Any, case: str) -> None:
    here = world(case)
    kept: list[list[State]] = [[], []]
    alone = trained(here, None, on_round=kept[0].append)
    fleet = RayFleet(told(*here[:2]), 2)
    apart = trained(here, fleet, on_round=kept[1].append)
    assert apart.losses == alone.losses and apart.bytes == alone.bytes
    assert apart.protection == alone.protection and apart.releases == alone.releases
    for one, other in zip(*kept, strict=True):
        assert one.values.keys() == other.values.keys()
        assert one.arrays.keys() == other.arrays.keys() and one.plain == other.plain
        for name in one.values:
            np.testing.assert_array_equal(one.values[name], other.values[name], name)
        for name in one.arrays:
            np.testing.assert_array_equal(one.arrays[name], other.arrays[name], name)


def test_a_host_that_dies_is_said(world: Any) -> None:
    here = world("parallel")
    fleet = RayFleet(told(*here[:2]), 2)

    def kill(_: State) -> None:
        hosts = [pid for pid in kills.family(os.getpid()) if "PartyHost" in name_of(pid)]
        os.kill(hosts[0], signal.SIGKILL)

    try:
        with pytest.raises(InputError, match=r"expected an answer of party .*, got none.* died"):
            trained(here, fleet, on_round=kill)
    finally:
        fleet.close()


def test_other_data_on_a_node_are_refused(world: Any) -> None:
    here = world("parallel")
    with pytest.raises(InputError, match="expected the same data on every node"):
        RayFleet(told(*here[:2]) | {"data_sha256": "ab"}, 1)


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode()
    except OSError:
        return ""
