"""Noise of a training: no two share a stream, one done again has its own, secret never returns."""

import pickle
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from fedbert.config import Config
from fedbert.noise import noise_of, simulated
from fedbert.prepare import Prepared, poisson_sampled
from fedbert.schedule import participants
from fedbert.trainer import train
from privacy.defence import Defence
from privacy.dp_sgd.mechanism import DPSGD
from privacy.gaussian import Gaussian
from privacy.randomness.source import NoiseSource
from tests.fedbert import tiny

CLIP = 0.05
DEFENCE = Defence("d", training=DPSGD(CLIP, 1.0, sample_rate=1.0))


def first(source: NoiseSource) -> list[int]:
    return source.draws("the first").integers(2**62, (4,)).tolist()


def one_step(count: int, noise: str = "repeatable") -> tuple[np.ndarray, float]:
    """The noised sum [value] of one step on so many of 24 records, all drawn; and the clip."""
    config = tiny.config_of(
        rounds=1, local_steps=1, batch_size=24, strategy="centralised", optimizer="sgd",
        learning_rate=1.0, weight_decay=0.0, warmup_fraction=0.0, precision="float64", noise=noise,
    )  # fmt: skip
    prepared = tiny.prepared_for(config, dropout=0.0)
    data = prepared.clients[0]
    own = replace(data, encoded=data.encoded.take(np.arange(count)))
    done = train(config, replace(prepared, clients=(own,)), DEFENCE)
    start = dict(prepared.split.whole.named_parameters())
    moved = [(start[n] - p).flatten() for n, p in done.split.whole.named_parameters() if n in start]
    return torch.cat(moved).detach().numpy() * count, CLIP


@pytest.mark.parametrize("noise", ["repeatable", "secret"])
def test_two_releases_under_one_seed_do_not_give_a_record_away(noise: str) -> None:
    """With one noise for both, their difference is the record's clipped gradient, bare."""
    (whole, clip), (less, _) = one_step(24, noise), one_step(23, noise)
    assert np.linalg.norm(whole - less) > 20 * clip


def test_a_training_done_again_has_its_noise_and_a_secret_one_has_not() -> None:
    again = [one_step(24)[0] for _ in range(2)]
    np.testing.assert_array_equal(*again)
    fresh = [one_step(24, "secret")[0] for _ in range(2)]
    assert np.linalg.norm(fresh[0] - fresh[1]) > 20 * CLIP


def with_other_label(prepared: Prepared) -> Prepared:
    data = prepared.clients[0]
    labels = data.encoded.labels.copy()
    labels[0] = 1 - labels[0]
    return replace(prepared, clients=(replace(data, encoded=replace(data.encoded, labels=labels)),))


def with_other_weight(prepared: Prepared) -> Prepared:
    split = tiny.split_model()
    with torch.no_grad():
        next(iter(split.whole.parameters())).view(-1)[0] += 1e-6
    return replace(prepared, split=split)


CHANGES: dict[str, Callable[[Config, Prepared, dict[str, Any]], tuple[Any, ...]]] = {
    "seed": lambda c, p, d: (replace(c, seed=1), p, d),
    "a label": lambda c, p, d: (c, with_other_label(p), d),
    "a weight": lambda c, p, d: (c, with_other_weight(p), d),
    "task": lambda c, p, d: (replace(c, data=replace(c.data, task="cola")), p, d),
    "rate": lambda c, p, d: (replace(c, training=replace(c.training, learning_rate=1.0)), p, d),
    "strategy": lambda c, p, d: (replace(c, training=replace(c.training, strategy="fedavg")), p, d),
    "rounds": lambda c, p, d: (replace(c, training=replace(c.training, rounds=4)), p, d),
    "noise": lambda c, p, d: (c, p, d | {"smashed": {"mechanism": "gaussian", "clip_norm": 2.0}}),
    "delta": lambda c, p, d: (c, p, d | {"delta": 1e-6}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_trainings_that_differ_share_no_stream(what: str) -> None:
    config, asked = tiny.config_of(), {"name": "d", "delta": 1e-5}
    prepared = replace(tiny.prepared_for(config), split=tiny.split_model())
    changed_config, changed, changed_asked = CHANGES[what](config, prepared, asked)
    one = first(noise_of(config, prepared, DEFENCE, asked))
    assert first(noise_of(config, prepared, DEFENCE, asked)) == one
    assert not set(first(noise_of(changed_config, changed, DEFENCE, changed_asked))) & set(one)


def test_names_paths_and_what_is_only_measured_change_no_noise() -> None:
    config, asked = tiny.config_of(), {"name": "d", "delta": 1e-5}
    prepared = tiny.prepared_for(config)
    elsewhere = replace(
        config,
        data=replace(config.data, source="/elsewhere", evaluation=7),
        model=replace(config.model, source="/elsewhere"),
    )
    assert first(noise_of(elsewhere, prepared, DEFENCE, asked | {"name": "other"})) == first(
        noise_of(config, prepared, DEFENCE, asked)
    )


def test_mechanisms_are_told_apart_without_a_word_of_how_they_were_asked_for() -> None:
    config = tiny.config_of()
    prepared = tiny.prepared_for(config)
    levels = [Defence("d", smashed=Gaussian(1.0, m)) for m in (0.5, 0.6)]
    streams = [first(noise_of(config, prepared, each)) for each in (*levels, DEFENCE)]
    assert len({tuple(each) for each in streams}) == 3


def test_one_source_serves_one_training() -> None:
    """A second one would send the same noise; and its coins are those that everybody sees."""
    config = tiny.config_of(rounds=1)
    prepared = tiny.prepared_for(config)
    noise = simulated(5, config, prepared, DEFENCE)
    data = poisson_sampled(prepared, noise).clients[0]
    before = [data.chosen(step).tolist() for step in range(20)]
    train(config, prepared, DEFENCE, noise=noise)
    assert [data.chosen(step).tolist() for step in range(20)] == before
    with pytest.raises(ValueError, match="expected a label that is new"):
        train(config, prepared, DEFENCE, noise=noise)


def test_coins_that_are_not_known_are_not_made_up() -> None:
    data = poisson_sampled(tiny.prepared_for(tiny.config_of())).clients[0]
    with pytest.raises(ValueError, match="expected the coins of client 0, got none"):
        data.chosen(0)
    assert data.seen(1).all() and not data.seen(0).any()


def test_no_party_carries_its_noise_to_another_process() -> None:
    config = tiny.config_of()
    prepared = tiny.prepared_for(config)
    data = poisson_sampled(prepared, noise_of(config, prepared, DEFENCE)).clients[0]
    with pytest.raises(TypeError, match="it holds a key"):
        pickle.dumps(data)


def test_who_takes_part_is_public_and_hangs_on_the_seed_alone() -> None:
    config = tiny.config_of(clients=9, clients_per_round=4)
    rounds = [participants(config, number) for number in range(6)]
    assert all(len(set(each)) == 4 for each in rounds) and len(set(rounds)) > 1
    assert rounds == [participants(replace(config, noise="secret"), n) for n in range(6)]
