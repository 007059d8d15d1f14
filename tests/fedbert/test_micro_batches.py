"""Micro-batches: the same training as with whole batches, in parts that share no stream."""

from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fedbert import client, smashing
from fedbert.data.batches import Batch
from fedbert.data.client_data import ClientData
from fedbert.errors import InputError
from fedbert.micro_batches import OwnWidth, micro_batches
from fedbert.noise import noise_of
from fedbert.seeding import scoped
from fedbert.trainer import train
from fedbert.training_settings import TrainingConfig
from privacy.defence import Defence
from privacy.dp_sgd.mechanism import DPSGD
from tests.fedbert import tiny

LOCAL = ("centralised", "fedavg")
DP = Defence("dp-sgd", training=DPSGD(0.05, 1.0, sample_rate=0.25))


@cache
def data_of(kind: str, count: int) -> ClientData:
    return tiny.prepared_for(tiny.config_of(kind, batch_size=count), kind, count=count).clients[0]


@pytest.mark.parametrize("kind", ["two", "mlm-tied"])
@given(most=st.integers(1, 26), seed=st.integers(0, 50))
def test_the_parts_are_the_batch_without_its_padding(kind: str, most: int, seed: int) -> None:
    batch = data_of(kind, 24).batch(seed)
    parts = list(micro_batches(batch, most, None))
    assert sorted(i for own in parts for i in own.batch.index.tolist()) == list(range(24))
    assert all(1 <= len(own.batch) <= most for own in parts)
    assert sum(own.share for own in parts) == pytest.approx(1.0)
    assert [own.begins for own in parts] == [True] + [False] * (len(parts) - 1)
    assert len({own.part for own in parts}) == len(parts)
    place = {int(i): row for row, i in enumerate(batch.index)}
    for own in (own.batch for own in parts):
        assert len(parts) == 1 or bool(own.attention_mask.any(0).all())  # no column of padding
        for row, i in enumerate(own.index.tolist()):
            for name, value in vars(own).items():
                whole = getattr(batch, name)[place[i]]
                one = value[row]
                if one.dim():
                    assert torch.equal(one, whole[: len(one)]), name
                    assert name == "input_ids" or bool((whole[len(one) :] <= 0).all()), name
                else:
                    assert torch.equal(one, whole)


def test_whole_batches_stay_what_they_are_and_empty_ones_have_no_part() -> None:
    batch = data_of("two", 5).batch(0)
    for most in (None, 5, 6):
        (own,) = micro_batches(batch, most, None)
        assert own.batch is batch and own.share == 1.0 and own.part == ()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ClientData, "chosen", lambda self, step: np.zeros(0, dtype=np.int64))
        empty = data_of("two", 5).batch(0)
        assert not list(micro_batches(empty, 2, OwnWidth(0, 12)))
        assert not list(micro_batches(empty, 2, None))


@pytest.mark.parametrize("kind", ["two", "mlm-tied"])
@pytest.mark.parametrize("most", [None, 3])
def test_under_dp_sgd_no_example_is_padded_by_its_mates(kind: str, most: int | None) -> None:
    """Its part has the same columns with them and without them, whoever they are."""
    batch, own = data_of(kind, 24).batch(0), OwnWidth(data_of(kind, 24).vocabulary.pad, 64)
    lengths = batch.attention_mask.sum(1)
    seen: dict[int, dict[str, torch.Tensor]] = {}
    for part in micro_batches(batch, most, own):
        for row, i in enumerate(part.batch.index.tolist()):
            seen[i] = {name: value[row] for name, value in vars(part.batch).items()}
    assert sorted(seen) == sorted(batch.index.tolist())
    for row, i in enumerate(batch.index.tolist()):
        one = replace(batch, **{name: value[[row]] for name, value in vars(batch).items()})
        (alone,) = micro_batches(one, most, own)
        width = alone.batch.attention_mask.shape[1]
        assert width == min(64, -(-int(lengths[row]) // 8) * 8)
        for name, value in vars(alone.batch).items():
            assert torch.equal(value[0], seen[i][name]), name


@pytest.mark.parametrize("strategy", ["centralised", "parallel"])
@pytest.mark.parametrize("frozen", [False, True])
def test_a_longer_record_does_not_widen_the_others(
    strategy: str, frozen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What each example's pass is given has the same shape whoever is in its batch."""
    widths: list[dict[int, int]] = []
    smashed = smashing.Smashing.__call__

    def seen(self: Any, bottom: Any, batch: Batch, *step: int) -> torch.Tensor:
        a: torch.Tensor = smashed(self, bottom, batch, *step)
        assert a.shape[:2] == batch.attention_mask.shape
        widths[-1] |= dict.fromkeys(batch.index.tolist(), a.shape[1])
        return a

    monkeypatch.setattr(smashing.Smashing, "__call__", seen)
    config = tiny.config_of(strategy=strategy, local_steps=1, rounds=1, freeze=frozen)
    lengths = tiny.prepared_for(config).clients[0].encoded.lengths
    short = np.flatnonzero(lengths <= 8)
    for rows in (short, np.append(short, lengths.argmax())):
        widths.append({})
        monkeypatch.setattr(ClientData, "chosen", lambda self, step, own=rows: own)
        train(config, tiny.prepared_for(config), DP)
    assert widths[0].items() < widths[1].items() and lengths.max() > 8


def both(kind: str, defence: Defence, dropout: float = 0.0, **settings: Any) -> list[Any]:
    """The same training with whole batches and with parts of two examples."""
    done = []
    for most in (None, 2):
        config = tiny.config_of(kind, micro_batch=most, rounds=2, **settings)
        prepared = tiny.prepared_for(config, kind, dropout, count=30)
        done.append(train(config, prepared, defence))
    return done


@pytest.mark.parametrize("strategy", LOCAL)
@pytest.mark.parametrize("kind", ["mlm-tied", "two", "score"])
def test_a_training_in_parts_is_that_of_whole_batches(kind: str, strategy: str) -> None:
    """The mean is that over the whole batch, clipped once (max_grad_norm binds)."""
    settings = {"clients": 2, "max_grad_norm": 0.3, "precision": "float64"}
    whole, parts = both(kind, tiny.NO_DEFENCE, strategy=strategy, **settings)
    assert tiny.largest_difference(whole.state, parts.state) < 1e-9
    np.testing.assert_allclose(parts.losses, whole.losses, rtol=1e-12)


@pytest.mark.parametrize("strategy", LOCAL)
@pytest.mark.parametrize(
    ("kind", "freeze", "clipping"),
    [("two", False, "flat"), ("two", True, "automatic"), ("mlm-tied", False, "automatic"),
     ("mlm-untied", True, "flat"), ("score", False, "flat")],
)  # fmt: skip
def test_dp_sgd_in_parts_is_that_of_whole_batches(
    kind: str, freeze: bool, clipping: str, strategy: str
) -> None:
    """Noise and all: it is drawn once, from the same stream, on the sum of the parts."""
    defence = Defence("d", training=DPSGD(0.05, 1.0, 0.25, clipping))
    settings = {"freeze": freeze, "strategy": strategy, "precision": "float64"}
    whole, parts = both(kind, defence, **settings)
    assert tiny.largest_difference(whole.state, parts.state) < 1e-9
    np.testing.assert_allclose(parts.losses, whole.losses, rtol=1e-12)
    one, other = whole.protection["training"], parts.protection["training"]
    assert (one.records, one.clipped, one.noise) == (other.records, other.clipped, other.noise)
    assert other.signal == pytest.approx(one.signal) and one.records > 12


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_dp_sgd_in_parts_differs_by_rounding_alone(precision: str) -> None:
    """In bf16, too: there an example's digits do not depend on its batch-mates."""
    settings = {"optimizer": "sgd", "precision": precision, "strategy": "centralised"}
    whole, parts = both("two", DP, **settings)
    assert tiny.largest_difference(whole.state, parts.state) < 3e-7


def test_an_empty_batch_is_noised_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ClientData, "chosen", lambda self, step: np.zeros(0, dtype=np.int64))
    whole, parts = both("two", DP, strategy="centralised", weight_decay=0.0)
    assert tiny.as_bytes(parts.state) == tiny.as_bytes(whole.state)
    assert parts.protection["training"].noise > 0


@pytest.mark.parametrize("defence", [tiny.NO_DEFENCE, DP], ids=["none", "dp-sgd"])
def test_no_two_parts_draw_the_same_dropout(
    monkeypatch: pytest.MonkeyPatch, defence: Defence
) -> None:
    drawn: list[tuple[str | int, ...]] = []
    sizes: list[int] = []

    def heard(seed: int, *labels: str | int, device: str = "cpu") -> AbstractContextManager[None]:
        drawn.append(labels)
        return scoped(seed, *labels, device=device)

    smashed = smashing.Smashing.__call__

    def seen(self: Any, bottom: Any, batch: Batch, *step: int) -> torch.Tensor:
        sizes.append(len(batch))
        return smashed(self, bottom, batch, *step)

    monkeypatch.setattr(client, "scoped", heard)
    monkeypatch.setattr(smashing, "scoped", heard)
    monkeypatch.setattr(smashing.Smashing, "__call__", seen)
    tiny.trained(defence=defence, dropout=0.2, strategy="fedavg", clients=2, micro_batch=2)
    assert max(sizes) == 2 and len(sizes) > 12
    assert len(drawn) == len(set(drawn)) == 3 * len(sizes)
    assert {labels[0] for labels in drawn} == {"bottom", "body", "head"}


def test_noise_is_the_same_where_the_training_is_and_another_where_dropout_is_another() -> None:
    def first(dropout: float, most: int | None) -> list[int]:
        config = tiny.config_of(micro_batch=most, strategy="fedavg")
        source = noise_of(config, tiny.prepared_for(config, dropout=dropout), DP)
        return source.draws("the first").integers(2**62, (4,)).tolist()

    assert first(0.0, None) == first(0.0, 2)
    assert first(0.1, None) != first(0.1, 2)


def test_parts_resume_to_the_same_bytes() -> None:
    config = tiny.config_of(rounds=2, local_steps=1, strategy="fedavg", micro_batch=2)
    prepared, states = tiny.prepared_for(config), []
    whole = train(config, prepared, DP, on_round=states.append)
    rest = train(config, prepared, DP, start=states[0], on_round=lambda state: None)
    assert tiny.as_bytes(rest.state) == tiny.as_bytes(whole.state)
    assert rest.protection == whole.protection


@pytest.mark.parametrize("strategy", ["parallel", "sequential"])
def test_where_batches_are_sent_parts_are_refused(strategy: Any) -> None:
    words = f"micro_batch with strategy centralised or fedavg alone.*got strategy='{strategy}'"
    with pytest.raises(InputError, match=words):
        TrainingConfig(strategy=strategy, micro_batch=8)


def test_a_training_without_parts_is_written_as_before_there_were_any() -> None:
    config = tiny.config_of(strategy="fedavg")
    assert "micro_batch" not in config.to_json()["training"]
    parts = replace(config, training=replace(config.training, micro_batch=7))
    assert parts.to_json()["training"]["micro_batch"] == 7
