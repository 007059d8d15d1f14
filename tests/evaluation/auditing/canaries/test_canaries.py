"""Canaries in training: what they show of a true claim, and of one whose noise was halved."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from attacks.membership.loss_threshold import LossThreshold
from evaluation.auditing.canaries.clients import audit_federation
from evaluation.auditing.canaries.gradients import CanaryFleet, audit_training, with_canaries
from evaluation.auditing.canaries.texts import audit_texts, canary_texts, joined
from evaluation.auditing.verdict import Claim
from evaluation.metrics.epsilon_bounds import distance_bound
from fedbert.config import Config, DataConfig, ModelConfig
from fedbert.data.repeats import clusters
from fedbert.errors import InputError
from fedbert.noise import noise_of
from fedbert.prepare import Prepared, prepare
from fedbert.trainer import train
from fedbert.training_settings import TrainingConfig
from privacy.adaptive_clip import AdaptiveDPFedAvg
from privacy.defence import Defence
from privacy.dp_fedavg import DPFedAvg
from privacy.dp_sgd.mechanism import DPSGD
from reports.card.content import VIOLATES
from tests.fedbert import tiny

DELTA = 1e-5
NOISE = 0.8


def config_of(strategy: str, records: int, rate: float) -> Config:
    return Config(
        ModelConfig("tiny", tokenizer="generated"),
        DataConfig(source="generated", pool_size=records, evaluation=4, max_length=12, clients=1),
        TrainingConfig(strategy=strategy, rounds=2, local_steps=5, batch_size=int(rate * records)),
        seed=1,
    )


@pytest.fixture(scope="module")
def bert() -> tuple[Config, Prepared]:
    config = config_of("parallel", 300, 0.2)
    return config, prepare(config)


def test_gradient_canaries_reach_half_of_the_claim_and_catch_halved_noise(bert) -> None:
    config, prepared = bert
    right = Defence("d", training=DPSGD(1.0, NOISE, 0.2))
    steps, run = audit_training(config, prepared, right, 300, DELTA, seed=2)
    assert 0.5 * steps.claim.epsilon <= steps.bound <= steps.claim.epsilon
    assert run.bound <= run.claim.epsilon
    secret = Defence("d", training=DPSGD(1.0, NOISE / 2, 0.2))
    steps, _ = audit_training(config, prepared, secret, 300, DELTA, 2, claimed_noise=NOISE)
    assert steps.verdict == VIOLATES


@pytest.mark.parametrize(
    ("strategy", "clipping", "most"),
    [("centralised", "flat", None), ("parallel", "flat", None), ("sequential", "flat", None),
     ("sequential", "automatic", None), ("centralised", "automatic", 2)],
)  # fmt: skip
def test_a_canary_adds_one_clip_at_its_own_coordinate_and_nothing_else(
    strategy: str, clipping: str, most: int | None
) -> None:
    """All but without noise: what lies there is 1 with a coin of one, 0 without."""
    config = tiny.config_of(clients=1, strategy=strategy, micro_batch=most)
    prepared = tiny.prepared_for(config)
    defence = Defence("d", training=DPSGD(5.0, 1e-6, 0.25, clipping))
    noise = noise_of(config, prepared, defence)
    canaries = with_canaries(prepared, defence, 24, 3, noise)
    canaries.take_apart(config, prepared)
    split = strategy != "centralised"
    at_server = (np.arange(24) % 2 == 1) & split
    fleet = CanaryFleet(canaries, _shares(at_server), 3)
    train(config, prepared, defence, fleet=fleet, noise=noise)
    there, empty = np.concatenate(canaries.there), np.concatenate(canaries.empty)
    assert len(there) + len(empty) == canaries.drawn > 10
    np.testing.assert_allclose(there, 1.0, atol=1e-3)
    np.testing.assert_allclose(empty, 0.0, atol=1e-3)


def _shares(at_server: np.ndarray) -> dict[str, np.ndarray]:
    return {"server": at_server, "client": ~at_server}


def test_canary_clients_bound_a_federation_and_catch_quartered_noise() -> None:
    config = tiny.config_of(clients=2, strategy="fedavg")
    prepared = tiny.prepared_for(config)
    right = Defence("d", update=DPFedAvg(0.5, 1.0))
    for found in audit_federation(config, prepared, right, 120, DELTA, seed=1):
        assert found.bound <= found.claim.epsilon
    assert audit_federation(config, prepared, right, 120, DELTA, 1)[0].bound > 2.5
    secret = Defence("d", update=DPFedAvg(0.5, 0.25))
    found, _ = audit_federation(config, prepared, secret, 120, DELTA, 1, claimed_noise=1.0)
    assert found.verdict == VIOLATES
    with pytest.raises(InputError, match="expected DP-FedAvg"):
        audit_federation(config, prepared, Defence("none"), 20, DELTA, 1)


@pytest.mark.parametrize("bit", [0.5, 0.45])
def test_canary_clients_read_an_adaptive_clip_whose_count_has_little_noise(bit: float) -> None:
    config = tiny.config_of(clients=2, strategy="fedavg")
    adaptive = AdaptiveDPFedAvg(0.5, 0.8, bit_noise=bit)
    defence = Defence("d", update=adaptive)
    for found in audit_federation(config, tiny.prepared_for(config), defence, 20, DELTA, seed=1):
        assert found.bound <= found.claim.epsilon


@pytest.mark.parametrize("kind", ["rare", "in-distribution"])
def test_canary_texts_keep_the_frame_and_are_learnt_without_a_defence(kind: str) -> None:
    config = tiny.config_of(rounds=40, local_steps=4, batch_size=32)
    prepared = tiny.prepared_for(config, dropout=0.0, count=64)
    rng = np.random.default_rng(0)
    made = canary_texts(prepared.pool, 20, kind, prepared.vocabulary, rng)
    assert (made.tokens[made.offsets[:-1]] == tiny.CLS).all()
    words = made.tokens[~np.isin(made.tokens, prepared.vocabulary.special)]
    seen = np.isin(words, prepared.pool.tokens).mean()
    assert seen == 1.0 if kind == "in-distribution" else seen < 0.5
    claim = Claim(0.1, DELTA)
    found = audit_texts(config, prepared, Defence("none"), LossThreshold(), kind, 64, claim, seed=2)
    assert found.verdict == VIOLATES and found.bound > 0.5
    with pytest.raises(InputError, match="one of rare"):
        canary_texts(prepared.pool, 2, "odd", prepared.vocabulary, rng)


def test_joined_examples_are_both_in_order() -> None:
    ones, others = tiny.encoded(count=5), tiny.encoded(count=4, seed=1)
    both = joined(ones, others)
    assert len(both) == 9 and len(np.unique(both.documents)) == 9
    for i in range(4):
        span = slice(both.offsets[5 + i], both.offsets[6 + i])
        own = slice(others.offsets[i], others.offsets[i + 1])
        assert (both.tokens[span] == others.tokens[own]).all()
    pairs = replace(ones, first_texts=np.array([0, 0, 1, 2, 2]))
    more = replace(others, first_texts=np.array([0, 1, 1, 1]))
    assert clusters(joined(pairs, more)).tolist() == [0, 0, 1, 2, 2, 3, 4, 4, 4]
    assert joined(pairs, others).first_texts is None


def test_the_distance_of_two_samples_is_bounded_at_its_level() -> None:
    """Above the truth in at most 5 % of repeats and what chance allows (1e-4); and it is tight."""
    rng = np.random.default_rng(4)
    found = [
        distance_bound(rng.normal(3.0, 2.0, 150), rng.normal(0.5, 2.0, 100), 0.05)
        for _ in range(300)
    ]
    assert 1 <= np.sum(np.array(found) > 1.25) <= stats.binom.isf(1e-4, 300, 0.05)
    assert np.median(found) > 1.0
    assert distance_bound(np.zeros(1), np.zeros(9), 0.05) == 0.0
    assert distance_bound(rng.normal(0, 1, 50), rng.normal(1, 1, 50), 0.05) == 0.0
