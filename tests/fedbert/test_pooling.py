"""Pooling by the mean: T's last step, the same in every strategy and under every shortcut."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fedbert import copies as copies_module
from fedbert import frozen
from fedbert.config import Config, ModelConfig
from fedbert.errors import InputError
from fedbert.model import load_model, load_tokenizer
from fedbert.noise import noise_of
from fedbert.pooling import SETTING, through_mean, with_mean
from fedbert.prepare import Prepared, poisson_sampled, with_model
from fedbert.split import SplitBert, cut
from fedbert.tasks import TASKS
from fedbert.trainer import train
from tests.fedbert import tiny
from tests.fedbert.test_defended_training import dp_sgd, oracle


def by_mean(architecture: str, cut_layer: int, kind: str = "two", **model: Any) -> SplitBert:
    """A tiny model whose head reads the mean."""
    whole = tiny.whole_model(architecture, kind, **model)
    setattr(whole.config, SETTING, "mean")
    if architecture == "bert":
        whole.bert.pooler = None
    return cut(whole, cut_layer)


def case(
    cut_layer: int, architecture: str = "bert", dropout: float = 0.1, **given: Any
) -> tuple[Config, Prepared]:
    """A training in float64 whose head reads the mean."""
    common = {"cut_layer": cut_layer, "architecture": architecture, "precision": "float64"}
    config = tiny.config_of("two", **(common | given))
    split = by_mean(architecture, cut_layer, dtype=torch.float64, dropout=dropout)
    split.bottom.requires_grad_(not config.model.freeze_embeddings)
    return config, with_model(tiny.prepared_for(config), split)


@settings(max_examples=25)
@given(st.lists(st.integers(1, 7), min_size=1, max_size=4), st.integers(0, 3), st.integers(0, 99))
def test_the_first_row_is_the_mean_and_its_gradient_comes_back(
    lengths: list[int], further: int, seed: int
) -> None:
    draw = torch.Generator().manual_seed(seed)
    longest = max(lengths) + further
    hidden = torch.randn(len(lengths), longest, 3, generator=draw, dtype=torch.float64)
    mask = (torch.arange(longest) < torch.tensor(lengths)[:, None]).long()
    hidden.requires_grad_()
    found = with_mean(hidden, mask)
    for row, length in enumerate(lengths):
        torch.testing.assert_close(found[row, 0], hidden[row, :length].mean(0))
    assert torch.equal(found[:, 1:], hidden[:, 1:])
    upstream = torch.randn(found.shape, generator=draw, dtype=torch.float64)
    found.backward(upstream)
    torch.testing.assert_close(through_mean(upstream, mask), hidden.grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_mean_depends_on_the_padding(dtype: torch.dtype) -> None:
    hidden = torch.randn(5, 37, 16, generator=torch.Generator().manual_seed(0)).to(dtype)
    mask = torch.ones(5, 37)
    long = torch.cat([hidden, torch.randn(5, 91, 16).to(dtype)], 1)
    wide = torch.cat([mask, torch.zeros(5, 91)], 1)
    assert torch.equal(with_mean(hidden, mask)[:, 0], with_mean(long, wide)[:, 0])


@pytest.mark.parametrize("kind", ["two", "three", "score"])
@pytest.mark.parametrize("architecture", ["bert", "roberta"])
@pytest.mark.parametrize("cut_layer", range(tiny.LAYERS + 1))
def test_the_head_reads_the_mean_of_the_real_tokens(
    cut_layer: int, architecture: str, kind: str
) -> None:
    split = by_mean(architecture, cut_layer, kind, dtype=torch.float64)
    config = tiny.config_of(kind, architecture=architecture, precision="float64")
    batch = tiny.prepared_for(config, kind).clients[0].batch(0)
    assert (batch.attention_mask == 0).any()
    base = split.whole.base_model
    with torch.no_grad():
        last = base(batch.input_ids, batch.attention_mask, batch.token_type_ids).last_hidden_state
        weight = batch.attention_mask[..., None].double()
        mean = (last * weight).sum(1) / weight.sum(1)
        read = mean if architecture == "bert" else mean[:, None]
        torch.testing.assert_close(split.logits(batch), split.whole.classifier(read))
        torch.testing.assert_close(split.states(batch), last)


@pytest.mark.parametrize("freeze", [False, True])
@pytest.mark.parametrize("cut_layer", [0, 2])
@pytest.mark.parametrize("strategy", ["fedavg", "parallel", "sequential"])
def test_one_client_trains_what_a_central_training_does(
    strategy: str, cut_layer: int, freeze: bool
) -> None:
    states = []
    for each in ("centralised", strategy):
        config, prepared = case(cut_layer, strategy=each, freeze=freeze)
        states.append(train(config, prepared, tiny.NO_DEFENCE).state)
    moved = [n for n, p in prepared.split.whole.named_parameters() if p.requires_grad]
    start = {n: p.detach().numpy() for n, p in prepared.split.whole.named_parameters()}
    assert all((states[0].values[n] != start[n]).any() for n in moved if "key.bias" not in n)
    assert tiny.largest_difference(*states) < 1e-12


def test_stacked_copies_pool_as_single_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    config, prepared = case(1, clients=3)
    stacked = train(config, prepared, tiny.NO_DEFENCE)
    monkeypatch.setattr(copies_module, "STACK_PARAMETERS", 0)
    single = train(config, prepared, tiny.NO_DEFENCE)
    assert tiny.largest_difference(stacked.state, single.state) < 1e-10
    assert stacked.bytes == single.bytes


@pytest.mark.parametrize("strategy", ["centralised", "fedavg"])
def test_of_a_frozen_example_the_mean_is_kept(
    strategy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, prepared = case(2, clients=2, rounds=6, freeze=True, strategy=strategy)
    kept = train(config, prepared, tiny.NO_DEFENCE)
    monkeypatch.setattr(frozen, "KEPT_BYTES", 0)
    anew = train(config, prepared, tiny.NO_DEFENCE)
    assert tiny.largest_difference(kept.state, anew.state) < 1e-12


@pytest.mark.parametrize("strategy", ["centralised", "parallel"])
@pytest.mark.parametrize("cut_layer", [0, 2])
def test_dp_sgd_clips_what_goes_through_the_mean(cut_layer: int, strategy: str) -> None:
    config, prepared = case(cut_layer, strategy=strategy, dropout=0.0)
    noise = noise_of(config, prepared, dp_sgd())
    data = poisson_sampled(prepared, noise).clients[0]
    split = cut(tiny.twin(prepared.split.whole), cut_layer)
    expected, shares = oracle(split, data, config)
    done = train(config, prepared, dp_sgd(), noise=noise)
    assert 0 < np.mean(shares) == done.protection["training"].summary()["clipped_share"]
    for name, parameter in done.split.whole.named_parameters():
        if name in expected and not name.endswith("key.bias"):
            torch.testing.assert_close(parameter, expected[name], rtol=0, atol=1e-6, msg=name)


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_a_saved_head_on_the_mean_is_read_as_one(architecture: str, tmp_path: Path) -> None:
    split = by_mean(architecture, 1, dropout=0.0, pad=0)
    config = ModelConfig(str(tmp_path), tokenizer="generated", cut_layer=1, pooling="mean")
    words = load_tokenizer(config)
    split.whole.resize_token_embeddings(len(words))
    split.whole.save_pretrained(tmp_path)
    found = load_model(config, TASKS["sst2"], words, 0, trained=True)
    assert found.body.mean
    assert found.notes == ()
    for name, value in split.whole.state_dict().items():
        assert torch.equal(found.whole.state_dict()[name], value), name
    told = "expected pooling 'mean', as the config.json of source="
    with pytest.raises(InputError, match=told):
        load_model(replace(config, pooling="cls"), TASKS["sst2"], words, 0)


@pytest.mark.parametrize("kind", ["two", "three"])
@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_a_saved_head_on_the_first_token_is_no_head_on_the_mean(
    architecture: str, kind: str, tmp_path: Path
) -> None:
    saved = tiny.whole_model(architecture, kind)
    saved.save_pretrained(tmp_path)
    config, words = ModelConfig(str(tmp_path), pooling="mean"), tiny.tokenizer()
    split = load_model(config, TASKS["sst2"], words, 0)
    assert split.notes[0] == "the saved head reads the first token"
    assert split.notes[-1].startswith("a new head of 2 labels") and split.body.mean
    state, before = split.whole.state_dict(), saved.state_dict()
    for name in state:
        head = name.startswith("classifier.")
        assert head or torch.equal(state[name], before[name]), name
        if head and name.endswith("weight"):
            assert not torch.equal(state[name], before[name]), name
    with pytest.raises(InputError, match="a head on the mean, got one of the first token at"):
        load_model(config, TASKS["sst2"], words, 0, trained=True)
    assert load_model(config, TASKS["mlm"], words, 0).notes[-1].startswith("a new masked-LM head")


def test_a_model_with_a_pooler_starts_a_head_on_the_mean() -> None:
    config = ModelConfig("tiny", tokenizer="generated", pooling="mean")
    split = load_model(config, TASKS["sst2"], load_tokenizer(config), 0)
    assert not [n for n in split.client_names if "pooler" in n]
    assert sum(p.numel() for p in split.head.parameters()) == 2 * 128 + 2
    np.testing.assert_equal(split.body.mean, True)


def test_masked_lm_pools_nothing() -> None:
    config = ModelConfig("tiny", tokenizer="generated", pooling="mean")
    split = load_model(config, TASKS["mlm"], load_tokenizer(config), 0)
    assert not split.body.mean


def test_trainings_without_a_choice_are_written_as_before() -> None:
    assert "pooling" not in Config().to_json()["model"]
    assert Config(ModelConfig(pooling="mean")).to_json()["model"]["pooling"] == "mean"
