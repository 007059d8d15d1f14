"""Defences at work in a training: DP-SGD against an oracle, one-shot release, labels, updates."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from fedbert import seeding
from fedbert.data import client_data
from fedbert.data.batches import collate
from fedbert.data.client_data import ClientData
from fedbert.errors import InputError
from fedbert.messages import ClientUpdate, ClipFactors, ExampleNorms, SmashedData, dense
from fedbert.noise import noise_of
from fedbert.optim import learning_rate, optimizer_for
from fedbert.prepare import poisson_sampled, under
from fedbert.private_step import PrivateStep, Share
from fedbert.smashing import nearest_words
from fedbert.split import SplitBert, cut
from fedbert.trainer import train
from privacy.adaptive_clip import AdaptiveDPFedAvg
from privacy.banded_factorisation import noise_rows
from privacy.defence import Defence
from privacy.distance_correlation import DistanceCorrelation, distance_correlation
from privacy.dp_fedavg import DPFedAvg
from privacy.dp_ftrl import DPFTRL
from privacy.dp_sgd.clipping import MARGIN
from privacy.dp_sgd.mechanism import DPSGD
from privacy.gaussian import Gaussian
from privacy.local_dp_fedavg import LocalDPFedAvg
from privacy.metric import Metric
from privacy.randomised_response import RandomisedResponse
from privacy.randomness.source import NoiseSource
from tests.fedbert import tiny
from tests.privacy.drawn import draws

STRATEGIES = ("centralised", "fedavg", "parallel", "sequential")
CLIP = 0.05


def dp_sgd(noise: float = 1e-12, clipping: str = "flat") -> Defence:
    return Defence("dp-sgd", training=DPSGD(CLIP, noise, 0.25, clipping))


def oracle(
    split: SplitBert, data: ClientData, config: Any, clipping: str = "flat"
) -> tuple[dict[str, Tensor], list[float]]:
    """DP-SGD without noise by a loop over single examples; also the share of clipped examples."""
    total = config.training.rounds * config.training.local_steps
    held = {n: p for n, p in split.whole.named_parameters() if p.requires_grad}
    optimizer, shares = optimizer_for(held, config.training), []
    split.whole.train()
    for step in range(total):
        chosen = data.chosen(step)
        batch = data.batch(step)
        summed = {n: torch.zeros_like(p) for n, p in held.items()}
        for row in range(len(chosen)):
            one = type(batch)(**{n: v[row : row + 1] for n, v in vars(batch).items()})
            split.whole.zero_grad()
            split.losses(one).sum().backward()
            grads = {n: p.grad for n, p in held.items() if p.grad is not None}
            norm = torch.stack([g.norm() for g in grads.values()]).norm()
            factor = min(1.0, CLIP * (1 - MARGIN) / max(float(norm), 1e-300))
            if clipping == "automatic":
                factor = CLIP * (1 - MARGIN) / (float(norm) + 0.01)
            shares.append(float(factor < 1))
            for n, g in grads.items():
                summed[n] += g * factor
        for n, p in held.items():
            p.grad = summed[n] / (data.sample_rate * len(data.encoded))
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config.training, step, total)
        optimizer.step()
    return {n: p.detach() for n, p in held.items()}, shares


CLIPPED = [
    ("two", 0, False, "flat"), ("score", 1, False, "flat"), ("mlm-tied", 0, False, "flat"),
    ("mlm-untied", 2, False, "flat"), ("two", 0, True, "flat"), ("mlm-tied", 0, True, "flat"),
    ("two", 0, False, "automatic"), ("mlm-tied", 0, True, "automatic"),
]  # fmt: skip


# Each under a strategy whose client has the whole model, and under one that sends messages.
@pytest.mark.parametrize(
    ("kind", "cut_layer", "freeze", "clipping", "strategy"),
    [(*each, way) for i, each in enumerate(CLIPPED) for way in STRATEGIES[i % 2 :: 2]],
)
def test_dp_sgd_clips_every_examples_whole_gradient(
    kind: str, cut_layer: int, freeze: bool, clipping: str, strategy: str
) -> None:
    config = tiny.config_of(
        kind, strategy=strategy, cut_layer=cut_layer, freeze=freeze, precision="float64"
    )
    prepared = tiny.prepared_for(config, kind, dropout=0.0)
    defence = dp_sgd(clipping=clipping)
    noise = noise_of(config, prepared, defence)
    data = poisson_sampled(prepared, noise).clients[0]
    split = cut(tiny.twin(prepared.split.whole), cut_layer)
    expected, shares = oracle(split, data, config, clipping)
    done = train(config, prepared, defence, noise=noise)
    assert (
        np.mean(shares) > 0
        and np.mean(shares) == done.protection["training"].summary()["clipped_share"]
    )
    assert not {n for n, p in split.whole.named_parameters() if p.grad is not None} - set(expected)
    for name, parameter in done.split.whole.named_parameters():
        if name in expected and not name.endswith("key.bias"):  # its gradient is zero: noise alone
            torch.testing.assert_close(parameter, expected[name], rtol=0, atol=1e-6, msg=name)


def test_poisson_batches_hold_every_example_with_the_sample_rate() -> None:
    """Two-sided binomial tests of the rate, and of pairs; false-alarm rate 1e-4 in all."""
    config = tiny.config_of("two")
    prepared = tiny.prepared_for(config)
    data = poisson_sampled(prepared, noise_of(config, prepared, dp_sgd())).clients[0]
    draws = np.zeros((800, len(data.encoded)))
    for step in range(len(draws)):
        draws[step, data.chosen(step)] = 1
    rate = data.sample_rate
    assert rate == 0.25
    level = 1e-4 / (len(data.encoded) + 2)
    for own in draws.sum(0):
        assert stats.binomtest(int(own), len(draws), rate).pvalue > level
    together = int((draws[:, 0] * draws[:, 1]).sum())
    assert stats.binomtest(together, len(draws), rate**2).pvalue > level
    again = int((draws[1:, 0] * draws[:-1, 0]).sum())
    assert stats.binomtest(again, len(draws) - 1, rate**2).pvalue > level
    assert len(set(draws.sum(1))) > 5  # the size itself is random
    assert (data.seen(3) == draws[:3].any(0)).all() and data.releases(7) == 7


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("kind", ["two", "mlm-tied"])
def test_an_empty_batch_is_noised_like_any_other(
    monkeypatch: pytest.MonkeyPatch, kind: str, strategy: str
) -> None:
    monkeypatch.setattr(ClientData, "chosen", lambda self, step: np.zeros(0, dtype=np.int64))
    config = tiny.config_of(kind, strategy=strategy, weight_decay=0.0)
    prepared = tiny.prepared_for(config, kind)
    done = train(config, prepared, dp_sgd(noise=1.0))
    start = dict(prepared.split.whole.named_parameters())
    for name, parameter in done.split.whole.named_parameters():
        assert (parameter != start[name]).float().mean() > 0.99, name
    log = done.protection["training"]
    size = sum(p.numel() for p in start.values())
    assert log.records == 0 and log.signal == 0
    assert log.noise == pytest.approx(6 * CLIP**2 * size, rel=1e-5)  # a little more, for the grid


@pytest.mark.parametrize("strategy", ["fedavg", "parallel", "sequential"])
def test_every_row_of_the_word_table_is_noised(strategy: str) -> None:
    config = tiny.config_of("two", clients=2, strategy=strategy, weight_decay=0.0)
    prepared = tiny.prepared_for(config)
    done = train(config, prepared, dp_sgd(noise=1.0))
    before = prepared.split.bottom.embeddings.word_embeddings.weight
    after = done.split.bottom.embeddings.word_embeddings.weight
    assert (before != after).all(1).all()


def test_the_noise_has_the_scale_of_the_guarantee() -> None:
    """Plain steps of an empty batch are noise alone; chi-square test, false alarms 1e-4."""
    split = tiny.split_model()
    mechanism = DPSGD(0.3, 1.7, sample_rate=0.25)
    share = Share(6.0, 20_000, NoiseSource(bytes(32), "repeatable"))
    step = PrivateStep({"body": split.body}, split.body_names, mechanism, share)
    step.gradients(torch.zeros(0), 0, 0)
    values = torch.cat([p.grad.flatten() for p in split.body_names.values()]).double().numpy()
    for factor, fits in ((1.0, True), (2 / 3, False), (1.5, False)):
        std = factor * 0.3 * 1.7 / 6.0
        low, high = stats.chi2.ppf([5e-5, 1 - 5e-5], len(values))
        assert bool(low < (values**2).sum() / std**2 < high) is fits
    first = values.copy()
    step.gradients(torch.zeros(0), 0, 1)
    values = torch.cat([p.grad.flatten() for p in split.body_names.values()]).double().numpy()
    assert abs(np.corrcoef(first, values)[0, 1]) < 3.9 / np.sqrt(len(values))


def test_the_transcript_shows_norms_and_factors_under_dp_sgd_alone() -> None:
    transcript = tiny.Recorder()
    config = tiny.config_of("two")
    done = train(config, tiny.prepared_for(config), dp_sgd(), listeners=[transcript])
    norms = [m for m in transcript.messages if isinstance(m, ExampleNorms)]
    factors = [m for m in transcript.messages if isinstance(m, ClipFactors)]
    sent = [m for m in transcript.messages if isinstance(m, SmashedData)]
    assert len(norms) == len(factors) == len(sent) == 6
    for norm, factor, message in zip(norms, factors, sent, strict=True):
        assert norm.squared_norms.shape == factor.factors.shape == (len(message.activations),)
        assert (factor.factors <= 1).all() and (factor.factors > 0).all()
    assert done.bytes["clip_factors"] > 0
    assert not [m for m in tiny.overheard() if isinstance(m, ExampleNorms | ClipFactors)]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_dp_sgd_resumes_to_the_same_bytes(strategy: str) -> None:
    config = tiny.config_of("two", clients=3, strategy=strategy)
    prepared, states = tiny.prepared_for(config), []
    defence = dp_sgd(noise=0.5)
    whole = train(config, prepared, defence, on_round=states.append)
    rest = train(config, prepared, defence, start=states[0], on_round=lambda state: None)
    assert tiny.as_bytes(rest.state) == tiny.as_bytes(whole.state)
    assert rest.protection == whole.protection


def once(**settings: Any) -> tuple[list[SmashedData], Any]:
    """A training with frozen embeddings whose A is released once per example."""
    defence = Defence("once", smashed=Gaussian(2.0, 0.5, settings.pop("unit")), one_shot=True)
    config = tiny.config_of("two", freeze=True, rounds=8, **settings)
    config = replace(config, data=replace(config.data, max_length=12))
    transcript = tiny.Recorder()
    prepared = tiny.prepared_for(config)
    done = train(config, prepared, defence, listeners=[transcript])
    return [m for m in transcript.messages if isinstance(m, SmashedData)], (prepared, done)


@pytest.mark.parametrize("unit", ["token", "sequence"])
def test_one_shot_release_sends_each_example_the_same_noisy_rows(unit: str) -> None:
    messages, (prepared, done) = once(unit=unit)
    seen: dict[int, np.ndarray] = {}
    for message in messages:
        chosen = prepared.clients[message.client].chosen(message.step)
        for row, example in zip(message.activations, chosen, strict=True):
            if example in seen:
                shared = min(len(row), len(seen[example]))
                np.testing.assert_array_equal(row[:shared], seen[example][:shared])
            seen[example] = row
    assert len(seen) == 24 and len(messages) * 6 > 24  # several epochs
    rows = [row[:4] for row in seen.values()]
    assert all((a != b).all() for a, b in pairwise(rows))
    records = 24 if unit == "sequence" else int(prepared.clients[0].encoded.lengths.sum())
    assert done.protection["smashed"].records == records


def test_one_shot_release_depends_on_neither_batch_nor_moment() -> None:
    first = {m.step: m.activations for m in once(unit="sequence")[0]}
    defence = Defence("once", smashed=Gaussian(2.0, 0.5, "sequence"), one_shot=True)
    config = tiny.config_of("two", freeze=True, rounds=8)
    config = replace(config, data=replace(config.data, max_length=12))
    prepared, states = tiny.prepared_for(config), []
    train(config, prepared, defence, on_round=states.append)
    transcript = tiny.Recorder()
    train(config, prepared, defence, start=states[3], listeners=[transcript])
    resumed = [m for m in transcript.messages if isinstance(m, SmashedData)]
    assert len(resumed) == 8
    for message in resumed:
        np.testing.assert_array_equal(message.activations, first[message.step])


def test_randomised_labels_are_drawn_once_and_kept() -> None:
    config = tiny.config_of("three", clients=2)
    prepared = tiny.prepared_for(config, "three", count=400)
    defence = Defence("labels", labels=RandomisedResponse(1.0, labels=3))
    first, again = (under(prepared, defence, noise_of(config, prepared, defence)) for _ in range(2))
    truth = np.concatenate([d.encoded.labels for d in prepared.clients])
    changed = [np.concatenate([d.encoded.labels for d in p.clients]) for p in (first, again)]
    np.testing.assert_array_equal(*changed)
    keep = np.e / (np.e + 2)
    kept = int((truth == changed[0]).sum())
    assert stats.binomtest(kept, len(truth), keep).pvalue > 1e-4
    assert train(config, prepared, defence).state.values.keys()


def test_under_local_dp_nothing_tells_how_many_examples_a_client_holds() -> None:
    """Noised values alone leave the client: no weight goes beside them or into the average."""
    config = tiny.config_of(strategy="fedavg", rounds=1, clients=3)
    prepared = tiny.prepared_for(config)
    few = replace(prepared.clients[0], encoded=prepared.clients[0].encoded.take([0, 1]))
    uneven = replace(prepared, clients=(few, *prepared.clients[1:]))
    transcript, mechanism = tiny.Recorder(), LocalDPFedAvg(0.5, 1e-9)
    done = train(config, uneven, Defence("local", update=mechanism), listeners=[transcript])
    updates = [m for m in transcript.messages if isinstance(m, ClientUpdate)]
    assert len(updates) == 3 and len({len(d.encoded) for d in uneven.clients}) > 1
    assert {each.weight for each in updates} == {1}
    for name, new in done.state.values.items():
        sent = [dense(m.tensors[name]).astype(float) for m in updates if name in m.tensors]
        if sent:
            np.testing.assert_allclose(new, np.mean(sent, 0), rtol=1e-5, atol=1e-7)


def test_local_dp_fedavg_noises_what_the_aggregator_sees() -> None:
    config = tiny.config_of("two", clients=2, strategy="fedavg", rounds=1, learning_rate=1e-9)
    prepared, transcript = tiny.prepared_for(config), tiny.Recorder()
    mechanism = LocalDPFedAvg(clip_norm=0.2, noise_multiplier=1.5)
    done = train(config, prepared, Defence("local", update=mechanism), listeners=[transcript])
    start = {n: p.detach().numpy() for n, p in prepared.split.whole.named_parameters()}
    updates = [m for m in transcript.messages if isinstance(m, ClientUpdate)]
    noise = [
        np.concatenate([(dense(v) - start[n]).ravel() for n, v in sorted(m.tensors.items())])
        for m in updates
    ]
    assert len(noise) == 2 and set(updates[0].tensors) == set(start)
    for own in noise:  # chi-square, false alarms 1e-4
        low, high = stats.chi2.ppf([5e-5, 1 - 5e-5], own.size)
        assert low < (own.astype(float) ** 2).sum() / (1.5 * 2 * 0.2) ** 2 < high
    assert abs(np.corrcoef(*noise)[0, 1]) < 3.9 / np.sqrt(noise[0].size)
    assert done.protection["update"].records == 2


def test_the_adaptive_clip_settles_at_the_quantile_of_the_norms() -> None:
    drawn = draws()
    mechanism = AdaptiveDPFedAvg(20.0, 0.1, target_quantile=0.5, clip_learning_rate=0.3)
    norms = torch.linspace(0.5, 2.5, 101)
    for _ in range(60):
        unclipped = int((norms <= mechanism.clip_norm).sum())
        mechanism = mechanism.after(unclipped, len(norms), len(norms), drawn)
    assert 1.4 < mechanism.clip_norm < 1.6


def test_adaptive_dp_fedavg_moves_its_clip_and_resumes() -> None:
    config = tiny.config_of("two", clients=4, strategy="parallel")
    defence = Defence("adaptive", update=AdaptiveDPFedAvg(100.0, 0.1))
    prepared, states = tiny.prepared_for(config, count=40), []
    done = train(config, prepared, defence, on_round=states.append)
    clips = [state.plain["server"]["clip_norm"] for state in states]
    assert len(set(clips)) == 3 and clips[2] < clips[0] < 100.0
    rest = train(config, prepared, defence, start=states[0], on_round=lambda state: None)
    assert tiny.as_bytes(rest.state) == tiny.as_bytes(done.state)


FTRL = DPFTRL(0.4, 1.5, bands=3, rounds=6)
FTRL_TRAINING = {
    "clients": 6, "clients_per_round": 2, "participation": "cyclic", "rounds": 6,
    "local_steps": 1, "learning_rate": 1e-9, "strategy": "fedavg", "optimizer": "sgd",
}  # fmt: skip


def noise_of_rounds(states: list[Any], before: dict[str, np.ndarray]) -> np.ndarray:
    """The noise [round, value] on the sums behind some states, where next to nothing is learnt."""
    values = [before, *(state.values for state in states)]
    flat = [np.concatenate([v[n].astype(float).ravel() for n in sorted(before)]) for v in values]
    return 2 * np.diff(flat, axis=0)


def white(rows: np.ndarray, std: float) -> bool:
    """Whether rows [round, value] are independent normal noise; false alarms below 1e-4."""
    low, high = stats.chi2.ppf([2e-5, 1 - 2e-5], rows.size)
    apart = np.corrcoef(rows)[np.triu_indices(len(rows), 1)]
    fits = low < np.square(rows / std).sum() < high
    return bool(fits and np.abs(apart).max(initial=0) < 5 / np.sqrt(rows.shape[1]))


def test_dp_ftrl_noises_every_value_of_every_round_as_its_matrix_says() -> None:
    """From the models that are sent: C makes of their noise independent noise again."""
    config = tiny.config_of("two", **FTRL_TRAINING)
    prepared, states = tiny.prepared_for(config), []
    done = train(config, prepared, Defence("d", update=FTRL), on_round=states.append)
    before = {n: p.detach().numpy() for n, p in prepared.split.whole.named_parameters()}
    noise = noise_of_rounds(states, before)
    rows = noise_rows(FTRL.coefficients, 6)
    z = np.linalg.inv(rows) @ noise
    assert white(z, 0.6) and not white(noise, 0.6) and not white(z * 0.95, 0.6)
    touched = noise != 0
    assert touched.all(), "rows that no client trained have noise as well"
    log = done.protection["update"]
    assert log.records == 12 and log.noise == pytest.approx(
        0.36 * np.square(rows).sum() * noise.shape[1]
    )


def test_dp_ftrl_goes_on_with_the_noise_that_it_had() -> None:
    """Repeatable noise: the same bytes; and no state holds a row of it."""
    config = tiny.config_of("two", **FTRL_TRAINING | {"learning_rate": 1e-2})
    prepared, states = tiny.prepared_for(config), []
    done = train(config, prepared, Defence("d", update=FTRL), on_round=states.append)
    rest = train(
        config, prepared, Defence("d", update=FTRL), start=states[3], on_round=lambda state: None
    )
    assert tiny.as_bytes(rest.state) == tiny.as_bytes(done.state)
    assert not any(name.startswith("server:") for name in states[3].arrays)
    assert states[3].plain["server"].keys() == {"logs", "clip_norm", "noised_rounds"}
    assert states[3].plain["server"]["noised_rounds"] == 4


def test_dp_ftrl_under_secret_noise_begins_anew_after_a_stop() -> None:
    """What the first launch drew is gone: the rest is a mechanism of its own."""
    config = replace(tiny.config_of("two", **FTRL_TRAINING), noise="secret")
    prepared, first, second = tiny.prepared_for(config), [], []
    defence = Defence("d", update=FTRL)
    train(config, prepared, defence, on_round=first.append)
    train(config, prepared, defence, start=first[1], on_round=second.append)
    before = {n: p.detach().numpy() for n, p in prepared.split.whole.named_parameters()}
    own = noise_of_rounds(first, before)
    rest = noise_of_rounds(second, first[1].values)
    back = np.linalg.inv(noise_rows(FTRL.coefficients, 6))
    assert white(back[2:, 2:] @ rest, 0.6)
    assert white(np.concatenate([back @ own, back[2:, 2:] @ rest]), 0.6), "nothing of one in other"
    joined = np.concatenate([own[:2], rest])
    assert not white(back @ joined, 0.6)


def test_dp_ftrl_is_refused_where_clients_come_again_too_soon() -> None:
    for change in ({"participation": "random"}, {"clients_per_round": None}):
        config = tiny.config_of("two", **FTRL_TRAINING | change)
        with pytest.raises(InputError, match="has bands=3, and a client may take part again after"):
            train(config, tiny.prepared_for(config), Defence("d", update=FTRL))


def test_the_penalty_lowers_the_distance_correlation_of_what_is_sent() -> None:
    found = []
    for defence in (Defence("none"), Defence("nopeek", penalty=DistanceCorrelation(20.0))):
        config = tiny.config_of("two", rounds=30)
        done = train(config, tiny.prepared_for(config, dropout=0.0), defence)
        batch = tiny.prepared_for(config).clients[0].batch(0)
        done.split.whole.eval()
        real = batch.attention_mask.bool()
        words = batch.input_ids[real]
        apart = (words[:, None] != words[None, :]).float()
        with torch.no_grad():
            found.append(float(distance_correlation(apart, done.split.bottom(batch)[real])))
    assert found[1] < 0.8 * found[0]


def test_nearest_words_of_clean_rows_are_the_words_themselves() -> None:
    data = tiny.encoded("two", 8)
    for architecture in ("bert", "roberta"):
        split = tiny.split_model(architecture)
        split.whole.eval()
        batch = collate(data, range(8), tiny.PAD)
        with torch.no_grad():
            words = nearest_words(split.bottom, batch, split.bottom(batch))
        assert torch.equal(words, batch.input_ids)


def test_metric_noise_with_nearest_words_sends_rows_of_words() -> None:
    defence = Defence("words", smashed=Metric(eta=4.0, width=tiny.HIDDEN, nearest_word=True))
    config = tiny.config_of("two", freeze=True)
    prepared, transcript = tiny.prepared_for(config, dropout=0.0), tiny.Recorder()
    train(config, prepared, defence, listeners=[transcript])
    changed = total = 0
    for message in (m for m in transcript.messages if isinstance(m, SmashedData)):
        batch = prepared.clients[0].batch(message.step)
        with torch.no_grad():
            sent = torch.tensor(message.activations)
            words = nearest_words(prepared.split.bottom, batch, sent)
            again = prepared.split.bottom(replace(batch, input_ids=words))
        torch.testing.assert_close(sent, again)
        changed += int((words != batch.input_ids).sum())
        total += int(batch.attention_mask.sum())
    assert 0.05 < changed / total < 0.95


@pytest.mark.parametrize(
    ("settings", "defence", "words"),
    [
        ({}, Defence("d", smashed=Gaussian(1.0, 1.0), one_shot=True), "trained embeddings"),
        ({"freeze": True}, Defence("d", one_shot=True), "nothing protects A"),
        (
            {"freeze": True, "kind": "mlm-tied"},
            Defence("d", smashed=Gaussian(1.0, 1.0), one_shot=True),
            "masks other words",
        ),
        ({"cut_layer": 1}, Defence("d", smashed=Metric(1.0, 16, True)), "no word's"),
        ({"freeze": True}, Defence("d", penalty=DistanceCorrelation(1.0)), "frozen"),
        ({"strategy": "fedavg"}, Defence("d", penalty=DistanceCorrelation(1.0)), "no split"),
        ({"kind": "score"}, Defence("d", labels=RandomisedResponse(1.0, 2)), "scores"),
        ({"kind": "mlm-tied"}, Defence("d", labels=RandomisedResponse(1.0, 2)), "masked words"),
        (
            {},
            Defence("d", training=DPSGD(1.0, 1.0, 0.1), update=DPFedAvg(1.0, 1.0)),
            "release view twice",
        ),
        (
            {},
            Defence("d", training=DPSGD(1.0, 1.0, 0.1), penalty=DistanceCorrelation(1.0)),
            "one loss per example",
        ),
        ({"strategy": "parallel"}, Defence("d", update=LocalDPFedAvg(1.0, 1.0)), "only under"),
    ],
)
def test_combinations_without_a_meaning_are_refused(
    settings: dict[str, Any], defence: Defence, words: str
) -> None:
    kind = settings.get("kind", "two")
    config = tiny.config_of(**{"strategy": "parallel"} | settings)
    with pytest.raises(InputError, match=words):
        train(config, tiny.prepared_for(config, kind), defence)


def private_a(kind: str, noise: NoiseSource, defence: Defence) -> list[np.ndarray]:
    """What a training with dropout sends to the server, of one seed, whatever its noise's key."""
    config = tiny.config_of(kind, strategy="parallel", rounds=1, local_steps=2, batch_size=24)
    heard = tiny.Recorder("smashed", "hidden")
    train(config, tiny.prepared_for(config, kind, 0.5), defence, listeners=[heard], noise=noise)
    return [getattr(m, "activations", getattr(m, "hidden", None)) for m in heard.messages]


@pytest.mark.parametrize("kind", ["two", "mlm-tied"])
def test_under_dp_sgd_dropout_and_masks_are_as_secret_as_the_noise(kind: str) -> None:
    """Who knows the seed alone knows no mask: else one record moves the masks of all others."""
    everyone = Defence("dp", training=DPSGD(CLIP, 1e-9, 1.0))  # all records in every batch
    sources = [NoiseSource(bytes([n]) * 16, "secret") for n in (1, 1, 2)]
    first, again, other = (private_a(kind, each, everyone) for each in sources)
    for one, same, differs in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert one.shape == differs.shape and (one != differs).any()
    plain = [private_a(kind, each, tiny.NO_DEFENCE) for each in sources[1:]]
    for one, same in zip(*plain, strict=True):
        np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("place", ["bottom", "body", "head", "mask"])
def test_masks_of_every_part_follow_the_key(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: set[int] = set()
    plain = seeding.generator

    def seen(seed: int, *labels: str | int) -> torch.Generator:
        if labels[0] == place:
            seeds.add(seed)
        return plain(seed, *labels)

    monkeypatch.setattr(seeding, "generator", seen)
    monkeypatch.setattr(client_data, "generator", seen)
    kind = "mlm-tied" if place == "mask" else "two"
    config = tiny.config_of(kind, strategy="parallel", rounds=1, local_steps=1)
    train(config, tiny.prepared_for(config, kind), dp_sgd())
    assert seeds and config.seed not in seeds
