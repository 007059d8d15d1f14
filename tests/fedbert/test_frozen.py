"""Frozen E: what is kept equals what is computed afresh, and is computed once."""

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fedbert import frozen
from fedbert.config import Config
from fedbert.data.batches import Batch
from fedbert.frozen import Frozen, by_length, dropout_of, keepers
from fedbert.kept import STORE_BYTES, Kept, KeptStore, store_bytes
from fedbert.messages import (
    KINDS,
    ExampleNorms,
    HiddenGradient,
    HiddenStates,
    SmashedData,
    SmashedGradient,
    to_array,
)
from fedbert.micro_batches import OwnWidth
from fedbert.prepare import Prepared, with_model
from fedbert.schedule import planned_steps
from fedbert.setting_types import ONE_MESSAGE, STRATEGIES
from fedbert.split import Bottom
from fedbert.trainer import train
from privacy.defence import Defence
from privacy.dp_sgd.mechanism import DPSGD
from privacy.gaussian import Gaussian
from tests.fedbert import tiny


def frozen_config(**settings: Any) -> Config:
    """Several epochs of two clients, in float64."""
    common = {"clients": 2, "rounds": 4, "freeze": True, "cut_layer": 1, "precision": "float64"}
    config = tiny.config_of("two", **(common | settings))
    return replace(config, data=replace(config.data, max_length=12))


def sent(config: Config, prepared: Prepared, defence: Defence = tiny.NO_DEFENCE) -> list[Any]:
    """The smashed data of a training."""
    transcript = tiny.Recorder("smashed")
    train(config, prepared, defence, listeners=[transcript])
    return transcript.messages


@pytest.mark.parametrize("cut_layer", [0, 1, 2])
def test_what_is_sent_is_what_e_makes_of_the_batch_without_dropout(cut_layer: int) -> None:
    config = frozen_config(cut_layer=cut_layer)
    prepared = tiny.prepared_for(config, dropout=0.5)
    bottom = prepared.split.bottom.eval()
    messages = sent(config, prepared)
    assert len(messages) == 2 * 4 * 2
    for message in messages:
        batch = prepared.clients[message.client].batch(message.step)
        with torch.no_grad():
            expected = bottom(batch) * batch.attention_mask[:, :, None]
        np.testing.assert_allclose(message.activations, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("strategy", [s for s in STRATEGIES if s != ONE_MESSAGE])
@pytest.mark.parametrize("cut_layer", [1, 2])
def test_kept_and_computed_anew_train_the_same_model(
    strategy: str, cut_layer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = frozen_config(strategy=strategy, cut_layer=cut_layer)
    prepared = tiny.prepared_for(config)
    kept = train(config, prepared, tiny.NO_DEFENCE)
    monkeypatch.setattr(frozen, "KEPT_BYTES", 0)
    anew = train(config, prepared, tiny.NO_DEFENCE)
    assert tiny.largest_difference(kept.state, anew.state) < 1e-12
    assert kept.bytes == anew.bytes


@pytest.mark.parametrize("strategy", ["centralised", "parallel"])
def test_every_example_goes_through_e_once(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = counted(monkeypatch)
    config = frozen_config(strategy=strategy, rounds=8)
    train(config, tiny.prepared_for(config), tiny.NO_DEFENCE)
    assert sum(seen) == 24


@pytest.mark.parametrize("unit", ["token", "sequence"])
def test_a_release_is_the_same_whether_all_are_made_at_once_or_one_by_one(
    unit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    defence = Defence("once", smashed=Gaussian(2.0, 0.5, unit), one_shot=True)
    config = frozen_config()
    prepared = tiny.prepared_for(config)
    at_once = sent(config, prepared, defence)
    monkeypatch.setattr(frozen, "KEPT_BYTES", 0)
    for one, other in zip(at_once, sent(config, prepared, defence), strict=True):
        np.testing.assert_allclose(one.activations, other.activations, rtol=0, atol=1e-10)
        assert np.abs(one.activations).sum() > 0


def test_fresh_noise_is_added_to_what_is_kept() -> None:
    config = frozen_config(clients=1)
    prepared = tiny.prepared_for(config)
    clean = sent(config, prepared)
    noisy = sent(config, prepared, Defence("noise", smashed=Gaussian(1e6, 1e-9)))
    noises = [n.activations - c.activations for n, c in zip(noisy, clean, strict=True)]
    std = 1e6 * 2 * 1e-9
    for noise in noises:
        assert 0 < np.abs(noise).max() < 6 * std  # 1e4 values: false alarms 2e-5
    assert len({noise[0, 0].tobytes() for noise in noises}) == len(noises)


def test_a_resumed_training_reaches_the_same_bytes() -> None:
    config = frozen_config(clients=4, clients_per_round=2, rounds=6, precision="float32")
    prepared, states = tiny.prepared_for(config, count=20), []
    whole = train(config, prepared, tiny.NO_DEFENCE, on_round=states.append)
    rest = train(config, prepared, tiny.NO_DEFENCE, start=states[2], on_round=lambda _: None)
    assert tiny.as_bytes(rest.state) == tiny.as_bytes(whole.state)


def test_who_keeps_what() -> None:
    config = frozen_config()
    clients = tiny.prepared_for(config).clients
    tokens = [len(data.encoded.tokens) for data in clients]
    steps = planned_steps(config)
    assert keepers(config, tiny.HIDDEN, clients, steps, False) == {0, 1}
    few = {0: 2, 1: 3}  # twelve examples in batches of six: two steps see each once
    assert keepers(config, tiny.HIDDEN, clients, few, False) == {1}
    mlm = tiny.prepared_for(tiny.config_of("mlm-tied", clients=2), "mlm-tied").clients
    assert keepers(config, tiny.HIDDEN, mlm, steps, False) == set()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frozen, "KEPT_BYTES", 8 * tiny.HIDDEN * tokens[0])
        assert keepers(config, tiny.HIDDEN, clients, steps, False) == {0}
        assert keepers(config, tiny.HIDDEN, clients, steps, True) == {0, 1}


def test_batches_by_length_hold_every_example_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frozen, "TOKENS", 40)
    encoded = tiny.encoded(count=50)
    parts = [part for part, _ in by_length(encoded, None)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(50))
    assert all(len(part) * encoded.lengths[part].max() <= 40 for part in parts)
    lengths = encoded.lengths[np.concatenate(parts)]
    assert (np.diff(lengths) >= 0).all()
    monkeypatch.setattr(frozen, "TOKENS", 10**6)
    for part, width in by_length(encoded, OwnWidth(0, 64)):  # of one width each, by itself
        assert (-(-encoded.lengths[part] // 8) * 8 == width).all()


def test_other_values_of_e_replace_what_was_kept() -> None:
    config = frozen_config(clients=1)
    prepared = tiny.prepared_for(config)
    (data,) = prepared.clients
    held = Frozen(prepared.split, config, [0])
    values = {n: to_array(p) for n, p in prepared.split.client_names.items()}
    held.start(values)
    before = held.of(data, data.batch(0))
    held.start(dict(values))
    assert torch.equal(held.of(data, data.batch(0)), before)
    held.start({n: v + 0.1 for n, v in values.items()})
    assert not torch.allclose(held.of(data, data.batch(0)), before)
    for name, value in prepared.split.client_names.items():
        np.testing.assert_array_equal(to_array(value), values[name])


def test_a_frozen_e_has_no_dropout() -> None:
    config = frozen_config()
    split = tiny.prepared_for(config, dropout=0.2).split
    assert dropout_of(split) == 0.0
    assert dropout_of(tiny.split_model(dropout=0.2)) == 0.2


@pytest.mark.parametrize("private", [False, True])
def test_an_empty_t_passes_on_what_it_is_sent(private: bool) -> None:
    config = frozen_config(cut_layer=2, strategy="parallel", clients=1, rounds=1)
    prepared, transcript = tiny.prepared_for(config), tiny.Recorder()
    rate = 6 / 24
    defence = Defence("dp", training=DPSGD(1.0, 1.0, rate)) if private else tiny.NO_DEFENCE
    train(config, prepared, defence, listeners=[transcript])
    by_kind = {kind: [m for m in transcript.messages if isinstance(m, kind)] for kind in KINDS}
    assert len(by_kind[SmashedData]) == 2
    for sent, back in zip(by_kind[SmashedData], by_kind[HiddenStates], strict=True):
        np.testing.assert_array_equal(sent.activations, back.hidden)
    for gradient in by_kind[HiddenGradient]:
        assert not gradient.gradient[:, 1:].any()
        assert gradient.gradient[:, 0].any(axis=1).all()
    for norms in by_kind[ExampleNorms]:
        assert not norms.squared_norms.any()
    assert not by_kind[SmashedGradient]


def test_an_empty_t_of_a_trained_e_sends_the_gradient_back() -> None:
    messages = tiny.overheard(cut_layer=2, rounds=1, local_steps=1)
    (down,) = [m for m in messages if isinstance(m, HiddenGradient)]
    (back,) = [m for m in messages if isinstance(m, SmashedGradient)]
    np.testing.assert_array_equal(down.gradient, back.gradient)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many examples go through E, call by call, from here on."""
    seen: list[int] = []
    forward = Bottom.forward

    def count(self: Bottom, batch: Batch) -> Any:
        seen.append(len(batch))
        return forward(self, batch)

    monkeypatch.setattr(Bottom, "forward", count)
    return seen


@pytest.mark.parametrize("cut_layer", [1, 2])
@pytest.mark.parametrize("strategy", ["centralised", "parallel"])
def test_trainings_that_share_a_store_ask_e_once_and_get_the_same_bytes(
    strategy: str, cut_layer: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = frozen_config(strategy=strategy, rounds=8, cut_layer=cut_layer, precision="float32")
    prepared = tiny.prepared_for(config)
    alone = train(config, prepared, tiny.NO_DEFENCE)
    shared = replace(prepared, store=KeptStore(10**6))
    once = Defence("once", smashed=Gaussian(2.0, 0.5), one_shot=True)
    if strategy == "parallel":  # what it does to the A that it was lent, it does to its own
        train(config, shared, once)
    seen = counted(monkeypatch)
    states = [train(config, shared, tiny.NO_DEFENCE).state for _ in range(2)]
    assert sum(seen) == (0 if strategy == "parallel" else 24)
    for state in states:
        assert tiny.as_bytes(state) == tiny.as_bytes(alone.state)


def test_a_store_tells_encoders_examples_and_precisions_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store, seen = KeptStore(10**6), counted(monkeypatch)
    config = frozen_config(strategy="centralised", rounds=8, precision="float32")
    prepared = replace(tiny.prepared_for(config), store=store)
    train(config, prepared, tiny.NO_DEFENCE)
    other = tiny.split_model(cut_layer=1, dropout=0.1, seed=5)
    other.bottom.requires_grad_(False)
    wide = frozen_config(strategy="centralised", rounds=8)
    for each, given in (
        (config, with_model(prepared, other)),
        (wide, replace(tiny.prepared_for(wide), store=store)),
        (config, replace(tiny.prepared_for(config, count=20), store=store)),
    ):
        seen.clear()
        train(each, given, tiny.NO_DEFENCE)
        assert sum(seen) == len(given.pool)


def test_a_store_keeps_what_it_has_room_for_and_lets_the_oldest_go() -> None:
    def kept(rows: int) -> Kept:
        return Kept(torch.zeros(rows, 1), torch.zeros(1), torch.zeros(1))

    made: list[str] = []

    def get(name: str, rows: int = 1) -> None:
        store.get(name.encode(), lambda: made.append(name) or kept(rows))

    store = KeptStore(8)
    for name in "abacab":
        get(name)
    assert "".join(made) == "abcb"
    get("large", 3)
    get("large", 3)
    assert made[-2:] == ["large", "large"]
    get("b")
    assert len(made) == 6


def test_a_process_keeps_an_eighth_of_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 10**7}.__getitem__)
    assert store_bytes() == 4096 * 10**7 // 8
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 10}.__getitem__)
    assert store_bytes() == STORE_BYTES
    monkeypatch.delattr(os, "sysconf")
    assert store_bytes() == STORE_BYTES
