"""Calibration by clocks that the tests hold: what short trainings say of long ones."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.grid.parse import read_grid
from evaluation.grid.spec import Cell
from evaluation.run import calibration
from evaluation.run.calibration import Calibration, forecast, kind_of, texts_of
from fedbert.config import Config
from fedbert.prepare import Prepared, prepare

STEP, TURN, START = 0.25, 0.5, 4.0


@dataclass
class Machine:
    """A machine of which the tests say what a training takes; others have half of its time."""

    now: float = 0.0
    trainings: int = 0

    def train(self, config: Config, prepared: Prepared, *_: Any, **__: Any) -> None:
        training, parties = config.training, len(prepared.clients)
        turns = training.rounds * parties
        self.now += START + turns * (TURN + training.local_steps * STEP)
        self.trainings += 1

    def calibration(self, budget: float = 1000.0) -> Calibration:
        return Calibration(lambda: self.now, lambda: 2 * self.now, budget)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr(calibration, "train", made.train)
    return made


@pytest.fixture
def cells(small_grid: Path) -> list[Cell]:
    return list(read_grid(small_grid).cells)


def make(config: Config) -> Prepared:
    return prepare(config, coin=True)


def test_short_trainings_say_what_steps_turns_and_beginnings_take(
    machine: Machine, cells: list[Cell]
) -> None:
    speeds = machine.calibration().speeds(cells, make)
    assert set(speeds) == {cell.id for cell in cells} and len(set(speeds.values())) == 1
    found, prepared = speeds[cells[0].id], make(cells[0].config)
    few = [client.encoded.take(np.arange(8)) for client in prepared.clients]
    tokens = np.mean([8 * each.lengths.max() for each in few])
    # twice: others have half of the processor
    assert found.step == pytest.approx(2 * STEP * 1000 / tokens)
    assert (found.turn, found.start) == (pytest.approx(2 * TURN), pytest.approx(2 * START))


def test_a_forecast_is_what_the_machine_would_take(machine: Machine, cells: list[Cell]) -> None:
    long = [
        replace(
            c, config=replace(c.config, training=replace(c.config.training, rounds=50)),
            attacks=replace(c.attacks, membership=()),
        )
        for c in cells
    ]  # fmt: skip
    found = forecast(long, make, machine.calibration())
    assert machine.trainings == 4  # they differ in noise and seed: one kind
    assert found.memory > 10**8
    before = machine.now
    machine.train(long[0].config, make(long[0].config))
    true = 2 * (machine.now - before)
    texts, few = texts_of(long[0], make(long[0].config)), 8 * 16  # batches are nearly as long
    assert found.seconds[long[0].id] == pytest.approx(true, rel=0.3), (texts, few)


def test_what_there_is_no_time_for_counts_as_its_nearest(
    machine: Machine, cells: list[Cell]
) -> None:
    private = replace(cells[0].defence, update=cells[2].defence.smashed)
    other = replace(cells[0], defence=replace(private, name="other"))
    assert kind_of(other) != kind_of(cells[0])
    speeds = machine.calibration(budget=0.0).speeds([cells[0], other], make)
    assert machine.trainings == 4 and speeds[cells[0].id] == speeds[other.id]


def test_texts_are_as_long_as_they_are(cells: list[Cell]) -> None:
    prepared = make(cells[0].config)
    found = texts_of(cells[0], prepared)
    lengths = np.concatenate([client.encoded.lengths for client in prepared.clients])
    assert found.held == lengths.sum() and found.examples == len(lengths)
    assert found.judged == sum(each.lengths.sum() for each in prepared.evaluation.values())
    assert lengths.mean() * 8 <= found.batch <= lengths.max() * 8
