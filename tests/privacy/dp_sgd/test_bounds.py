"""No record above the clip, whatever cancels: float64 truth against what the engine does."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from privacy.dp_sgd import bounds, linear
from privacy.dp_sgd.clipping import CLIPPING, check_sum, clip_factors
from privacy.dp_sgd.engine import Recorder
from privacy.dp_sgd.mechanism import DPSGD
from privacy.dp_sgd.part_sums import PartSums

CLIP = 1.0
ALLOWED = 1.0 + 1e-6
LAYERS = ("gram", "direct", "ragged", "embedding", "norm")


def cancelling(rows: int, width: int, cancellation: float, seed: int) -> tuple[Tensor, Tensor]:
    """Return A [1, row, width] and G whose product is so much shorter than its terms are."""
    rng = torch.Generator().manual_seed(seed)
    value = torch.randn(1, rows, width, generator=rng, dtype=torch.float64)
    grad = torch.randn(1, rows, width, generator=rng, dtype=torch.float64)
    half = rows // 2
    value[:, half : 2 * half] = value[:, :half]
    grad[:, half : 2 * half] = -grad[:, :half] * (1 - 1 / cancellation)
    return value.float(), grad.float()


def passed(kind: str, value: Tensor, grad: Tensor, clipping: str = "flat") -> tuple[float, float]:
    """Return the clipped norm, in float64, of the true gradient and of what enters the sum."""
    width, out = value.shape[2], grad.shape[2]
    module: nn.Module = nn.Linear(width, out)
    inputs, owner, plus = value, None, torch.ones(1, value.shape[1], 1)
    if kind == "ragged":
        inputs, grad, owner = value[0], grad[0], torch.zeros(value.shape[1], dtype=torch.long)
    if kind == "embedding":
        module, inputs = nn.Embedding(3, out), torch.zeros(value.shape[:2], dtype=torch.long)
    if kind == "norm":
        module = nn.LayerNorm(width)
    ragged = ("part",) if kind == "ragged" else ()
    names = {f"part.{name}": p for name, p in module.named_parameters()}
    recorder = Recorder({"part": module}, names, ragged)
    with recorder.record(owner):
        module(inputs).backward(grad)
    mechanism = DPSGD(CLIP, 1.0, 1.0, clipping)
    factors = mechanism.factors(recorder.squared_norms(1))
    rows = grad.reshape(-1, out).double()
    if kind == "embedding":
        truth = [rows.sum(0)]
    elif kind == "norm":
        hat = nn.functional.layer_norm(value, (width,)).double()[0]
        truth = [(hat * rows).sum(0), rows.sum(0)]
    else:
        whole = torch.cat([value, plus], dim=2).double()[0]
        truth = [rows.T @ whole]
    sums = recorder.clipped_sum(factors, most=mechanism.largest_factor).values()
    true = sum(float(part.square().sum()) for part in truth) ** 0.5
    return float(factors) * true, sum(float(part.double().square().sum()) for part in sums) ** 0.5


@pytest.mark.parametrize("cancellation", [1e2, 3e3, 1e4, 1e6, 1e8])
@pytest.mark.parametrize("kind", LAYERS)
def test_cancelling_rows_do_not_pass_unclipped(kind, cancellation, monkeypatch) -> None:
    monkeypatch.setattr(linear, "prefers_direct", lambda *shape: kind == "direct")
    for seed in range(4):
        value, grad = cancelling(16, 48, cancellation, seed)
        # the true norm is near 1.5 at every cancellation: a factor of 1 is 50 % too much
        truth = float((grad[0].double().T @ value[0].double()).norm())
        true, entered = passed(kind, value, grad * (1.5 / truth))
        assert true <= CLIP * ALLOWED, (kind, cancellation, true)
        assert entered <= CLIP * ALLOWED, (kind, cancellation, entered)


@given(
    kind=st.sampled_from(LAYERS),
    clipping=st.sampled_from(CLIPPING),
    direct=st.booleans(),
    rows=st.integers(2, 24),
    width=st.integers(2, 40),
    cancellation=st.floats(0, 9).map(lambda power: 10.0**power),
    scales=st.tuples(st.integers(-22, 8), st.integers(-22, 8)),
    seed=st.integers(0, 2**32 - 1),
)
@settings(max_examples=200)
def test_no_input_is_above_the_clip(
    kind, clipping, direct, rows, width, cancellation, scales, seed
) -> None:
    value, grad = cancelling(rows, width, 1 + cancellation, seed)
    value, grad = value * 10.0 ** scales[0], grad * 10.0 ** scales[1]
    chosen = linear.prefers_direct
    linear.prefers_direct = lambda *shape: direct
    try:
        true, entered = passed(kind, value, grad, clipping)
    finally:
        linear.prefers_direct = chosen
    assert true <= CLIP * ALLOWED
    assert entered <= CLIP * ALLOWED


@pytest.mark.parametrize("direct", [True, False])
def test_scales_whose_products_underflow_are_clipped(direct, monkeypatch) -> None:
    """1e-24 times 1e18: squares of the first are zero in float32, and the gradient is not."""
    monkeypatch.setattr(linear, "prefers_direct", lambda *shape: direct)
    module = nn.Linear(64, 64, bias=False)
    recorder = Recorder(module, dict(module.named_parameters()))
    value, grad = torch.full((1, 256, 64), 1e-24), torch.full((1, 256, 64), 1e18)
    with recorder.record():
        module(value).backward(grad)
    truth = float((grad[0].double().T @ value[0].double()).norm())
    assert float(recorder.squared_norms(1)) >= truth**2 * (1 - 1e-12)


@given(rows=st.integers(1, 5), width=st.integers(1, 5000), scale=st.integers(-30, 15))
@settings(max_examples=40)
def test_norms_are_upper_bounds(rows, width, scale) -> None:
    values = torch.rand(rows, width) * 10.0**scale
    truth = values.double().square().sum(1)
    assert bool((bounds.squares(values) >= truth).all())
    assert bool((bounds.lengths(values) >= truth.sqrt()).all())
    assert bool((bounds.squares(values) <= truth * 1.001 + 1e-30).all())


def test_the_float64_norm_is_the_same_both_ways(monkeypatch) -> None:
    value, grad = (each[0] for each in cancelling(16, 48, 1e3, 0))
    direct = float(bounds.exact_square(value, grad, plus_one=True))
    monkeypatch.setattr(bounds, "LARGEST", 0)
    assert float(bounds.exact_square(value, grad, plus_one=True)) == pytest.approx(direct, rel=1e-5)


@pytest.mark.parametrize("part", [4096, 64])
def test_many_examples_are_added_up_in_float64(part) -> None:
    """4,096 gradients that agree: what rounding does to their sum is less than the clip's margin.

    In one float32 product the sum is off by 1e-3 of the clip norm. At once, or part by part.
    """
    count, rows = 4096, 8
    module = nn.Linear(32, 32, bias=False)
    recorder = Recorder(module, dict(module.named_parameters()))
    rng = torch.Generator().manual_seed(0)
    value, grad = (torch.rand(count, rows, 32, generator=rng) for _ in range(2))
    kept, found = PartSums(dict(module.named_parameters())), []
    for own, back in zip(value.split(part), grad.split(part), strict=True):
        with recorder.record():
            module(own).backward(back)
        found.append(clip_factors(recorder.squared_norms(part), CLIP))
        kept.add(recorder.lent_sum(found[-1]))
        recorder.clear()
    factors, found = torch.cat(found), kept.taken()["weight"].values.double()
    scaled = value.double() * factors.float().double()[:, None, None]
    truth = grad.double().flatten(0, 1).T @ scaled.flatten(0, 1)
    stored = 2.0**-24 * float(truth.norm())  # the one rounding to float32 at the end
    assert float((found - truth).norm()) <= 1e-4 * CLIP + stored


def test_every_step_checks_its_sum(monkeypatch) -> None:
    """An engine whose norms are too small is stopped before the noise."""
    monkeypatch.setattr(linear.BatchedLinear, "settle", lambda self: self.squared.mul_(1e-4))
    module = nn.Linear(4, 4)
    recorder = Recorder(module, dict(module.named_parameters()))
    noise = {name: torch.zeros_like(p) for name, p in module.named_parameters()}
    monkeypatch.setattr(linear, "prefers_direct", lambda *shape: False)
    with recorder.record():
        module(torch.ones(2, 3, 4)).sum().backward()
    factors = clip_factors(recorder.squared_norms(2), CLIP)
    with pytest.raises(RuntimeError, match="expected a clipped sum of at most"):
        recorder.clipped_sum(factors, noise)
    assert not any(bool(value.any()) for value in noise.values())
    with pytest.raises(RuntimeError, match="expected a clipped sum"):
        check_sum({"w": torch.tensor([float("nan")])}, 1.0)
