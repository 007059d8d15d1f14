"""A training whose parties live in processes on Ray: the one that it is in a single process."""

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.grid.defence import facts_of, make_defence
from evaluation.run.on_ray.fleet import RayFleet
from evaluation.run.on_ray.tidy import living
from evaluation.run.training import run_training
from evaluation.run.training_file import TrainingFile, read_training
from fedbert.checkpoint import read
from fedbert.errors import InputError
from fedbert.noise import noise_of
from fedbert.prepare import Prepared, prepare
from fedbert.trainer import State, Trained, train
from privacy.defence import Defence
from tests import kills

pytestmark = pytest.mark.skipif(  # not imported here: it reads its environment then
    importlib.util.find_spec("ray") is None,
    reason="Ray is not installed: pip install 'fedbert-privacy[ray]'",
)

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
HERE = [case for case in CASES if case != "some take part"]
LEVEL = "noise_multiplier = 0.7 }"


@pytest.fixture(scope="module", autouse=True)
def own_environment() -> Iterator[None]:
    """What fleets of this process set for their clusters, a token among it, is theirs alone."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(autouse=True)
def no_cluster_after_it() -> Iterator[None]:
    """A test that fails leaves no cluster to the next one, which is to start its own."""
    yield
    sys.modules["ray"].shutdown()


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


@pytest.mark.parametrize("case", HERE)
def test_parties_in_processes_train_what_they_train_in_one(world: Any, case: str) -> None:
    here = world(case)
    kept: list[list[State]] = [[], []]
    alone = trained(here, None, on_round=kept[0].append)
    fleet = RayFleet(told(*here[:2]), 1 if case == "DP-SGD" else 2)
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


def test_the_command_trains_the_same_and_leaves_nothing(world: Any, tmp_path: Path) -> None:
    settings, *_ = world("some take part")
    run_training(settings, tmp_path / "here", 1, lambda *_: None)
    temporary = tmp_path / "t"
    temporary.mkdir()
    command = [sys.executable, "-m", "evaluation.cli.main", "finetune", settings.where, "--quiet"]
    command += ["--out", str(tmp_path / "apart"), "--fleet", "ray", "--groups", "1"]
    own = os.environ | {"TMPDIR": str(temporary)}
    with subprocess.Popen(command, env=own, start_new_session=True) as process:
        assert process.wait() == 0
        assert living(process.pid) == [] and not list(temporary.iterdir())
    alone, apart = (read(tmp_path / place / "checkpoint").state for place in ("here", "apart"))
    assert apart.losses == alone.losses and apart.values.keys() == alone.values.keys()
    for name, value in alone.values.items():
        np.testing.assert_array_equal(apart.values[name], value, name)


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
