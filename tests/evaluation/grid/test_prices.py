"""Prices: by the tokens that are there, by what is kept, and by what is asked."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from evaluation.grid.parse import read_grid
from evaluation.grid.prices import BLIND, JUDGING, Speed, Texts, memory, price
from evaluation.grid.spec import Cell

TEXTS = Texts(batch=100.0, held=2000.0, examples=200, longest=30.0, judged=500.0)
SPEED = Speed(step=2.0, encode=0.5, answer=0.25, turn=0.1, start=3.0, memory=10**9, client=10**6)


@pytest.fixture
def cell(small_grid: Path) -> Cell:
    """Two clients of one local step in each of two rounds, batches of 8, a membership attack."""
    return read_grid(small_grid).cells[0]


def changed(cell: Cell, part: str, **values: Any) -> Cell:
    """Return a cell with other settings of a part of its configuration."""
    own = replace(getattr(cell.config, part), **values)
    return replace(cell, config=replace(cell.config, **{part: own}))


def train(cell: Cell, texts: Texts = TEXTS) -> float:
    return price(cell, texts, SPEED).phases["train"]


def test_a_training_is_its_steps_its_turns_and_its_start(cell: Cell) -> None:
    steps, turns = 4 * 0.1 * 2.0, 4 * 0.1
    assert train(cell) == pytest.approx(steps + turns + 3.0)
    ten = changed(cell, "training", local_steps=10)
    assert train(ten) == pytest.approx(10 * steps + turns + 3.0)
    few = changed(changed(ten, "data", clients=8), "training", clients_per_round=2)
    assert train(few) == pytest.approx(train(ten))


def test_the_most_tokens_of_an_example_are_not_what_it_has(cell: Cell) -> None:
    long = changed(cell, "data", max_length=500)
    for phase, seconds in price(cell, TEXTS, SPEED).phases.items():
        assert price(long, TEXTS, SPEED).phases[phase] == pytest.approx(seconds), phase


def test_a_frozen_encoder_reads_an_example_once_if_it_comes_again(cell: Cell) -> None:
    frozen = changed(cell, "model", freeze_embeddings=True)
    once = price(frozen, TEXTS, SPEED)
    assert once.shared == 0.0  # 32 examples of 200: what comes once is not kept
    assert once.phases["train"] == pytest.approx(train(cell) + 4 * 0.1 * 0.5)
    many = changed(frozen, "training", rounds=200)
    again = price(many, TEXTS, SPEED)
    assert again.shared == pytest.approx(2.0 * 0.5)
    assert again.phases["train"] == pytest.approx(400 * (0.1 * 2.0 + 0.1) + 3.0)


def test_shadows_are_trainings_and_their_answers(cell: Cell) -> None:
    none, four = (
        price(replace(cell, attacks=replace(cell.attacks, shadows=n)), TEXTS, SPEED) for n in (0, 4)
    )
    answers = 2 * cell.attacks.candidates * 10.0 / 1000 * 0.25
    judged = BLIND * 2 * cell.attacks.candidates
    assert none.phases["membership"] == pytest.approx(answers + judged)
    assert four.phases["membership"] == pytest.approx(5 * answers + 4 * train(cell) + judged)


def test_one_message_is_its_encodings(cell: Cell) -> None:
    frozen = changed(cell, "model", freeze_embeddings=True)
    training = replace(frozen.config.training, strategy="one_message")
    message = replace(frozen.config.message, public="embedded")
    own = replace(frozen.config, training=training, message=message)
    one = replace(frozen, config=own)
    found = price(one, replace(TEXTS, public=8000.0), SPEED)
    assert found.shared == pytest.approx(10.0 * 0.5) and found.phases["train"] < 5


def test_memory_grows_with_clients_that_stay_and_with_what_is_kept(cell: Cell) -> None:
    assert memory(cell, TEXTS, SPEED, 128) == 10**9 + JUDGING + 2 * 10**6
    frozen = changed(cell, "model", freeze_embeddings=True)
    assert memory(frozen, TEXTS, SPEED, 128) == 10**9 + JUDGING + 2 * 10**6 + 4 * 128 * 2000
    few = changed(changed(cell, "data", clients=500), "training", clients_per_round=5)
    assert memory(few, TEXTS, SPEED, 128) == 10**9 + JUDGING + 10**6
