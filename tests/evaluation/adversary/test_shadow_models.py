"""Shadow models: whose half they see, that they know nothing of the target, that they are kept."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.adversary import shadow_models as shadows
from evaluation.adversary.candidates import choose
from evaluation.adversary.inference import answers_on
from evaluation.adversary.shadow_models import Trainings, key_of, shadow_answers, shadow_inputs
from evaluation.grid.defence import facts_of, make_defence
from evaluation.grid.parse import read_grid
from evaluation.grid.spec import Cell
from fedbert.disk.writer import SUFFIX
from fedbert.prepare import prepare
from fedbert.trainer import train


@pytest.fixture
def trainings(small_grid: Path) -> Trainings:
    return trainings_of(read_grid(small_grid).cells[0])


def trainings_of(cell: Cell) -> Trainings:
    prepared = prepare(cell.config, coin=True)
    facts = facts_of(cell.config, prepared, cell.defence, cell.delta)
    defence = make_defence(cell.defence, facts)
    return Trainings(cell.config, prepared, defence, cell.defence.to_json())


def test_two_in_a_row_share_no_example_and_leave_none_out(trainings: Trainings) -> None:
    halves = [shadow_inputs(trainings, number)[1].members for number in range(8)]
    for even, odd in zip(halves[::2], halves[1::2], strict=True):
        assert even is not None and odd is not None
        np.testing.assert_array_equal(even, ~odd)
    assert len({half.tobytes() for half in halves if half is not None}) == 8
    config, inputs, _ = shadow_inputs(trainings, 0)
    held = np.concatenate(
        [data.pool_positions for data in inputs.clients if data.pool_positions is not None]
    )
    assert inputs.members is not None and set(held) == set(np.flatnonzero(inputs.members))
    assert config.seed != trainings.config.seed and len(inputs.clients) == 2


def test_two_in_a_row_share_no_text(trainings: Trainings) -> None:
    pool = trainings.prepared.pool
    doubled = pool.take(np.tile(np.arange(len(pool)), 2))
    doubled = replace(doubled, documents=np.arange(len(doubled)))
    own = replace(trainings, prepared=replace(trainings.prepared, pool=doubled))
    halves = [shadow_inputs(own, number)[1].members for number in range(2)]
    for half in halves:
        assert half is not None
        np.testing.assert_array_equal(half[: len(pool)], half[len(pool) :])
    examples = np.arange(len(doubled))
    held = shadow_answers(own, examples, 2, None)[1]  # the one that was sent speaks for its twin
    np.testing.assert_array_equal(held[:, : len(pool)], held[:, len(pool) :])
    assert held.any(1).all() and not held.all(0).any()


def test_coins_of_shadows_are_fair(trainings: Trainings) -> None:
    """Out of 40 pairs of 60 flips each; alarms falsely with probability 1e-4."""
    count = sum(int(shadow_inputs_members(trainings, number).sum()) for number in range(0, 80, 2))
    assert abs(count - 1200) < 3.9 * np.sqrt(2400) / 2


def shadow_inputs_members(trainings: Trainings, number: int) -> np.ndarray:
    rng = shadows.numpy_rng(trainings.config.seed, "shadow pair", number // 2)
    return shadows.flips(trainings.prepared.pool.documents, rng)


def test_shadows_know_nothing_of_who_was_trained_on(trainings: Trainings) -> None:
    examples = np.arange(10)
    first = shadow_answers(trainings, examples, 2, None)
    members = trainings.prepared.members
    assert members is not None
    other = replace(trainings, prepared=replace(trainings.prepared, members=~members, clients=()))
    for one, two in zip(first, shadow_answers(other, examples, 2, None), strict=True):
        np.testing.assert_array_equal(one, two)


def test_a_shadow_is_what_the_trainer_makes_of_its_half(trainings: Trainings) -> None:
    examples = np.arange(5, 25)
    losses, held = shadow_answers(trainings, examples, 2, None)
    for number in range(2):
        config, inputs, noise = shadow_inputs(trainings, number)
        trained = train(config, inputs, trainings.defence, noise=noise)
        own = answers_on(trained.split, inputs, examples, trainings.config.seed)
        np.testing.assert_array_equal(losses[number], own.losses)
        batches = [d.pool_positions[d.chosen(s)] for d in inputs.clients for s in range(2)]  # type: ignore[index]
        np.testing.assert_array_equal(held[number], np.isin(examples, np.concatenate(batches)))


def test_what_is_kept_is_read_and_what_is_broken_made_again(
    trainings: Trainings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    examples = np.arange(10)
    first = shadow_answers(trainings, examples, 2, tmp_path / "kept")
    kept = sorted((tmp_path / "kept").iterdir())
    assert len(kept) == 2 and all(path.suffix == ".safetensors" for path in kept)
    before = [path.read_bytes() for path in kept]
    made: list[int] = []
    real: Any = shadows._train

    def counted(own: Trainings, chosen: np.ndarray, number: int) -> dict[str, np.ndarray]:
        made.append(number)
        return real(own, chosen, number)

    monkeypatch.setattr(shadows, "_train", counted)
    (tmp_path / "kept" / f".x.safetensors.{'0a' * 6}{SUFFIX}").mkdir()  # left by a kill
    again = shadow_answers(trainings, examples, 2, tmp_path / "kept")
    assert not any(path.name.endswith(SUFFIX) for path in (tmp_path / "kept").iterdir())
    assert made == []
    shadow_answers(trainings, examples, 4, tmp_path / "kept")  # goes on where the first ended
    assert made == [2, 3]
    kept[0].write_bytes(before[0][:-7])
    kept[1].write_bytes(b"")
    mended = shadow_answers(trainings, examples, 2, tmp_path / "kept")
    assert made[2:] == [0, 1] and [path.read_bytes() for path in kept] == before
    for one, two, three in zip(first, again, mended, strict=True):
        np.testing.assert_array_equal(one, two)
        np.testing.assert_array_equal(one, three)


def test_the_key_holds_what_touches_the_training_and_nothing_else(trainings: Trainings) -> None:
    examples, config = np.arange(10), trainings.config
    key = key_of(trainings, examples, 0)
    data = replace(config.data, evaluation=7)
    named = {**trainings.named, "name": "another"}
    same = replace(trainings, config=replace(config, data=data), named=named)
    assert key_of(same, examples, 0) == key
    others = [
        key_of(trainings, examples, 1),
        key_of(trainings, np.arange(9), 0),
        key_of(replace(trainings, config=replace(config, seed=5)), examples, 0),
        key_of(replace(trainings, named={**trainings.named, "smashed": {"clip_norm": 1.0}}),
               examples, 0),
        key_of(replace(trainings, prepared=replace(trainings.prepared, data_sha256="0")),
               examples, 0),
        key_of(replace(trainings, config=replace(
            config, training=replace(config.training, batch_size=9))), examples, 0),
    ]  # fmt: skip
    assert len({key, *others}) == 7


def test_masked_lm_is_asked_several_maskings_the_same_for_every_model(small_grid: Path) -> None:
    cell = read_grid(small_grid).cells[0]
    config = replace(cell.config, data=replace(cell.config.data, task="mlm", pool_size=20))
    prepared = prepare(config, coin=True)
    chosen = choose(replace(cell, config=config), prepared).candidates
    one = answers_on(prepared.split, prepared, chosen, 0)
    np.testing.assert_array_equal(
        one.losses, answers_on(prepared.split, prepared, chosen, 0).losses
    )
    turned = answers_on(prepared.split, prepared, chosen[::-1], 0)
    assert one.logs is None and len(one.losses) == len(chosen) == len(turned.losses)


def test_no_two_shadows_share_a_stream_of_noise(trainings: Trainings) -> None:
    streams = [
        tuple(shadow_inputs(trainings, number)[2].draws("x").integers(2**62, (2,)).tolist())
        for number in (0, 1, 2, 0)
    ]
    assert len(set(streams)) == 3 and streams[0] == streams[3]
