"""One forward and one backward give what a loop of batches of one gives."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from privacy.dp_sgd import linear
from privacy.dp_sgd.clipping import clip_factors
from privacy.dp_sgd.engine import Recorder
from tests.fedbert import tiny
from tests.privacy.dp_sgd import oracle

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}
LOOSE = {torch.float32: 5e-3, torch.float64: 1e-9}  # what is added for rounding that may occur
LENGTHS = [7, 3, 12, 5, 12]


def agrees(parties: oracle.Parties, batch, dtype=torch.float32, clip_norm: float = 0.5) -> None:
    """Assert that norms and clipped sums are the loop's, and that each example is clipped."""
    truth = oracle.gradients(parties.split, batch)
    squared = torch.tensor([oracle.square(g) for g in truth], dtype=torch.float64)
    found = parties.norms(batch)
    assert found.dtype == torch.float64
    oracle.bounds(found, squared, TOLERANCE[dtype], LOOSE[dtype])
    factors = clip_factors(found, clip_norm)
    assert bool((factors * squared.sqrt() <= clip_norm).all())
    sums = parties.sums(factors)
    assert sums.keys() == truth[0].keys() - set(oracle.unused_of(parties.split))
    wanted = {n: sum(f * g[n].double() for f, g in zip(factors, truth, strict=True)) for n in sums}
    length = oracle.square(wanted) ** 0.5
    off = oracle.square({n: sums[n].double() - wanted[n] for n in sums}) ** 0.5
    assert off <= TOLERANCE[dtype] * length
    for name, value in wanted.items():  # each parameter by itself as well
        scale = float(value.abs().max())
        torch.testing.assert_close(
            sums[name].double(), value, rtol=0, atol=10 * TOLERANCE[dtype] * max(scale, 1e-3)
        )


@pytest.fixture(params=["cost", "direct", "gram"])
def way(request, monkeypatch) -> str:
    """Every Linear by one way, or by the cost model's choice."""
    if request.param != "cost":
        direct = request.param == "direct"
        monkeypatch.setattr(linear, "prefers_direct", lambda *shape: direct)
    return request.param


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_a_batch_is_a_loop_of_single_examples(architecture, kind, dtype, way) -> None:
    split = tiny.split_model(architecture, kind, dtype=dtype)
    agrees(oracle.whole_party(split), oracle.batch_of(kind, LENGTHS), dtype)


@pytest.mark.parametrize("cut_layer", [0, 1, 2])
@pytest.mark.parametrize("kind", ["mlm-tied", "mlm-untied", "two"])
def test_parties_add_their_norms(kind, cut_layer) -> None:  # cut 2: the server holds nothing
    split = tiny.split_model("bert", kind, cut_layer, dtype=torch.float64)
    agrees(oracle.two_parties(split), oracle.batch_of(kind, LENGTHS), torch.float64)


@settings(max_examples=25)
@given(
    lengths=st.lists(st.integers(2, 20), min_size=1, max_size=6),
    kind=st.sampled_from(tiny.KINDS),
    seed=st.integers(0, 10**6),
)
def test_any_lengths(lengths, kind, seed) -> None:
    split = tiny.split_model("bert", kind, dtype=torch.float64, pad=0)
    batch = oracle.batch_of(kind, lengths, seed, seq=20)
    agrees(oracle.whole_party(split), batch, torch.float64)


@pytest.mark.parametrize("kind", ["two", "mlm-tied"])
def test_the_padding_row_gets_no_gradient_even_without_a_mask(kind, way) -> None:
    split = tiny.split_model("bert", kind, dtype=torch.float64)
    batch = oracle.batch_of(kind, LENGTHS)
    batch.attention_mask.fill_(1)  # padding is attended to, and its hidden states count
    agrees(oracle.whole_party(split), batch, torch.float64)


def test_without_a_single_masked_position_everything_is_zero() -> None:
    split = tiny.split_model("bert", "mlm-tied")
    batch = oracle.batch_of("mlm-tied", LENGTHS)
    batch.labels.fill_(-100)
    parties = oracle.whole_party(split)
    assert float(parties.norms(batch).max()) < 1e-30  # what may have underflowed
    sums = parties.sums(torch.ones(len(batch)))
    assert all(not bool(value.any()) for value in sums.values())


def test_an_empty_batch_adds_nothing_to_the_noise() -> None:
    split = tiny.split_model()
    (recorder,) = oracle.whole_party(split).recorders
    with recorder.record():
        pass
    norms = recorder.squared_norms(0)
    assert norms.shape == (0,)
    noise = {n: torch.randn_like(p) for n, p in oracle.named(split).items()}
    before = {n: v.clone() for n, v in noise.items()}
    sums = recorder.clipped_sum(clip_factors(norms, 1.0), noise)
    assert all(sums[n] is noise[n] and bool((noise[n] == before[n]).all()) for n in before)


@pytest.mark.parametrize("kind", ["two", "mlm-tied"])
def test_sums_go_straight_into_the_noise(kind, way) -> None:
    split = tiny.split_model("bert", kind, dtype=torch.float64)
    batch, parties = oracle.batch_of(kind, LENGTHS), oracle.whole_party(split)
    factors = clip_factors(parties.norms(batch), 0.5)
    (recorder,) = parties.recorders
    alone = recorder.clipped_sum(factors)
    noise = {n: torch.randn_like(p) for n, p in oracle.named(split).items()}
    wanted = {n: noise[n] + alone[n] for n in noise}
    recorder.clipped_sum(factors, noise)
    torch.testing.assert_close(noise, wanted)


@pytest.mark.parametrize("kind", ["two", "mlm-tied"])
def test_lent_sums_are_the_sums_and_zeros_again_once_given_back(kind, way) -> None:
    split = tiny.split_model("bert", kind, dtype=torch.float64)
    batch, parties = oracle.batch_of(kind, LENGTHS), oracle.whole_party(split)
    factors = clip_factors(parties.norms(batch), 0.5)
    (recorder,) = parties.recorders
    whole = recorder.clipped_sum(factors)
    lent = recorder.lent_sum(factors)
    assert any(each.rows is not None and len(each.rows) for each in lent.values())
    for name, each in lent.items():
        at = slice(None) if each.rows is None else each.rows
        assert torch.equal(whole[name][at], each.values), name
        assert each.rows is None or int(whole[name].any(1).sum()) <= len(each.rows), name
    recorder.clear()
    assert not any(bool(value.any()) for value in recorder._zeros.values())


def test_steps_of_different_sizes_share_buffers(way) -> None:
    split = tiny.split_model(dtype=torch.float64)
    parties = oracle.whole_party(split)
    for lengths in ([4, 9], LENGTHS, [6], [20, 3, 8]):
        agrees(parties, oracle.batch_of("two", lengths), torch.float64)


def test_dropout_is_that_of_the_pass_itself() -> None:
    split = tiny.split_model(dropout=0.3, dtype=torch.float64)
    split.whole.train()
    batch, parties = oracle.batch_of("two", LENGTHS), oracle.whole_party(split)
    torch.manual_seed(3)
    oracle.losses(split, batch).sum().backward()
    wanted = {n: p.grad for n, p in oracle.named(split).items()}
    split.whole.zero_grad()
    torch.manual_seed(3)
    parties.norms(batch)
    torch.testing.assert_close(parties.sums(torch.ones(len(batch))), wanted)


@pytest.mark.parametrize(
    "frozen",
    ["embeddings", "layer.0", "bias", "weight", "LayerNorm", "word_embeddings", "classifier"],
)
def test_frozen_parameters_are_skipped(frozen) -> None:
    split = tiny.split_model(dtype=torch.float64)
    for name, parameter in oracle.named(split).items():
        parameter.requires_grad_(frozen not in name)
    agrees(oracle.whole_party(split), oracle.batch_of("two", LENGTHS), torch.float64)
    thawed = {n for n, p in oracle.named(split).items() if p.requires_grad}
    assert thawed == {n for n in oracle.named(split) if frozen not in n}


@pytest.mark.parametrize("frozen", ["bias", "weight", "decoder", "LayerNorm", "word_embeddings"])
def test_frozen_parameters_of_a_ragged_head(frozen) -> None:
    split = tiny.split_model("bert", "mlm-untied", dtype=torch.float64)
    for name, parameter in oracle.named(split).items():
        parameter.requires_grad_(frozen not in name)
    agrees(oracle.whole_party(split), oracle.batch_of("mlm-untied", LENGTHS), torch.float64)


@pytest.mark.parametrize("tied", [True, False])
def test_a_masked_lm_head_at_every_position(tied) -> None:
    kind = "mlm-tied" if tied else "mlm-untied"
    split = tiny.split_model("bert", kind, dtype=torch.float64)
    batch = oracle.batch_of(kind, LENGTHS)

    def everywhere(model, batch):
        flat = model.logits(batch).flatten(0, 1)
        return torch.nn.functional.cross_entropy(
            flat, batch.labels.flatten(), reduction="none", ignore_index=-100
        )

    truth = []
    for i in range(len(batch)):
        everywhere(split, oracle.row(batch, i)).sum().backward()
        truth.append(
            oracle.square({n: p.grad for n, p in oracle.named(split).items() if p.grad is not None})
        )
        split.whole.zero_grad()
    parts = {"bottom": split.bottom, "body": split.body, "head": split.head}
    recorder = Recorder(parts, oracle.named(split), unused=oracle.unused_of(split))
    with recorder.record():
        everywhere(split, batch).sum().backward()
    oracle.bounds(
        recorder.squared_norms(len(batch)), torch.tensor(truth, dtype=torch.float64), 1e-10, 1e-9
    )


def test_an_unused_pooler_has_norm_zero() -> None:
    split = tiny.split_model(dtype=torch.float64)

    def without_pooler(model, batch):
        hidden = model.hidden(batch)
        model.head.steps["pooler"](hidden)  # runs, and nothing comes of it
        return hidden.square().sum((1, 2))

    batch, parties = oracle.batch_of("two", LENGTHS), oracle.whole_party(split)
    norms = parties.norms(batch, without_pooler)
    sums = parties.sums(torch.ones(len(batch)))
    assert bool((norms > 0).all())
    assert not bool(sums["bert.pooler.dense.weight"].any())
    assert not bool(sums["classifier.weight"].any())


def test_no_gradient_is_formed_by_autograd() -> None:
    split = tiny.split_model()
    oracle.whole_party(split).norms(oracle.batch_of("two", LENGTHS))
    assert all(p.grad is None and p.requires_grad for p in oracle.named(split).values())
