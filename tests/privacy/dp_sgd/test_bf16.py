"""DP-SGD in bf16: each example's clipped gradient within the clip, and its digits its own."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from fedbert.data.batches import Batch
from fedbert.errors import InputError
from fedbert.noise import noise_of
from fedbert.precision import autocast
from fedbert.split import SplitBert
from fedbert.trainer import check, train
from privacy.defence import Defence
from privacy.dp_sgd import linear, steady
from privacy.dp_sgd.bounds import CUT, products_in
from privacy.dp_sgd.clipping import clip_factors
from privacy.dp_sgd.engine import Recorder
from privacy.dp_sgd.mechanism import DPSGD
from privacy.dp_sgd.steady import attend, in_blocks, in_pieces, is_steady
from tests.fedbert import tiny
from tests.privacy.dp_sgd import oracle

BF16 = tiny.config_of(precision="bf16")
DP = Defence("d", training=DPSGD(1.0, 1e-3, 0.25))
CLIP = 0.5
LENGTHS = [7, 3, 12, 5, 12, 40, 33]


def narrowly(split: SplitBert, batch: Batch) -> Tensor:
    """The losses of a private pass in bf16."""
    with autocast(BF16, private=True):
        return oracle.losses(split, batch)


def summed(split: SplitBert, batch: Batch, factors: Tensor | None = None) -> tuple[Tensor, dict]:
    """The squared norms, and the sum under these factors: those of the norms where none."""
    parties = oracle.whole_party(split)
    squared = parties.norms(batch, narrowly)
    return squared, parties.sums(clip_factors(squared, CLIP) if factors is None else factors)


def first(batch: Batch, count: int) -> Batch:
    return Batch(**{name: value[:count] for name, value in vars(batch).items()})


@pytest.fixture(params=["direct", "gram"])
def way(request, monkeypatch) -> str:
    """Every Linear by one way."""
    direct = request.param == "direct"
    monkeypatch.setattr(linear, "prefers_direct", lambda *shape: direct)
    return request.param


@pytest.mark.parametrize("kind", tiny.KINDS)
@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_every_clipped_gradient_is_within_the_clip_and_the_sum_is_theirs(architecture, kind, way):
    split = tiny.split_model(architecture, kind)
    batch = oracle.batch_of(kind, LENGTHS[:5])
    squared, sums = summed(split, batch)
    factors = clip_factors(squared, CLIP)
    total = {name: torch.zeros_like(value, dtype=torch.float64) for name, value in sums.items()}
    for i in range(len(batch)):
        alone, own = summed(split, oracle.row(batch, i), factors[i : i + 1])
        assert oracle.square(own) ** 0.5 <= CLIP * (1 + 1e-6)
        torch.testing.assert_close(alone[0], squared[i], rtol=1e-5, atol=1e-20)
        for name, value in own.items():
            total[name] += value.double()
    length = oracle.square(total) ** 0.5
    off = oracle.square({n: sums[n].double() - v for n, v in total.items()}) ** 0.5
    assert off <= 1e-5 * length


@pytest.mark.parametrize("kind", ["two", "mlm-tied"])
def test_gradients_are_those_of_plain_bf16_one_by_one(kind):
    split = tiny.split_model("bert", kind)
    batch = oracle.batch_of(kind, LENGTHS[:5])
    squared = oracle.whole_party(split).norms(batch, narrowly)
    truth = oracle.gradients(split, batch)  # in float32
    true = torch.tensor([oracle.square(g) for g in truth], dtype=torch.float64)
    torch.testing.assert_close(squared.sqrt(), true.sqrt(), rtol=0.03, atol=1e-6)
    for i in range(len(batch)):
        _, own = summed(split, oracle.row(batch, i), torch.ones(1, dtype=torch.float64))
        off = oracle.square({n: own[n] - truth[i][n] for n in own}) ** 0.5
        assert 0 < off < 0.05 * float(true[i].sqrt())


@settings(max_examples=8)
@given(lengths=st.lists(st.integers(2, 30), min_size=1, max_size=3), seed=st.integers(0, 10**6))
def test_within_the_clip_whatever_the_batch(lengths, seed):
    split = tiny.split_model("bert", "mlm-tied", pad=0)
    batch = oracle.batch_of("mlm-tied", lengths, seed)
    factors = clip_factors(oracle.whole_party(split).norms(batch, narrowly), 0.01)
    for i in range(len(batch)):
        _, own = summed(split, oracle.row(batch, i), factors[i : i + 1])
        assert oracle.square(own) ** 0.5 <= 0.01 * (1 + 1e-6)


def seen(split: SplitBert, batch: Batch) -> dict[str, tuple[Tensor, Tensor]]:
    """The input and the output's gradient of every Linear, as the engine keeps them."""
    parties = oracle.whole_party(split)
    (recorder,) = parties.recorders
    parties.norms(batch, narrowly)
    found = {}
    for name, use in recorder._uses.items():
        if isinstance(use, linear.BatchedLinear) and use.grad is not None:
            found[name] = use.value, use.grad
    recorder.clear()
    return found


@pytest.mark.parametrize("threads", [1, 3])  # which piece an activation's value is in
def test_no_digit_of_an_example_depends_on_the_others(monkeypatch, threads):
    monkeypatch.setattr(linear, "prefers_direct", lambda *shape: False)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    split = tiny.split_model("bert", "two")
    many = oracle.batch_of("two", [12, 40, 7, 33, 3, 12, 5, 9, 21, 40, 2], seq=40)
    whole = seen(split, many)
    assert len(whole) == 14
    for i in (0, 2, 7, 10):
        alone = oracle.row(many, i)
        length = int(alone.attention_mask.sum())
        short = replace(  # not even how far the others made it be padded
            alone,
            input_ids=alone.input_ids[:, :length],
            attention_mask=alone.attention_mask[:, :length],
            token_type_ids=alone.token_type_ids[:, :length],
        )
        for name, parts in seen(split, short).items():
            for own, theirs in zip(parts, whole[name], strict=True):
                one = theirs[i, :length] if theirs.dim() == 3 else theirs[i]
                assert torch.equal(own[0], one), name


@pytest.mark.parametrize("rows", [1, 3])
def test_the_clip_holds_where_every_product_is_rounded_up(rows):
    layer = torch.nn.Linear(4, 4, bias=False)
    recorder = Recorder(layer, dict(layer.named_parameters()))
    with steady.steady(), recorder.record():
        layer(torch.ones(1, rows, 4)).sum().backward()
    squared = recorder.squared_norms(1)
    clips = torch.linspace(0.5, 1.0, 400, dtype=torch.float64).tolist()
    shares = []
    for clip in clips:
        (found,) = recorder.clipped_sum(clip_factors(squared, clip)).values()
        shares.append(float(found.double().norm()) / clip)
    assert 0.999 < max(shares) <= 1 + 1e-6  # no looser than it has to be
    assert min(shares) > 0.99


def test_in_another_order_with_other_mates_the_digits_stay():
    torch.manual_seed(0)
    rows = torch.randn(steady.ROWS + 90, 24).bfloat16()
    weight = torch.randn(16, 24).bfloat16()
    found = in_blocks(rows, weight.T)
    order = torch.randperm(len(rows))
    assert torch.equal(in_blocks(rows[order], weight.T), found[order])
    assert torch.equal(in_blocks(rows[:5], weight.T), found[:5])


def test_attention_is_that_of_float32_and_each_example_has_its_own():
    torch.manual_seed(0)
    shape = (11, 3, 45, 16)
    q, k, v = (torch.randn(shape).bfloat16().requires_grad_() for _ in range(3))
    real = torch.arange(45) < torch.tensor([45, 3, 32, 33, 20, 45, 45, 9, 2, 1, 40])[:, None]
    grad = torch.randn(shape).bfloat16() * real[:, None, :, None]
    out = attend(q, k, v, real)
    out.backward(grad)
    wide = [t.detach().float().requires_grad_() for t in (q, k, v)]
    truth = torch.nn.functional.scaled_dot_product_attention(
        *wide, attn_mask=real[:, None, None, :], scale=1.0
    )
    truth.backward(grad.float())
    where = real[:, None, :, None]
    pairs = [(out * where, truth * where)]
    pairs += [(own.grad, other.grad) for own, other in zip((q, k, v), wide, strict=True)]
    for found, wanted in pairs:
        assert float((found.float() - wanted).detach().norm() / wanted.detach().norm()) < 0.02
    for i in (1, 3, 10):
        length = int(real[i].sum())
        part = [t.detach()[i : i + 1, :, :length] for t in (q, k, v)]
        alone = attend(*part, real[i : i + 1, :length])
        assert torch.equal(alone[0], out[i, :, :length])


def test_dropout_of_attention_keeps_what_it_keeps_there_and_back():
    torch.manual_seed(0)
    q, k = torch.zeros(2, 1, 32, 4).bfloat16(), torch.zeros(2, 1, 32, 4).bfloat16()
    v = torch.eye(32).bfloat16()[:, :4].expand(2, 1, 32, 4).clone().requires_grad_()
    out = attend(q, k, v, torch.ones(2, 32, dtype=torch.bool), 0.5)
    values = set(out.detach().float().unique().tolist())
    assert values == {0.0, 2 / 32}
    out.sum().backward()
    torch.testing.assert_close(v.grad[..., :4, 0].float(), out.detach().float().sum(2))


@pytest.mark.parametrize("count", [64, steady.PIECE + 17])
def test_activations_in_pieces_are_those_at_once(monkeypatch, count):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    values = torch.linspace(-4, 4, count).bfloat16()
    found = in_pieces(torch.nn.functional.gelu, values)
    torch.testing.assert_close(found, torch.nn.functional.gelu(values), rtol=0.01, atol=0.01)


def test_a_machine_whose_products_look_at_places_is_refused(monkeypatch):
    def crooked(block: Tensor, right: Tensor, bias: Tensor | None, out: Tensor) -> Tensor:
        out.copy_(block @ right)
        out[0] *= 2
        return out

    monkeypatch.setattr(steady, "_multiply", crooked)
    steady._look_at.cache_clear()
    with pytest.raises(ValueError, match=r"place does not matter, got others .* float32 here$"):
        summed(tiny.split_model(), oracle.batch_of("two", [4]))
    steady._look_at.cache_clear()


@pytest.mark.parametrize("precision", ["bf16", "auto"])
def test_bf16_elsewhere_than_on_a_processor_is_refused(precision):
    config = tiny.config_of(precision=precision, device="cuda")
    with pytest.raises(InputError, match="expected precision float32 or float64 with DP-SGD"):
        check(config, DP)


def test_a_weight_that_asks_for_a_gradient_is_refused():
    with steady.steady(), pytest.raises(RuntimeError, match="expected weights without a gradient"):
        torch.nn.Linear(4, 4)(torch.ones(1, 4))
    assert not is_steady()


def test_what_a_cut_takes_off_and_what_products_it_feeds_are_as_stated():
    values = torch.randn(10_000, generator=torch.Generator().manual_seed(0))
    assert float(((values.bfloat16().float() - values) / values).abs().max()) <= CUT
    left, right = (values[:4000].view(40, 100).bfloat16().float() for _ in range(2))
    truth = left.double() @ right.double().T
    with products_in(True):
        found = left @ right.T
    most = (left.double().abs() @ right.double().abs().T) * 100 * 2.0**-23
    assert bool(((found - truth).abs() <= most).all())
    assert torch.backends.mkldnn.matmul.fp32_precision in ("none", "ieee")


@pytest.mark.parametrize("strategy", ["parallel", "fedavg"])
def test_a_private_training_in_bf16_comes_close_to_that_in_float32(strategy):
    losses = []
    wide = tiny.config_of(clients=2, strategy=strategy)
    for config in (wide, tiny.config_of(clients=2, strategy=strategy, precision="bf16")):
        prepared = tiny.prepared_for(config, dropout=0.0)
        noise = noise_of(wide, prepared, DP)  # and so the same batches
        losses.append(train(config, prepared, DP, noise=noise).losses)
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)
